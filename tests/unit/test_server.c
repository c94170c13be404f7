/* SPDX-License-Identifier: MIT */
/* A program around server_run(), in a process of its own: its port, its signals, its status. */
#include "lib/server.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/log.h"
#include "tests/unit/net_fixture.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* In the child: what the program is told to do. */
struct program {
	bool fail_start; /* of worker 1 */
	bool linger; /* busy() for 200 ms after the last exchange */
	int report_fd; /* a byte for every stop(), and between two runs */
	_Atomic unsigned drained; /* workers */
};

struct program_worker {
	struct program *program;
	struct worker *worker;
	uint64_t linger_until_ms;
};

struct request {
	struct exchange *ex;
	struct loop_timer timer;
};

static int start(struct worker *worker, void *program)
{
	struct program_worker *own = calloc(1, sizeof(*own));

	own->program = program;
	own->worker = worker;
	worker->state = own;
	if (own->program->fail_start && worker->index == 1) {
		free(own);
		return -EIO;
	}
	return 0;
}

static void stop(struct worker *worker)
{
	struct program_worker *own = worker->state;
	char report = own->linger_until_ms > clock_monotonic_ms() ? 'E' : 's';

	if (write(own->program->report_fd, &report, 1) != 1)
		abort();
	free(own);
}

static bool busy(struct worker *worker)
{
	struct program_worker *own = worker->state;

	return own->linger_until_ms > clock_monotonic_ms();
}

static void drain(struct worker *worker)
{
	struct program_worker *own = worker->state;

	own->program->drained++;
}

static void answer(struct exchange *ex, const char *text)
{
	struct answer out = { .status = 200 };

	buf_append_str(&out.bytes, text);
	exchange_respond(ex, &out);
}

static void expired(struct loop_timer *timer)
{
	answer(container_of(timer, struct request, timer)->ex, "late");
}

static void finish(struct exchange *ex, bool answered)
{
	struct request *request = ex->state;

	(void)answered;
	loop_clear_timer(ex->loop, &request->timer);
	free(request);
}

static const struct exchange_handler handler = { .finish = finish };

static void begin(struct exchange *ex, struct worker *worker)
{
	struct program_worker *own = worker->state;
	struct request *request = calloc(1, sizeof(*request));
	char ms[16];

	request->ex = ex;
	request->timer.expired = expired;
	ex->state = request;
	ex->handler = &handler;
	if (strcmp(ex->path, "/restart") == 0)
		server_restart(worker->server);
	if (own->program->linger)
		own->linger_until_ms = clock_monotonic_ms() + 200;
	if (exchange_query(ex, "ms", ms, sizeof(ms)) == 1)
		loop_set_timer(ex->loop, &request->timer,
			       clock_monotonic_ms() + strtoull(ms, NULL, 10));
	else
		answer(ex, server_is_ready(worker->server) ? "ready" : "not ready");
}

static const struct server_service service = {
	.start = start, .stop = stop, .busy = busy, .drain = drain, .begin = begin
};

struct child {
	pid_t pid;
	struct net_server address; /* only the port counts */
	int report_fd;
	char port_file[64];
};

static void run_child(const struct child *child, const char *listen, struct program *program,
		      unsigned drain_ms)
{
	struct server_options options = {
		.listen = listen,
		.port_file = child->port_file,
		.workers = 2,
		.drain_ms = drain_ms,
		.http = { .connection_limit = 100, .idle_timeout_ms = 10000, .offer_mux = true },
	};
	int status;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_init("test_server", LOG_LEVEL_ERROR);
	do {
		program->drained = 0;
		status = server_run(&options, &service, program);
		if (status != 1 && program->drained != 2)
			abort();
		/* Once it is there again the second run listens. */
		if (status == SERVER_RESTART &&
		    (unlink(child->port_file) != 0 || write(program->report_fd, "-", 1) != 1))
			abort();
	} while (status == SERVER_RESTART);
	exit(status);
}

static void spawn(struct child *child, const char *listen, struct program program,
		  unsigned drain_ms)
{
	int pipe_fds[2];

	*child = (struct child){ 0 };
	snprintf(child->port_file, sizeof(child->port_file), "/tmp/hexkv-test-port.%d", getpid());
	unlink(child->port_file);
	assert_int_equal(pipe(pipe_fds), 0);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0) {
		close(pipe_fds[0]);
		program.report_fd = pipe_fds[1];
		run_child(child, listen, &program, drain_ms);
	}
	close(pipe_fds[1]);
	child->report_fd = pipe_fds[0];
}

static void wait_until_it_listens(struct child *child)
{
	uint64_t deadline = clock_monotonic_ms() + 10000;
	unsigned port;

	for (;;) {
		FILE *file = fopen(child->port_file, "r");

		if (file) {
			assert_int_equal(fscanf(file, "%u", &port), 1);
			fclose(file);
			break;
		}
		assert_true(clock_monotonic_ms() < deadline);
		poll(NULL, 0, 2);
	}
	child->address.port = (uint16_t)port;
}

/* Its exit status, and in @ret_reports what its stop() calls reported. */
static int wait_for_end(struct child *child, char ret_reports[8])
{
	int status;
	ssize_t n = 0, r;

	memset(ret_reports, 0, 8);
	while ((r = read(child->report_fd, ret_reports + n, (size_t)(7 - n))) > 0)
		n += r;
	close(child->report_fd);
	unlink(child->port_file);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void a_request_under_way_is_answered_during_the_drain(void **state)
{
	struct child child;
	struct net_client client, idle;
	struct net_response response;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 5000);
	wait_until_it_listens(&child);
	assert_int_equal(net_ask(&child.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", &response),
			 200);
	net_response_deinit(&response);
	client = (struct net_client){ .fd = net_connect(&child.address) };
	idle = (struct net_client){ .fd = net_connect(&child.address) };
	net_send_text(client.fd, "GET /?ms=300 HTTP/1.1\r\nHost: x\r\n\r\n");
	net_send_text(idle.fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(net_receive(&idle, false, &response));
	assert_memory_equal(response.body.data, "ready", 5);
	net_response_deinit(&response);
	/* Long enough for the first request to have begun: it was sent before the second. */
	poll(NULL, 0, 50);
	kill(child.pid, SIGTERM);
	/* The idle connection is closed at once, the other answered. */
	assert_false(net_receive(&idle, false, &response));
	assert_true(net_receive(&client, false, &response));
	assert_memory_equal(response.body.data, "late", 4);
	assert_non_null(strcasestr(response.head, "Connection: close"));
	net_response_deinit(&response);
	assert_int_equal(wait_for_end(&child, reports), 0);
	assert_string_equal(reports, "ss");
	net_client_deinit(&client);
	net_client_deinit(&idle);
}

static void a_drain_is_bounded(void **state)
{
	struct child child;
	struct net_client client;
	struct net_response response;
	uint64_t before;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 100);
	wait_until_it_listens(&child);
	client = (struct net_client){ .fd = net_connect(&child.address) };
	net_send_text(client.fd, "GET /?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
	poll(NULL, 0, 50);
	before = clock_monotonic_ms();
	kill(child.pid, SIGINT);
	assert_int_equal(wait_for_end(&child, reports), 0);
	assert_true(clock_monotonic_ms() - before < 5000);
	assert_false(net_receive(&client, false, &response));
	net_client_deinit(&client);
}

static void the_service_is_stopped_only_when_it_is_no_longer_busy(void **state)
{
	struct child child;
	struct net_response response;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ .linger = true }, 10);
	wait_until_it_listens(&child);
	assert_int_equal(net_ask(&child.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", &response),
			 200);
	net_response_deinit(&response);
	kill(child.pid, SIGTERM);
	assert_int_equal(wait_for_end(&child, reports), 0);
	assert_string_equal(reports, "ss");
}

static void a_second_signal_ends_it_at_once(void **state)
{
	struct child child;
	struct net_client client;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 60000);
	wait_until_it_listens(&child);
	client = (struct net_client){ .fd = net_connect(&child.address) };
	net_send_text(client.fd, "GET /?ms=60000 HTTP/1.1\r\nHost: x\r\n\r\n");
	poll(NULL, 0, 50);
	kill(child.pid, SIGTERM);
	poll(NULL, 0, 50);
	kill(child.pid, SIGTERM);
	assert_int_equal(wait_for_end(&child, reports), 1);
	/* The worker with the request has not stopped. */
	assert_string_not_equal(reports, "ss");
	net_client_deinit(&client);
}

static void a_restart_serves_anew_once_what_was_under_way_is_answered(void **state)
{
	struct child child;
	struct net_client client;
	struct net_response response;
	struct pollfd report;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 5000);
	wait_until_it_listens(&child);
	/* A signal of that number alone restarts nothing. */
	kill(child.pid, SIGUSR1);
	client = (struct net_client){ .fd = net_connect(&child.address) };
	net_send_text(client.fd, "GET /restart?ms=100 HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(net_receive(&client, false, &response));
	assert_memory_equal(response.body.data, "late", 4);
	net_response_deinit(&response);
	net_client_deinit(&client);
	/* Two that stop, then the sign that it begins again. */
	memset(reports, 0, sizeof(reports));
	for (int i = 0; i < 3; i++) {
		report = (struct pollfd){ .fd = child.report_fd, .events = POLLIN };
		assert_int_equal(poll(&report, 1, 10000), 1);
		assert_int_equal(read(child.report_fd, reports + i, 1), 1);
	}
	assert_string_equal(reports, "ss-");
	wait_until_it_listens(&child);
	assert_int_equal(net_ask(&child.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", &response),
			 200);
	net_response_deinit(&response);
	kill(child.pid, SIGTERM);
	assert_int_equal(wait_for_end(&child, reports), 0);
	assert_string_equal(reports, "ss");
}

static void a_taken_port_is_refused(void **state)
{
	struct child child, second;
	struct net_response response;
	char listen[32], reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 1000);
	wait_until_it_listens(&child);
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", child.address.port);
	spawn(&second, listen, (struct program){ 0 }, 1000);
	assert_int_equal(wait_for_end(&second, reports), 1);
	assert_string_equal(reports, "");
	/* The first has lost nothing. */
	assert_int_equal(net_ask(&child.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", &response),
			 200);
	net_response_deinit(&response);
	kill(child.pid, SIGTERM);
	assert_int_equal(wait_for_end(&child, reports), 0);
}

static void a_worker_that_can_not_start_ends_the_program(void **state)
{
	struct child child;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ .fail_start = true }, 1000);
	assert_int_equal(wait_for_end(&child, reports), 1);
	assert_string_equal(reports, "s");
	spawn(&child, "nowhere:80", (struct program){ 0 }, 1000);
	assert_int_equal(wait_for_end(&child, reports), 1);
}

static void both_workers_get_connections(void **state)
{
	struct child child;
	char reports[8];

	(void)state;
	spawn(&child, "127.0.0.1:0", (struct program){ 0 }, 1000);
	wait_until_it_listens(&child);
	for (int i = 0; i < 100; i++) {
		struct net_response response;

		assert_int_equal(
			net_ask(&child.address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", &response),
			200);
		net_response_deinit(&response);
	}
	kill(child.pid, SIGTERM);
	assert_int_equal(wait_for_end(&child, reports), 0);
	assert_string_equal(reports, "ss");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_under_way_is_answered_during_the_drain),
		cmocka_unit_test(a_drain_is_bounded),
		cmocka_unit_test(the_service_is_stopped_only_when_it_is_no_longer_busy),
		cmocka_unit_test(a_second_signal_ends_it_at_once),
		cmocka_unit_test(a_restart_serves_anew_once_what_was_under_way_is_answered),
		cmocka_unit_test(a_taken_port_is_refused),
		cmocka_unit_test(a_worker_that_can_not_start_ends_the_program),
		cmocka_unit_test(both_workers_get_connections),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}

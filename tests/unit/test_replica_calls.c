/* SPDX-License-Identifier: MIT */
/* Messages to other nodes, which misbehave. */
#include "node/replica_calls.h"

#include "lib/clock.h"
#include "lib/http_client.h"
#include "node/replica_message.h"
#include "tests/unit/fake_server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMEOUT_MS  300
#define DEADLINE_MS 20000

static struct loop *loop;

/* What the core hears. */
struct heard {
	struct replica_calls *calls;
	unsigned count, wanted;
	uint64_t call;
	int error;
	struct buf message;
	bool inside; /* replica_calls_send() is running */
	unsigned again; /* so many more are sent from inside answered() */
};

static void send_message(struct heard *heard, uint64_t call)
{
	struct buf message = { 0 };

	assert_int_equal(buf_append_str(&message, "question"), 0);
	heard->inside = true;
	replica_calls_send(heard->calls, 1, call, &message, TIMEOUT_MS);
	heard->inside = false;
	assert_null(message.data);
}

static void on_answered(void *state, uint64_t call, int error, const void *message, size_t len)
{
	struct heard *heard = state;

	assert_false(heard->inside);
	heard->count++;
	heard->call = call;
	heard->error = error;
	assert_true(error < 0 || len == 0 || message);
	buf_clear(&heard->message);
	if (error == 0 && len > 0)
		assert_int_equal(buf_append(&heard->message, message, len), 0);
	if (heard->again > 0) {
		heard->again--;
		send_message(heard, call + 1);
	}
	if (heard->count == heard->wanted)
		loop_stop(loop);
}

static void begin(struct heard *heard, const char *url, const char *token)
{
	static struct cluster_node nodes[2];
	static struct cluster_shard shard = { .nodes = nodes, .node_count = 2 };
	struct replica_calls_options options = { .loop = loop,
						 .shard = &shard,
						 .token = token,
						 .answered = on_answered,
						 .state = heard };

	*heard = (struct heard){ .wanted = 1 };
	nodes[1].url = (char *)url;
	assert_int_equal(replica_calls_new(&options, &heard->calls), 0);
}

static void end(struct heard *heard)
{
	replica_calls_free(heard->calls);
	buf_deinit(&heard->message);
}

static void too_late(struct loop_timer *timer)
{
	(void)timer;
	fprintf(stderr, "the test hangs\n");
	abort();
}

static void run(void)
{
	struct loop_timer deadline = { .expired = too_late };

	loop_set_timer(loop, &deadline, clock_monotonic_ms() + DEADLINE_MS);
	assert_int_equal(loop_run(loop), 0);
	loop_clear_timer(loop, &deadline);
}

struct script {
	const char *answer; /* NULL: none */
	size_t more; /* bytes behind it */
	bool close; /* after it */
	struct buf request;
};

static void serve(int fd, unsigned number, void *state)
{
	struct script *script = state;
	char piece[4096];

	(void)number;
	memset(piece, 'x', sizeof(piece));
	while (fake_read_request(fd, &script->request)) {
		if (script->answer)
			fake_write(fd, script->answer);
		for (size_t sent = 0; sent < script->more; sent += sizeof(piece))
			fake_write_bytes(fd, piece, sizeof(piece));
		if (script->close)
			return;
	}
}

/* One question to a server with that script; what the core hears. */
static void ask(struct script *script, struct heard *heard)
{
	struct fake_server *server = fake_server_start(serve, script);

	begin(heard, fake_server_url(server), "secret");
	send_message(heard, 7);
	run();
	assert_int_equal(heard->call, 7);
	replica_calls_free(heard->calls);
	heard->calls = NULL;
	fake_server_stop(server);
}

static void a_message_is_posted_with_the_token_and_its_answer_comes_back(void **state)
{
	struct script script = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer" };
	struct heard heard;

	(void)state;
	ask(&script, &heard);
	assert_int_equal(heard.error, 0);
	assert_int_equal(heard.message.len, 6);
	assert_memory_equal(heard.message.data, "answer", 6);
	buf_append_u8(&script.request, 0);
	assert_non_null(strstr((char *)script.request.data, "POST /replica HTTP/1.1\r\n"));
	assert_non_null(strstr((char *)script.request.data, "Authorization: Bearer secret\r\n"));
	assert_non_null(strstr((char *)script.request.data, "\r\n\r\nquestion"));
	buf_deinit(&script.request);
	end(&heard);
}

static void whatever_is_no_answer_is_an_error(void **state)
{
	static const struct {
		struct script script;
		int error;
	} cases[] = {
		{ { .answer = NULL }, -ETIMEDOUT },
		{ { .answer = NULL, .close = true }, -ECONNRESET },
		{ { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", .close = true },
		  -ECONNRESET },
		{ { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort" }, -ETIMEDOUT },
		{ { .answer = "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno" }, -EACCES },
		{ { .answer = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno" }, -EAGAIN },
		{ { .answer = "HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno" }, -EPROTO },
		{ { .answer = "HTTP/1.1 204 None\r\n\r\n" }, -EPROTO },
		/* Too long, announced and not. */
		{ { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n",
		    .more = 8388608 },
		  -EMSGSIZE },
		{ { .answer = "HTTP/1.1 200 OK\r\n\r\n", .more = 8388608, .close = true },
		  -EMSGSIZE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct script script = cases[i].script;
		struct heard heard;

		ask(&script, &heard);
		assert_int_equal(heard.error, cases[i].error);
		buf_deinit(&script.request);
		end(&heard);
	}
}

static void nobody_there_is_told_apart_from_silence(void **state)
{
	struct heard heard;
	char url[64];

	(void)state;
	fake_unused_url(url, sizeof(url));
	begin(&heard, url, NULL);
	send_message(&heard, 1);
	run();
	assert_int_equal(heard.error, -ECONNREFUSED);
	end(&heard);
}

static void a_connection_serves_many_messages(void **state)
{
	struct script script = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" };
	struct fake_server *server = fake_server_start(serve, &script);
	struct heard heard;

	(void)state;
	begin(&heard, fake_server_url(server), NULL);
	heard.again = 300; /* more than there may be at once */
	heard.wanted = 301;
	send_message(&heard, 1);
	run();
	assert_int_equal(heard.call, 301);
	assert_int_equal(fake_server_connections(server), 1);
	end(&heard);
	fake_server_stop(server);
	buf_deinit(&script.request);
}

static void what_is_under_way_at_the_end_is_given_up(void **state)
{
	struct script script = { .answer = NULL };
	struct fake_server *server = fake_server_start(serve, &script);
	struct heard heard;

	(void)state;
	begin(&heard, fake_server_url(server), NULL);
	heard.wanted = 0;
	for (uint64_t call = 1; call <= REPLICA_CALLS_MAX; call++)
		send_message(&heard, call);
	end(&heard);
	assert_int_equal(heard.count, 0);
	fake_server_stop(server);
	buf_deinit(&script.request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_posted_with_the_token_and_its_answer_comes_back),
		cmocka_unit_test(whatever_is_no_answer_is_an_error),
		cmocka_unit_test(nobody_there_is_told_apart_from_silence),
		cmocka_unit_test(a_connection_serves_many_messages),
		cmocka_unit_test(what_is_under_way_at_the_end_is_given_up),
	};
	int r;

	http_client_global_init();
	if (loop_new(&loop) < 0)
		return 1;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	loop_free(loop);
	return r;
}

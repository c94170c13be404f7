/* SPDX-License-Identifier: MIT */
/* Both ends of the multiplexed connection, over real sockets: lib/peer against lib/http_server. */
#include "tests/unit/fake_server.h"
#include "tests/unit/net_fixture.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/frame.h"
#include "lib/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct net_server server;
static struct loop *loop;
static struct http_client *http;
static struct peer *peer;
static unsigned open_calls;
static struct loop_timer guard;

struct test_call {
	struct call call;
	char target[64];
	struct buf sent;
	struct buf body;
	unsigned status;
	int64_t content_length;
	bool done;
	enum outcome result;
	bool maybe_applied;
	size_t allowance; /* bytes to take before a pause, 0: all */
	struct loop_timer resume;
};

static void on_head(struct call *call, unsigned status, struct fields *fields, int64_t length)
{
	struct test_call *tc = call->state;

	(void)fields;
	tc->status = status;
	tc->content_length = length;
}

static void resume_expired(struct loop_timer *timer)
{
	call_resume(&container_of(timer, struct test_call, resume)->call);
}

static size_t on_body(struct call *call, const void *data, size_t len)
{
	struct test_call *tc = call->state;

	if (tc->allowance && len > tc->allowance) {
		len = tc->allowance;
		tc->resume.expired = resume_expired;
		loop_set_timer(loop, &tc->resume, clock_monotonic_ms() + 1);
	}
	assert_int_equal(buf_append(&tc->body, data, len), 0);
	return len;
}

static void on_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct test_call *tc = call->state;

	assert_false(tc->done);
	tc->done = true;
	tc->result = result;
	tc->maybe_applied = maybe_applied;
	if (--open_calls == 0)
		loop_stop(loop);
}

static const struct call_handler handler = { .head = on_head, .body = on_body, .done = on_done };

static void prepare(struct test_call *tc, enum method method, const char *target, const char *body)
{
	*tc = (struct test_call){ 0 };
	snprintf(tc->target, sizeof(tc->target), "%s", target);
	tc->call = (struct call){
		.method = method,
		.target = tc->target,
		.timeout_ms = 10000,
		.handler = &handler,
		.state = tc,
	};
	if (body) {
		assert_int_equal(buf_append_str(&tc->sent, body), 0);
		tc->call.body = tc->sent.data;
		tc->call.body_len = tc->sent.len;
		tc->call.has_body = true;
	}
}

static void submit(struct test_call *tc)
{
	assert_int_equal(peer_call(peer, &tc->call), 0);
	assert_false(tc->done);
	open_calls++;
}

static void release(struct test_call *tc)
{
	loop_clear_timer(loop, &tc->resume);
	fields_deinit(&tc->call.fields);
	buf_deinit(&tc->sent);
	buf_deinit(&tc->body);
}

static void too_late(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("%u calls did not end within 20 s", open_calls);
}

static void run_calls(void)
{
	guard.expired = too_late;
	loop_set_timer(loop, &guard, clock_monotonic_ms() + 20000);
	assert_int_equal(loop_run(loop), 0);
	loop_clear_timer(loop, &guard);
	assert_int_equal(open_calls, 0);
}

static void open_peer(unsigned in_flight_max)
{
	struct peer_options options = {
		.url = server.url,
		.connect_timeout_ms = 2000,
		.in_flight_max = in_flight_max,
	};

	assert_int_equal(peer_new(loop, http, &options, &peer), 0);
}

static int start(void **state)
{
	(void)state;
	net_server_start(&server, NULL, 0);
	if (loop_new(&loop) < 0 || http_client_new(loop, &http) < 0)
		return -1;
	open_peer(1024);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	peer = peer_free(peer);
	http = http_client_free(http);
	loop = loop_free(loop);
	if (server.loop)
		net_server_stop(&server);
	return 0;
}

static void hundreds_in_flight_each_get_their_own_answer(void **state)
{
	enum { CALLS = 700 };
	struct test_call *calls = calloc(CALLS, sizeof(*calls));
	char text[64];

	(void)state;
	for (int i = 0; i < CALLS; i++) {
		snprintf(text, sizeof(text), "value %d", i);
		if (i % 3)
			prepare(&calls[i], METHOD_PUT, "/echo", text);
		else
			prepare(&calls[i], METHOD_GET, "/later", NULL);
		submit(&calls[i]);
	}
	run_calls();
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(calls[i].result, OUTCOME_OK);
		assert_int_equal(calls[i].status, 200);
		if (i % 3) {
			assert_int_equal(calls[i].body.len, calls[i].sent.len);
			assert_memory_equal(calls[i].body.data, calls[i].sent.data,
					    calls[i].sent.len);
		} else {
			assert_int_equal(calls[i].body.len, 1024);
		}
		release(&calls[i]);
	}
	assert_true(peer_is_up(peer));
	assert_true(net_wait_for(&server.answered, CALLS));
	free(calls);
}

/* More than may wait to be sent, from sources and as bytes, with small answers between them. */
static void a_crowd_of_large_answers_arrives_whole(void **state)
{
	enum { CALLS = 400, SIZE = 200000 };
	struct test_call *calls = calloc(CALLS, sizeof(*calls));
	char *text = calloc(1, SIZE + 1);

	(void)state;
	memset(text, 'b', SIZE);
	for (int i = 0; i < CALLS; i++) {
		if (i % 4 == 0)
			prepare(&calls[i], METHOD_PUT, "/echo", text);
		else
			prepare(&calls[i], METHOD_GET,
				i % 4 == 1 ? "/hello" : "/stream?size=200000", NULL);
		submit(&calls[i]);
	}
	run_calls();
	for (int i = 0; i < CALLS; i++) {
		assert_int_equal(calls[i].status, 200);
		assert_int_equal(calls[i].body.len, i % 4 == 1 ? 1024 : SIZE);
		for (size_t at = 0; i % 4 > 1 && at < SIZE; at++)
			if (calls[i].body.data[at] != net_pattern(at))
				fail_msg("byte %zu differs", at);
		release(&calls[i]);
	}
	free(text);
	free(calls);
}

static void an_empty_value_is_a_body(void **state)
{
	struct test_call call;

	(void)state;
	prepare(&call, METHOD_PUT, "/echo", "");
	submit(&call);
	run_calls();
	assert_int_equal(call.status, 200);
	assert_int_equal(call.content_length, 0);
	release(&call);
}

static void fields_travel_both_ways(void **state)
{
	struct test_call call;

	(void)state;
	prepare(&call, METHOD_PATCH, "/path/%41?q=1", "x");
	fields_set(&call.call.fields, FIELD_CONTENT_TYPE, "text/plain", 10);
	submit(&call);
	run_calls();
	assert_int_equal(call.status, 200);
	assert_memory_equal(call.body.data, "/path/A|q=1|5", call.body.len);
	release(&call);
}

static void a_paused_body_goes_on_on_both_sides(void **state)
{
	struct test_call slow, echo;
	char *text = calloc(1, 200001);

	(void)state;
	memset(text, 'b', 200000);
	prepare(&slow, METHOD_PUT, "/slow-body", text);
	prepare(&echo, METHOD_PUT, "/echo", text);
	echo.allowance = 30000;
	submit(&slow);
	submit(&echo);
	run_calls();
	assert_memory_equal(slow.body.data, "200000", 6);
	assert_int_equal(echo.body.len, 200000);
	assert_memory_equal(echo.body.data, text, 200000);
	release(&slow);
	release(&echo);
	free(text);
}

static void expect_stream(size_t size)
{
	struct test_call call;
	char target[64];

	snprintf(target, sizeof(target), "/stream?size=%zu", size);
	prepare(&call, METHOD_GET, target, NULL);
	submit(&call);
	run_calls();
	assert_int_equal(call.result, OUTCOME_OK);
	assert_int_equal(call.status, 200);
	assert_int_equal(call.content_length, size);
	assert_int_equal(call.body.len, size);
	for (size_t i = 0; i < size; i++)
		if (call.body.data[i] != net_pattern(i))
			fail_msg("byte %zu differs", i);
	release(&call);
}

static void a_source_is_read_whatever_its_size(void **state)
{
	(void)state;
	expect_stream(1);
	expect_stream(150000);
	expect_stream(FRAME_BODY_MAX);
	expect_stream(FRAME_BODY_MAX + 1);
	expect_stream(5 * 1024 * 1024);
}

static void head_tells_the_size_over_frames_too(void **state)
{
	struct test_call call;

	(void)state;
	prepare(&call, METHOD_HEAD, "/stream?size=123456789", NULL);
	submit(&call);
	run_calls();
	assert_int_equal(call.status, 200);
	assert_int_equal(call.content_length, 123456789);
	assert_int_equal(call.body.len, 0);
	release(&call);
}

static void a_cancelled_call_is_cancelled_at_the_server(void **state)
{
	unsigned lost = atomic_load(&server.lost), begun = atomic_load(&server.begun);
	struct test_call never, hello;

	(void)state;
	prepare(&never, METHOD_GET, "/never", NULL);
	submit(&never);
	prepare(&hello, METHOD_GET, "/hello", NULL);
	submit(&hello);
	/* Ends with the second call; the first is then under way at the server. */
	open_calls--;
	run_calls();
	assert_true(net_wait_for(&server.begun, begun + 2));
	call_cancel(&never.call);
	call_cancel(&never.call);
	release(&hello);
	prepare(&hello, METHOD_GET, "/hello", NULL);
	submit(&hello);
	run_calls();
	assert_true(net_wait_for(&server.lost, lost + 1));
	assert_false(never.done);
	release(&never);
	release(&hello);
}

static void a_call_that_is_not_answered_times_out_alone(void **state)
{
	struct test_call never, later;

	(void)state;
	prepare(&never, METHOD_GET, "/never", NULL);
	never.call.timeout_ms = 30;
	prepare(&later, METHOD_GET, "/later", NULL);
	submit(&never);
	submit(&later);
	run_calls();
	assert_int_equal(never.result, OUTCOME_TIMEOUT);
	assert_true(never.maybe_applied);
	assert_int_equal(later.result, OUTCOME_OK);
	release(&never);
	release(&later);
}

static void more_calls_than_the_limit_are_refused(void **state)
{
	struct test_call calls[5];

	(void)state;
	peer = peer_free(peer);
	open_peer(4);
	for (int i = 0; i < 4; i++) {
		prepare(&calls[i], METHOD_GET, "/later", NULL);
		submit(&calls[i]);
	}
	prepare(&calls[4], METHOD_GET, "/later", NULL);
	assert_int_equal(peer_call(peer, &calls[4].call), -EBUSY);
	run_calls();
	submit(&calls[4]);
	run_calls();
	for (int i = 0; i < 5; i++) {
		assert_int_equal(calls[i].result, OUTCOME_OK);
		release(&calls[i]);
	}
	peer = peer_free(peer);
	open_peer(1024);
}

static int open_raw(const char *then, size_t then_len)
{
	char request[512];
	int fd = net_connect(&server);
	int n = snprintf(request, sizeof(request),
			 "GET /mux HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
			 "Upgrade: hexkv-mux/1\r\n\r\n");

	memcpy(request + n, then, then_len);
	net_send(fd, request, (size_t)n + then_len);
	return fd;
}

/* Reads until the server ends the connection. */
static void expect_end(int fd)
{
	char data[4096];
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
	close(fd);
}

static void garbage_ends_its_connection_and_no_other(void **state)
{
	struct buf response = { 0 };
	struct frame frame = { .type = FRAME_RESPONSE, .status = 200 };
	struct test_call call;

	(void)state;
	expect_end(open_raw("garbage, and more of it", 23));
	expect_end(open_raw("\x14\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24));
	/* A response is no request. */
	assert_int_equal(frame_encode(&frame, &response), 0);
	expect_end(open_raw((char *)response.data, response.len));
	buf_deinit(&response);

	prepare(&call, METHOD_GET, "/hello", NULL);
	submit(&call);
	run_calls();
	assert_int_equal(call.result, OUTCOME_OK);
	release(&call);
}

static void frames_that_come_with_the_handshake_are_served(void **state)
{
	struct frame ping = { .type = FRAME_PING, .id = 77 };
	struct frame pong;
	struct buf out = { 0 };
	struct net_client client = { 0 };
	size_t used;
	char *end;
	int r;

	(void)state;
	assert_int_equal(frame_encode(&ping, &out), 0);
	client.fd = open_raw((char *)out.data, out.len);
	do {
		assert_int_equal(buf_reserve(&client.in, 1024), 0);
		r = (int)recv(client.fd, client.in.data + client.in.len, 1024, 0);
		assert_true(r > 0);
		client.in.len += (size_t)r;
		end = memmem(client.in.data, client.in.len, "\r\n\r\n", 4);
		r = end ? frame_decode((uint8_t *)end + 4,
				       client.in.len - (size_t)(end + 4 - (char *)client.in.data),
				       &pong, &used)
			: 0;
		assert_true(r >= 0);
	} while (r == 0);
	assert_int_equal(pong.type, FRAME_PONG);
	assert_int_equal(pong.id, 77);
	frame_deinit(&pong);
	buf_deinit(&out);
	net_client_deinit(&client);
}

/* Writes what the socket takes. Returns false once it takes nothing for 300 ms. */
static bool push(int fd, const struct buf *data, size_t *at)
{
	while (*at < data->len) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
		ssize_t n;

		if (poll(&poll_fd, 1, 300) != 1)
			return false;
		n = send(fd, data->data + *at, data->len - *at, MSG_NOSIGNAL | MSG_DONTWAIT);
		assert_true(n > 0);
		*at += (size_t)n;
	}
	return true;
}

static void a_client_that_does_not_read_is_not_read_from(void **state)
{
	enum { CALLS = 300, SIZE = 200000 };
	struct net_client client = { .fd = open_raw("", 0) };
	struct frame request = {
		.type = FRAME_REQUEST,
		.flags = FRAME_FLAG_BODY,
		.method = METHOD_PUT,
		.target = "/echo",
		.target_len = 5,
		.body = calloc(1, SIZE),
		.body_len = SIZE,
	};
	struct buf out = { 0 };
	size_t at = 0, consumed = 0;
	unsigned answers = 0;
	char *end;

	(void)state;
	for (uint32_t i = 0; i < CALLS; i++) {
		request.id = i;
		assert_int_equal(frame_encode(&request, &out), 0);
	}
	/* 60 MB do not fit into the server and the kernel. */
	assert_false(push(client.fd, &out, &at));
	while (answers < CALLS) {
		struct frame frame;
		size_t used;
		ssize_t n;

		assert_int_equal(buf_reserve(&client.in, 1 << 20), 0);
		n = recv(client.fd, client.in.data + client.in.len, 1 << 20, 0);
		assert_true(n > 0);
		client.in.len += (size_t)n;
		if (!consumed) {
			end = memmem(client.in.data, client.in.len, "\r\n\r\n", 4);
			assert_non_null(end);
			consumed = (size_t)(end + 4 - (char *)client.in.data);
			buf_consume(&client.in, consumed);
		}
		while (frame_decode(client.in.data, client.in.len, &frame, &used) == 1) {
			assert_int_equal(frame.status, 200);
			assert_int_equal(frame.body_len, SIZE);
			frame_deinit(&frame);
			buf_consume(&client.in, used);
			answers++;
		}
		if (at < out.len) {
			n = send(client.fd, out.data + at, out.len - at,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
			at += n > 0 ? (size_t)n : 0;
		}
	}
	free((void *)request.body);
	buf_deinit(&out);
	net_client_deinit(&client);
}

/* A node that accepts and says 101, and nothing else ever. */
struct silent_node {
	struct loop_fd listener;
	int connections[4];
	unsigned count;
};

static void accept_and_fall_silent(struct loop_fd *fd, uint32_t events)
{
	static const char answer[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
				     "Upgrade: hexkv-mux/1\r\n\r\n";
	struct silent_node *node = container_of(fd, struct silent_node, listener);
	int connection = accept(fd->fd, NULL, NULL);

	(void)events;
	assert_true(connection >= 0 && node->count < 4);
	net_send(connection, answer, sizeof(answer) - 1);
	node->connections[node->count++] = connection;
	if (node->count == 2)
		loop_stop(loop);
}

static void a_node_that_falls_silent_is_asked_over_a_new_connection(void **state)
{
	struct silent_node node = { .listener = { .events = EPOLLIN,
						  .ready = accept_and_fall_silent } };
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	struct peer_options options = { .connect_timeout_ms = 2000, .in_flight_max = 10 };
	struct peer *saved = peer;
	struct test_call first, second;
	char url[64];

	(void)state;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	node.listener.fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(node.listener.fd, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(node.listener.fd, 5), 0);
	assert_int_equal(getsockname(node.listener.fd, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(loop_add_fd(loop, &node.listener), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	options.url = url;
	assert_int_equal(peer_new(loop, http, &options, &peer), 0);

	prepare(&first, METHOD_GET, "/hello", NULL);
	first.call.timeout_ms = 50;
	submit(&first);
	run_calls();
	assert_int_equal(first.result, OUTCOME_TIMEOUT);
	assert_false(peer_is_up(peer));
	/* This one is under way when the ping goes unanswered, and is asked again. */
	prepare(&second, METHOD_GET, "/hello", NULL);
	submit(&second);
	loop_set_timer(loop, &guard, clock_monotonic_ms() + 20000);
	assert_int_equal(loop_run(loop), 0);
	loop_clear_timer(loop, &guard);
	assert_int_equal(node.count, 2);
	assert_false(second.done);
	call_cancel(&second.call);
	open_calls = 0;

	peer_free(peer);
	peer = saved;
	release(&first);
	release(&second);
	loop_remove_fd(loop, &node.listener);
	close(node.listener.fd);
	for (unsigned i = 0; i < node.count; i++)
		close(node.connections[i]);
}

/* Reads the first request; on its first connection it begins nothing more. */
static void say_goodbye_first(int fd, unsigned number, void *state)
{
	struct frame answer = { .type = number == 0 ? FRAME_GOODBYE : FRAME_RESPONSE };
	struct buf text = { 0 }, in = { 0 }, out = { 0 };
	struct frame request;
	size_t used;

	(void)state;
	fake_read_head(fd, &text);
	fake_write(fd, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
		       "Upgrade: hexkv-mux/1\r\n\r\n");
	while (frame_decode(in.data, in.len, &request, &used) == 0) {
		ssize_t n;

		if (buf_reserve(&in, 4096) < 0 || (n = recv(fd, in.data + in.len, 4096, 0)) <= 0)
			goto out;
		in.len += (size_t)n;
	}
	if (number > 0) {
		answer.id = request.id;
		answer.status = 204;
	}
	frame_deinit(&request);
	if (frame_encode(&answer, &out) == 0)
		fake_write_bytes(fd, out.data, out.len);
	fake_drain(fd, &text);
out:
	buf_deinit(&text);
	buf_deinit(&in);
	buf_deinit(&out);
}

static void a_write_that_a_stopping_node_has_not_begun_is_sent_again(void **state)
{
	struct fake_server *node = fake_server_start(say_goodbye_first, NULL);
	struct peer_options options = { .url = fake_server_url(node),
					.connect_timeout_ms = 2000,
					.in_flight_max = 10 };
	struct peer *saved = peer;
	struct test_call put;

	(void)state;
	fake_server_take_frames(node);
	assert_int_equal(peer_new(loop, http, &options, &peer), 0);
	prepare(&put, METHOD_PUT, "/kv/01", "x");
	submit(&put);
	run_calls();
	assert_int_equal(put.result, OUTCOME_OK);
	assert_int_equal(put.status, 204);
	assert_int_equal(fake_server_connections(node), 2);
	release(&put);
	peer_free(peer);
	peer = saved;
	fake_server_stop(node);
}

static void a_server_that_dies_ends_what_waits(void **state)
{
	uint16_t port = server.port;
	unsigned begun = atomic_load(&server.begun);
	struct test_call put[10], get[10], hello;

	(void)state;
	for (int i = 0; i < 10; i++) {
		prepare(&put[i], METHOD_PUT, "/never", "x");
		prepare(&get[i], METHOD_GET, "/never", NULL);
		submit(&put[i]);
		submit(&get[i]);
	}
	prepare(&hello, METHOD_GET, "/hello", NULL);
	submit(&hello);
	open_calls -= 20;
	run_calls();
	open_calls += 20;
	assert_true(net_wait_for(&server.begun, begun + 21));
	net_server_stop(&server);
	release(&hello);
	run_calls();
	for (int i = 0; i < 10; i++) {
		assert_int_equal(put[i].result, OUTCOME_BAD_GATEWAY);
		assert_true(put[i].maybe_applied);
		/* A read was asked again, of nobody. */
		assert_int_equal(get[i].result, OUTCOME_UNAVAILABLE);
		assert_false(get[i].maybe_applied);
		release(&put[i]);
		release(&get[i]);
	}
	assert_false(peer_is_up(peer));

	/* At once, while it is known to be away. */
	prepare(&hello, METHOD_PUT, "/echo", "x");
	submit(&hello);
	run_calls();
	assert_int_equal(hello.result, OUTCOME_UNAVAILABLE);
	assert_false(hello.maybe_applied);
	release(&hello);

	/* And it is found again. */
	net_server_start(&server, NULL, port);
	for (uint64_t deadline = clock_monotonic_ms() + 10000;;) {
		prepare(&hello, METHOD_PUT, "/echo", "x");
		submit(&hello);
		run_calls();
		release(&hello);
		if (hello.result == OUTCOME_OK)
			break;
		assert_true(clock_monotonic_ms() < deadline);
		usleep(1000);
	}
	assert_true(peer_is_up(peer));
}

static void a_restart_between_calls_shows_to_nobody(void **state)
{
	uint16_t port = server.port;

	(void)state;
	for (int i = 0; i < 5; i++) {
		struct test_call call;

		prepare(&call, METHOD_GET, "/hello", NULL);
		submit(&call);
		run_calls();
		assert_int_equal(call.result, OUTCOME_OK);
		release(&call);
		net_server_stop(&server);
		net_server_start(&server, NULL, port);
	}
}

static void a_wrong_token_shows_as_unavailable(void **state)
{
	struct http_server_options options = { .connection_limit = 10,
					       .idle_timeout_ms = 1000,
					       .token = "secret",
					       .offer_mux = true };
	struct net_server guarded;
	struct peer_options peer_options = { .connect_timeout_ms = 2000, .in_flight_max = 10 };
	struct peer *saved = peer;
	struct test_call call;

	(void)state;
	net_server_start(&guarded, &options, 0);
	peer_options.url = guarded.url;
	for (int i = 0; i < 2; i++) {
		peer_options.token = i ? "secret" : "wrong";
		assert_int_equal(peer_new(loop, http, &peer_options, &peer), 0);
		prepare(&call, METHOD_GET, "/hello", NULL);
		submit(&call);
		run_calls();
		assert_int_equal(call.result, i ? OUTCOME_OK : OUTCOME_UNAVAILABLE);
		release(&call);
		peer_free(peer);
	}
	peer = saved;
	net_server_stop(&guarded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hundreds_in_flight_each_get_their_own_answer),
		cmocka_unit_test(a_crowd_of_large_answers_arrives_whole),
		cmocka_unit_test(an_empty_value_is_a_body),
		cmocka_unit_test(fields_travel_both_ways),
		cmocka_unit_test(a_paused_body_goes_on_on_both_sides),
		cmocka_unit_test(a_source_is_read_whatever_its_size),
		cmocka_unit_test(head_tells_the_size_over_frames_too),
		cmocka_unit_test(a_cancelled_call_is_cancelled_at_the_server),
		cmocka_unit_test(a_call_that_is_not_answered_times_out_alone),
		cmocka_unit_test(more_calls_than_the_limit_are_refused),
		cmocka_unit_test(garbage_ends_its_connection_and_no_other),
		cmocka_unit_test(frames_that_come_with_the_handshake_are_served),
		cmocka_unit_test(a_client_that_does_not_read_is_not_read_from),
		cmocka_unit_test(a_node_that_falls_silent_is_asked_over_a_new_connection),
		cmocka_unit_test(a_write_that_a_stopping_node_has_not_begun_is_sent_again),
		cmocka_unit_test(a_server_that_dies_ends_what_waits),
		cmocka_unit_test(a_restart_between_calls_shows_to_nobody),
		cmocka_unit_test(a_wrong_token_shows_as_unavailable),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("mux", tests, start, stop);
}

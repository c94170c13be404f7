/* SPDX-License-Identifier: MIT */
/* Small requests as frames for threads that may wait: against servers that misbehave, and ours. */
#include "lib/clock.h"
#include "lib/frame.h"
#include "lib/http_client.h"
#include "lib/http_sync.h"
#include "lib/log.h"
#include "tests/unit/fake_server.h"
#include "tests/unit/net_fixture.h"
#include "tests/unit/sync_user.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define ID "00000000000000000000000000000007"

/* What the server is to do with the first request, on the connection with that number. */
enum trick {
	ANSWER,
	ANSWER_TO_ANOTHER_FIRST, /* and a ping, whose pong must come */
	ANSWER_IN_PIECES,
	ANSWER_ONCE_THEN_CLOSE, /* at the next request */
	SAY_GOODBYE,
	CLOSE,
	GARBAGE,
	REQUEST_BACK,
	ASK_BY_HTTP,
	SAY_UNAVAILABLE,
	FALL_SILENT,
	TALK_OF_OTHERS, /* for as long as anybody listens */
	LATE, /* the first answer comes after the second request */
	REFUSE, /* the handshake, and answer by HTTP */
	SWALLOW, /* the handshake; answers HTTP on other connections */
	DRIP, /* so, with a head that does not end */
	GARBLE, /* the handshake's answer */
};

struct script {
	enum trick tricks[4]; /* of each connection; the last goes on */
	_Atomic unsigned handshakes, frames, pongs, cancels, others;
	pthread_mutex_t lock;
	struct buf head; /* of the last handshake */
	struct buf ids; /* request ids of all frames */
	struct buf body; /* of the last one */
};

static void script_deinit(struct script *script)
{
	buf_deinit(&script->head);
	buf_deinit(&script->ids);
	buf_deinit(&script->body);
}

static void note(struct script *script, const struct frame *frame)
{
	pthread_mutex_lock(&script->lock);
	buf_append_str(&script->ids, fields_get(&frame->fields, FIELD_REQUEST_ID, NULL)
					     ? fields_get(&frame->fields, FIELD_REQUEST_ID, NULL)
					     : "-");
	buf_clear(&script->body);
	buf_append(&script->body, frame->body, frame->body_len);
	pthread_mutex_unlock(&script->lock);
}

static void write_frame(int fd, struct frame frame, bool in_pieces)
{
	struct buf bytes = { 0 };

	frame_encode(&frame, &bytes);
	for (size_t i = 0; in_pieces && i < bytes.len; i++)
		fake_write_bytes(fd, bytes.data + i, 1);
	if (!in_pieces)
		fake_write_bytes(fd, bytes.data, bytes.len);
	buf_deinit(&bytes);
}

static void answer(int fd, uint32_t id, unsigned status, const char *body, bool in_pieces)
{
	struct frame frame = { .type = FRAME_RESPONSE,
			       .id = id,
			       .status = (uint16_t)status,
			       .body = (const uint8_t *)body,
			       .body_len = strlen(body) };

	fields_setf(&frame.fields, FIELD_ETAG, "\"10001-1\"");
	write_frame(fd, frame, in_pieces);
	fields_deinit(&frame.fields);
}

/* The next frame that is a request. False: the other side closed. */
static bool next_request(int fd, struct buf *in, struct script *script, uint32_t *ret_id)
{
	for (;;) {
		struct frame frame = { 0 };
		size_t used;
		int r = frame_decode(in->data, in->len, &frame, &used);
		bool is_request = r == 1 && frame.type == FRAME_REQUEST;

		if (r < 0)
			return false;
		if (r == 0) {
			ssize_t n;

			buf_reserve(in, 65536);
			n = recv(fd, in->data + in->len, 65536, 0);
			if (n <= 0)
				return false;
			in->len += (size_t)n;
			continue;
		}
		*ret_id = frame.id;
		if (is_request) {
			note(script, &frame);
			script->frames++;
		}
		script->pongs += frame.type == FRAME_PONG;
		script->cancels += frame.type == FRAME_CANCEL;
		frame_deinit(&frame);
		buf_consume(in, used);
		if (is_request)
			return true;
	}
}

/* Looked for until a moment has passed. What came is dropped. */
static bool other_side_closed(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char bytes[256];

	return poll(&poll_fd, 1, 10) > 0 && recv(fd, bytes, sizeof(bytes), 0) <= 0;
}

/* False: the connection is to end. */
static bool play(int fd, enum trick trick, unsigned count, uint32_t id, struct script *script)
{
	static const char garbage[64] = "this is no frame";

	if (count > 0 && trick == ANSWER_ONCE_THEN_CLOSE)
		return false;
	switch (count == 0 || trick == LATE ? trick : ANSWER) {
	case ANSWER_TO_ANOTHER_FIRST:
		answer(fd, id + 1, 200, "wrong", false);
		write_frame(fd, (struct frame){ .type = FRAME_PING, .id = 99 }, false);
		break;
	case ANSWER_IN_PIECES:
		answer(fd, id, 200, "hello", true);
		return true;
	case SAY_GOODBYE:
		write_frame(fd, (struct frame){ .type = FRAME_GOODBYE }, false);
		return false;
	case CLOSE:
		return false;
	case GARBAGE:
		fake_write_bytes(fd, garbage, sizeof(garbage));
		return true;
	case REQUEST_BACK:
		write_frame(fd,
			    (struct frame){ .type = FRAME_REQUEST,
					    .id = id,
					    .method = METHOD_GET,
					    .target = "/",
					    .target_len = 1 },
			    false);
		return true;
	case ASK_BY_HTTP:
		write_frame(fd,
			    (struct frame){ .type = FRAME_RESPONSE,
					    .flags = FRAME_FLAG_STREAM,
					    .id = id,
					    .status = 200 },
			    false);
		return true;
	case SAY_UNAVAILABLE:
		answer(fd, id, 503, "stopping", false);
		return true;
	case FALL_SILENT:
		return true;
	case TALK_OF_OTHERS:
		while (!other_side_closed(fd)) {
			answer(fd, id + 1, 200, "wrong", false);
			write_frame(fd, (struct frame){ .type = FRAME_PING, .id = 99 }, false);
		}
		return false;
	case LATE:
		if (count > 0) {
			answer(fd, id - 1, 200, "stale", false);
			answer(fd, id, 200, "hello", false);
		}
		return true;
	case ANSWER:
	case ANSWER_ONCE_THEN_CLOSE:
	case REFUSE:
	case SWALLOW:
	case DRIP:
	case GARBLE:
		break;
	}
	answer(fd, id, 200, "hello", false);
	(void)script;
	return true;
}

static void speak_frames(int fd, enum trick trick, struct script *script)
{
	struct buf in = { 0 };
	uint32_t id;

	fake_write(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: hexkv-mux/1\r\n\r\n");
	for (unsigned count = 0; next_request(fd, &in, script, &id); count++)
		if (!play(fd, trick, count, id, script))
			break;
	buf_deinit(&in);
}

static void serve(int fd, unsigned number, void *state)
{
	struct script *script = state;
	enum trick trick = script->tricks[number < 4 ? number : 3];
	struct buf request = { 0 };

	while (buf_clear(&request), fake_read_request(fd, &request)) {
		if (request.len < 9 || memcmp(request.data, "GET /mux ", 9) != 0) {
			script->others++;
			fake_write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
			continue;
		}
		script->handshakes++;
		pthread_mutex_lock(&script->lock);
		buf_clear(&script->head);
		buf_append(&script->head, request.data, request.len);
		pthread_mutex_unlock(&script->lock);
		if (trick == DRIP) {
			while (!other_side_closed(fd))
				fake_write(fd, "X");
		} else if (trick == SWALLOW) {
			fake_drain(fd, &request);
		} else if (trick == REFUSE) {
			fake_write(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
			continue;
		} else if (trick == GARBLE) {
			fake_write(fd, "SSH-2.0-nothing\r\n\r\n");
		} else {
			speak_frames(fd, trick, script);
		}
		break;
	}
	buf_deinit(&request);
}

/* The user's side */

static struct http_sync *client_new(const char *base, const char *token, unsigned connections)
{
	return sync_client_new(base, token, connections, 300);
}

static struct http_sync_request request_of(struct sync_user *user, enum method method)
{
	struct http_sync_request request = sync_request_of(user, method);

	request.small = true;
	return request;
}

/* A PUT with a request id. What http_sync_perform() said. */
static int ask(struct http_sync *client, unsigned *ret_status)
{
	struct sync_user user = { .upload = "value" };
	struct http_sync_request request = request_of(&user, METHOD_PUT);
	struct http_sync_answer got = { 0 };
	int r;

	fields_setf(&request.fields, FIELD_REQUEST_ID, ID);
	r = http_sync_perform(client, &request, &got);
	if (r == 0) {
		*ret_status = got.status;
		if (got.status == 200) {
			assert_int_equal(user.body.len, 5);
			assert_memory_equal(user.body.data, "hello", 5);
		}
	}
	http_sync_answer_deinit(&got);
	fields_deinit(&request.fields);
	buf_deinit(&user.body);
	return r;
}

static void expect(struct http_sync *client, int result, unsigned status)
{
	unsigned got = 0;

	assert_int_equal(ask(client, &got), result);
	assert_int_equal(got, status);
}

struct pair {
	struct script script;
	struct fake_server *server;
	struct http_sync *client;
};

static void pair_start(struct pair *pair, enum trick first, enum trick second, enum trick rest)
{
	*pair = (struct pair){ .script = { .tricks = { first, second, rest, rest },
					   .lock = PTHREAD_MUTEX_INITIALIZER } };
	pair->server = fake_server_start(serve, &pair->script);
	fake_server_take_frames(pair->server);
	pair->client = client_new(fake_server_url(pair->server), "secret", 1);
}

static void pair_stop(struct pair *pair)
{
	http_sync_free(pair->client);
	fake_server_stop(pair->server);
	script_deinit(&pair->script);
}

static void assert_has(struct buf *text, const char *part)
{
	if (text->len == 0 || !memmem(text->data, text->len, part, strlen(part)))
		fail_msg("no '%s' in '%.*s'", part, (int)text->len, (char *)text->data);
}

static void one_connection_carries_one_frame_after_the_other(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, ANSWER, ANSWER, ANSWER);
	for (unsigned i = 0; i < 20; i++)
		expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 1);
	assert_int_equal(pair.script.frames, 20);
	assert_int_equal(pair.script.others, 0);
	assert_has(&pair.script.head, "Authorization: Bearer secret\r\n");
	assert_has(&pair.script.head, "Upgrade: hexkv-mux/1\r\n");
	assert_int_equal(pair.script.body.len, 5);
	assert_memory_equal(pair.script.body.data, "value", 5);
	pair_stop(&pair);
}

static void what_is_not_small_goes_by_http(void **state)
{
	static char long_value[64 * 1024 + 2];
	struct sync_user users[] = { { .upload = NULL }, { .upload = long_value } };
	struct pair pair;

	(void)state;
	memset(long_value, 'x', sizeof(long_value) - 1);
	pair_start(&pair, ANSWER, ANSWER, ANSWER);
	for (unsigned i = 0; i < 2; i++) {
		struct http_sync_request request =
			request_of(&users[i], i ? METHOD_PUT : METHOD_GET);
		struct http_sync_answer got = { 0 };

		request.small = i == 1;
		assert_int_equal(http_sync_perform(pair.client, &request, &got), 0);
		http_sync_answer_deinit(&got);
		buf_deinit(&users[i].body);
	}
	assert_int_equal(pair.script.handshakes, 0);
	assert_int_equal(pair.script.others, 2);
	pair_stop(&pair);
}

static void an_answer_is_known_by_its_id_and_pings_are_answered(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, ANSWER_TO_ANOTHER_FIRST, ANSWER, ANSWER);
	expect(pair.client, 0, 200);
	expect(pair.client, 0, 200);
	assert_int_equal(pair.script.pongs, 1);
	assert_int_equal(fake_server_connections(pair.server), 1);
	pair_stop(&pair);
}

static void an_answer_may_come_in_pieces(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, ANSWER_IN_PIECES, ANSWER, ANSWER);
	expect(pair.client, 0, 200);
	pair_stop(&pair);
}

static void a_kept_connection_that_is_dead_is_made_anew(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, ANSWER_ONCE_THEN_CLOSE, ANSWER, ANSWER);
	expect(pair.client, 0, 200);
	expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 2);
	/* It came three times, each time as itself. */
	assert_int_equal(pair.script.ids.len, 3 * strlen(ID));
	assert_has(&pair.script.ids, ID ID ID);
	pair_stop(&pair);
}

/* New connections that break are the business of who asks again with the same id. */
static void a_new_connection_that_breaks_is_an_error(void **state)
{
	static const enum trick tricks[] = { SAY_GOODBYE, CLOSE, GARBAGE, REQUEST_BACK };

	(void)state;
	for (size_t i = 0; i < sizeof(tricks) / sizeof(*tricks); i++) {
		struct pair pair;

		pair_start(&pair, tricks[i], ANSWER, ANSWER);
		expect(pair.client, -EIO, 0);
		expect(pair.client, 0, 200);
		assert_int_equal(fake_server_connections(pair.server), 2);
		assert_int_equal(pair.script.others, 0);
		pair_stop(&pair);
	}
}

static void an_answer_too_large_for_a_frame_is_asked_for_by_http(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, ASK_BY_HTTP, ANSWER, ANSWER);
	expect(pair.client, 0, 200);
	assert_int_equal(pair.script.others, 1);
	/* The next one is a frame again, on the same connection. */
	expect(pair.client, 0, 200);
	assert_int_equal(pair.script.frames, 2);
	assert_int_equal(pair.script.handshakes, 1);
	pair_stop(&pair);
}

static void who_is_unavailable_is_asked_over_a_new_connection(void **state)
{
	struct pair pair;

	(void)state;
	pair_start(&pair, SAY_UNAVAILABLE, ANSWER, ANSWER);
	expect(pair.client, 0, 503);
	expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 2);
	pair_stop(&pair);
}

static void who_takes_no_frames_is_asked_by_http_and_not_bothered_again(void **state)
{
	static const enum trick tricks[] = { REFUSE, SWALLOW, DRIP, GARBLE };

	(void)state;
	for (size_t i = 0; i < sizeof(tricks) / sizeof(*tricks); i++) {
		struct pair pair;

		pair_start(&pair, tricks[i], tricks[i], tricks[i]);
		for (unsigned n = 0; n < 5; n++)
			expect(pair.client, 0, 200);
		assert_int_equal(pair.script.handshakes, 1);
		assert_int_equal(pair.script.others, 5);
		pair_stop(&pair);
	}
}

static void silence_ends_with_a_timeout(void **state)
{
	struct sync_user user = { 0 };
	struct http_sync_request request = request_of(&user, METHOD_GET);
	struct http_sync_answer got = { 0 };
	struct pair pair;

	(void)state;
	pair_start(&pair, FALL_SILENT, ANSWER, ANSWER);
	request.timeout_ms = 100;
	assert_int_equal(http_sync_perform(pair.client, &request, &got), -ETIMEDOUT);
	/* Who has fallen silent is not trusted with another. */
	expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 2);
	pair_stop(&pair);
}

static void talk_of_others_ends_with_a_timeout_too(void **state)
{
	struct sync_user user = { 0 };
	struct http_sync_request request = request_of(&user, METHOD_GET);
	struct http_sync_answer got = { 0 };
	struct pair pair;

	(void)state;
	pair_start(&pair, TALK_OF_OTHERS, ANSWER, ANSWER);
	request.timeout_ms = 200;
	assert_int_equal(http_sync_perform(pair.client, &request, &got), -ETIMEDOUT);
	expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 2);
	pair_stop(&pair);
}

static void *interrupt_once_asked(void *arg)
{
	void **both = arg;
	struct script *script = both[0];
	struct sync_user *user = both[1];

	while (script->frames == 0)
		poll(NULL, 0, 1);
	atomic_store(&user->interrupt, true);
	return NULL;
}

static void the_answer_to_an_interrupted_request_finds_nobody(void **state)
{
	struct sync_user user = { 0 };
	struct http_sync_request request = request_of(&user, METHOD_GET);
	struct http_sync_answer got = { 0 };
	struct pair pair;
	void *both[] = { &pair.script, &user };
	pthread_t thread;

	(void)state;
	pair_start(&pair, LATE, ANSWER, ANSWER);
	assert_int_equal(pthread_create(&thread, NULL, interrupt_once_asked, both), 0);
	assert_int_equal(http_sync_perform(pair.client, &request, &got), -EINTR);
	pthread_join(thread, NULL);
	expect(pair.client, 0, 200);
	assert_int_equal(pair.script.cancels, 1);
	assert_int_equal(fake_server_connections(pair.server), 1);
	pair_stop(&pair);
}

static void what_the_user_returns_breaks_off(void **state)
{
	struct sync_user user = { .body_error = -ENOSPC };
	struct http_sync_request request = request_of(&user, METHOD_GET);
	struct http_sync_answer got = { 0 };
	struct pair pair;

	(void)state;
	pair_start(&pair, ANSWER, ANSWER, ANSWER);
	assert_int_equal(http_sync_perform(pair.client, &request, &got), -ENOSPC);
	expect(pair.client, 0, 200);
	assert_int_equal(fake_server_connections(pair.server), 1);
	pair_stop(&pair);
}

static void a_port_at_which_nobody_listens_refuses(void **state)
{
	char url[64];
	struct http_sync *client;

	(void)state;
	fake_unused_url(url, sizeof(url));
	client = client_new(url, NULL, 1);
	expect(client, -ECONNREFUSED, 0);
	http_sync_free(client);
}

/* Our own server */

static const struct http_server_options of_clients = {
	.connection_limit = 20,
	.idle_timeout_ms = 1000,
	.head_timeout_ms = 10000,
	.token = "secret",
	.offer_mux = true,
	.mux_of_clients = true,
};

static void get(struct http_sync *client, enum method method, const char *target, unsigned status,
		int64_t length)
{
	struct sync_user user = { 0 };
	struct http_sync_request request = request_of(&user, method);
	struct http_sync_answer got = { 0 };

	request.target = target;
	assert_int_equal(http_sync_perform(client, &request, &got), 0);
	assert_int_equal(got.status, status);
	if (length >= 0)
		assert_int_equal(user.body.len, length);
	http_sync_answer_deinit(&got);
	buf_deinit(&user.body);
}

static void our_server_answers_as_by_http(void **state)
{
	struct net_server server;
	struct http_sync *client, *wrong;

	(void)state;
	net_server_start(&server, &of_clients, 0);
	client = client_new(server.url, "secret", 2);
	wrong = client_new(server.url, "wrong", 2);
	get(client, METHOD_GET, "/hello", 200, 1024);
	get(client, METHOD_HEAD, "/hello", 200, 0);
	get(client, METHOD_GET, "/stream?size=200000", 200, 200000);
	get(client, METHOD_GET, "/stream?size=3000000", 200, 3000000);
	get(client, METHOD_GET, "/stream?size=200000&fail=50000", 502, 0);
	get(client, METHOD_GET, "/hello%zz", 400, -1);
	get(wrong, METHOD_GET, "/hello", 401, -1);
	http_sync_free(wrong);
	http_sync_free(client);
	net_server_stop(&server);
}

static void *ask_often(void *arg)
{
	for (unsigned i = 0; i < 200; i++) {
		char value[200];
		struct sync_user user = { .upload = value };
		struct http_sync_request request = request_of(&user, METHOD_PUT);
		struct http_sync_answer got = { 0 };

		snprintf(value, sizeof(value), "%p %u %0*d", (void *)&user, i, (int)(i % 150), 7);
		request.upload_len = strlen(value);
		request.target = "/echo";
		if (http_sync_perform(arg, &request, &got) != 0 || got.status != 200 ||
		    user.body.len != strlen(value) ||
		    memcmp(user.body.data, value, user.body.len) != 0)
			abort();
		http_sync_answer_deinit(&got);
		buf_deinit(&user.body);
	}
	return NULL;
}

static void threads_get_their_own_answers(void **state)
{
	struct net_server server;
	struct http_sync *client;
	pthread_t threads[12];

	(void)state;
	net_server_start(&server, &of_clients, 0);
	client = client_new(server.url, "secret", 8);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_often, client), 0);
	for (unsigned i = 0; i < 12; i++)
		pthread_join(threads[i], NULL);
	http_sync_free(client);
	net_server_stop(&server);
}

static void upgrade(const struct net_server *server, struct net_client *client)
{
	struct net_response response;

	*client = (struct net_client){ .fd = net_connect(server) };
	net_send_text(client->fd, "GET /mux HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
				  "Upgrade: hexkv-mux/1\r\nAuthorization: Bearer secret\r\n\r\n");
	assert_true(net_receive(client, true, &response));
	assert_int_equal(response.status, 101);
	net_response_deinit(&response);
}

/* The type of the next frame; 0 at the end of the connection. */
static unsigned next_frame(struct net_client *client, unsigned *ret_status)
{
	for (;;) {
		struct frame frame = { 0 };
		size_t used;
		ssize_t n;
		int r = frame_decode(client->in.data, client->in.len, &frame, &used);

		assert_true(r >= 0);
		if (r == 1) {
			unsigned type = frame.type;

			*ret_status = frame.status;
			frame_deinit(&frame);
			buf_consume(&client->in, used);
			return type;
		}
		assert_int_equal(buf_reserve(&client->in, 65536), 0);
		n = recv(client->fd, client->in.data + client->in.len, 65536, 0);
		assert_true(n >= 0);
		if (n == 0)
			return 0;
		client->in.len += (size_t)n;
	}
}

static void a_client_that_is_idle_is_told_goodbye(void **state)
{
	struct net_server server;
	struct http_sync *client;
	struct net_client idle;
	unsigned status;

	(void)state;
	net_server_start(&server, &of_clients, 0);
	client = client_new(server.url, "secret", 1);
	get(client, METHOD_GET, "/hello", 200, 1024);
	upgrade(&server, &idle);
	assert_int_equal(next_frame(&idle, &status), FRAME_GOODBYE);
	assert_int_equal(next_frame(&idle, &status), 0);
	net_client_deinit(&idle);
	/* The other one as well, by now or soon: nobody notices. */
	get(client, METHOD_GET, "/hello", 200, 1024);
	http_sync_free(client);
	net_server_stop(&server);
}

static void idle_clients_give_way_to_new_ones(void **state)
{
	struct http_server_options options = of_clients;
	struct net_server server;
	struct net_client idle[20];
	struct net_response response;
	struct http_sync *client;

	(void)state;
	options.idle_timeout_ms = 60000;
	net_server_start(&server, &options, 0);
	for (unsigned i = 0; i < 20; i++)
		upgrade(&server, &idle[i]);
	/* Who comes too early is told to come again. */
	while (net_ask(&server, "GET /hello HTTP/1.0\r\n\r\n", &response) == 503)
		net_response_deinit(&response);
	assert_int_equal(response.status, 401);
	net_response_deinit(&response);
	client = client_new(server.url, "secret", 1);
	get(client, METHOD_GET, "/hello", 200, 1024);
	http_sync_free(client);
	for (unsigned i = 0; i < 20; i++)
		net_client_deinit(&idle[i]);
	net_server_stop(&server);
}

static void a_client_has_few_requests_under_way_on_one_connection(void **state)
{
	struct frame frame = {
		.type = FRAME_REQUEST, .method = METHOD_GET, .target = "/never", .target_len = 6
	};
	struct net_server server;
	struct net_client client;
	struct buf bytes = { 0 };
	unsigned status;

	(void)state;
	net_server_start(&server, &of_clients, 0);
	upgrade(&server, &client);
	for (frame.id = 1; frame.id <= 17; frame.id++)
		assert_int_equal(frame_encode(&frame, &bytes), 0);
	net_send(client.fd, bytes.data, bytes.len);
	assert_int_equal(next_frame(&client, &status), FRAME_RESPONSE);
	assert_int_equal(status, 429);
	buf_deinit(&bytes);
	net_client_deinit(&client);
	net_server_stop(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_connection_carries_one_frame_after_the_other),
		cmocka_unit_test(what_is_not_small_goes_by_http),
		cmocka_unit_test(an_answer_is_known_by_its_id_and_pings_are_answered),
		cmocka_unit_test(an_answer_may_come_in_pieces),
		cmocka_unit_test(a_kept_connection_that_is_dead_is_made_anew),
		cmocka_unit_test(a_new_connection_that_breaks_is_an_error),
		cmocka_unit_test(an_answer_too_large_for_a_frame_is_asked_for_by_http),
		cmocka_unit_test(who_is_unavailable_is_asked_over_a_new_connection),
		cmocka_unit_test(who_takes_no_frames_is_asked_by_http_and_not_bothered_again),
		cmocka_unit_test(silence_ends_with_a_timeout),
		cmocka_unit_test(talk_of_others_ends_with_a_timeout_too),
		cmocka_unit_test(the_answer_to_an_interrupted_request_finds_nobody),
		cmocka_unit_test(what_the_user_returns_breaks_off),
		cmocka_unit_test(a_port_at_which_nobody_listens_refuses),
		cmocka_unit_test(our_server_answers_as_by_http),
		cmocka_unit_test(threads_get_their_own_answers),
		cmocka_unit_test(a_client_that_is_idle_is_told_goodbye),
		cmocka_unit_test(idle_clients_give_way_to_new_ones),
		cmocka_unit_test(a_client_has_few_requests_under_way_on_one_connection),
	};

	if (http_client_global_init() < 0)
		return 1;
	log_init("test", LOG_LEVEL_ERROR);
	return cmocka_run_group_tests_name("mux_sync", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The client for threads that may wait, against a server that misbehaves. */
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/http_sync.h"
#include "tests/unit/fake_server.h"
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

#include <cmocka.h>

struct script {
	const char *answer;
	struct buf request, second;
	atomic_bool release;
};

static void script_deinit(struct script *script)
{
	buf_deinit(&script->request);
	buf_deinit(&script->second);
}

static void answer_all(int fd, unsigned number, void *state)
{
	struct script *script = state;
	struct buf request = { 0 };

	(void)number;
	while (buf_clear(&request), fake_read_request(fd, &request)) {
		buf_clear(&script->request);
		buf_append(&script->request, request.data, request.len);
		fake_write(fd, script->answer);
	}
	buf_deinit(&request);
}

static void hang(int fd, unsigned number, void *state)
{
	struct script *script = state;
	struct buf ignored = { 0 };

	(void)number;
	if (fake_read_request(fd, &ignored))
		fake_write(fd, script->answer);
	fake_drain(fd, &ignored);
	buf_deinit(&ignored);
}

static void close_at_once(int fd, unsigned number, void *state)
{
	struct script *script = state;

	(void)number;
	if (fake_read_request(fd, &script->request))
		fake_write(fd, script->answer);
}

static void die_on_reuse(int fd, unsigned number, void *state)
{
	struct script *script = state;
	struct buf ignored = { 0 };

	if (number == 0) {
		fake_read_request(fd, &ignored);
		fake_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		fake_read_request(fd, &script->request);
	} else if (fake_read_request(fd, &script->second)) {
		fake_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		fake_drain(fd, &ignored);
	}
	buf_deinit(&ignored);
}

/* Without a trace, for several connections at once. */
static void answer_own(int fd, unsigned number, void *state)
{
	struct buf request = { 0 };

	(void)number;
	(void)state;
	while (buf_clear(&request), fake_read_request(fd, &request))
		fake_write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
	buf_deinit(&request);
}

static struct http_sync *client_new(const char *base, const char *token, unsigned connections)
{
	return sync_client_new(base, token, connections, 2000);
}

static void assert_contains(struct buf *text, const char *part)
{
	buf_append_u8(text, 0);
	text->len--;
	if (!strstr((char *)text->data, part))
		fail_msg("no '%s' in '%s'", part, (char *)text->data);
}

static void a_ranged_read_delivers_its_bytes(void **state)
{
	struct script script = { .answer = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n"
					   "Content-Range: bytes 0-4/9\r\n\r\nhello" };
	struct fake_server *server = fake_server_start(answer_all, &script);
	char base[80];
	struct http_sync *client;
	struct sync_user user = { 0 };
	struct http_sync_request request = sync_request_of(&user, METHOD_GET);
	struct http_sync_answer answer;

	(void)state;
	/* A slash at the end of what a person typed does no harm. */
	snprintf(base, sizeof(base), "%s/", fake_server_url(server));
	client = client_new(base, "secret", 2);
	fields_setf(&request.fields, FIELD_RANGE, "bytes=0-4");
	assert_int_equal(http_sync_perform(client, &request, &answer), 0);
	assert_int_equal(answer.status, 206);
	assert_int_equal(answer.content_length, 5);
	assert_string_equal(fields_get(&answer.fields, FIELD_CONTENT_RANGE, NULL), "bytes 0-4/9");
	assert_int_equal(user.body.len, 5);
	assert_memory_equal(user.body.data, "hello", 5);
	http_sync_free(client);
	fake_server_stop(server);
	assert_contains(&script.request, "GET /kv/00ff HTTP/1.1\r\n");
	assert_contains(&script.request, "Range: bytes=0-4\r\n");
	assert_contains(&script.request, "Authorization: Bearer secret\r\n");
	http_sync_answer_deinit(&answer);
	fields_deinit(&request.fields);
	buf_deinit(&user.body);
	script_deinit(&script);
}

static void an_upload_is_asked_by_offset(void **state)
{
	struct script script = { .answer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_all, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { .upload = "hello world" };
	struct http_sync_request request = sync_request_of(&user, METHOD_PUT);
	struct http_sync_answer answer;

	(void)state;
	assert_int_equal(http_sync_perform(client, &request, &answer), 0);
	assert_int_equal(answer.status, 201);
	http_sync_answer_deinit(&answer);
	assert_contains(&script.request, "Content-Length: 11\r\n");
	assert_contains(&script.request, "\r\n\r\nhello world");
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

static ssize_t upload_until_end(void *state, uint64_t offset, void *data, size_t len)
{
	struct sync_user *user = state;

	return offset == strlen(user->upload) ? 0 : sync_upload(state, offset, data, len);
}

static void an_upload_of_unknown_length_ends_when_it_says_so(void **state)
{
	struct script script = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_all, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { .upload = "hello" };
	struct http_sync_request request = sync_request_of(&user, METHOD_PUT);
	struct http_sync_answer answer;

	(void)state;
	request.upload = upload_until_end;
	request.upload_len = HTTP_SYNC_LENGTH_UNKNOWN;
	assert_int_equal(http_sync_perform(client, &request, &answer), 0);
	http_sync_answer_deinit(&answer);
	assert_contains(&script.request, "Transfer-Encoding: chunked\r\n");
	assert_contains(&script.request, "\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n");
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

static int two_fields(void *state, struct fields *ret_fields)
{
	(void)state;
	assert_int_equal(fields_setf(ret_fields, FIELD_ENCODING, "utf-8"), 0);
	return fields_setf(ret_fields, FIELD_MTIME, "-5");
}

static void a_trailer_follows_an_upload_of_unknown_length(void **state)
{
	struct script script = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_all, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { .upload = "hello" };
	struct http_sync_request request = sync_request_of(&user, METHOD_PUT);
	struct http_sync_answer answer;

	(void)state;
	request.upload = upload_until_end;
	request.upload_len = HTTP_SYNC_LENGTH_UNKNOWN;
	request.trailer = two_fields;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http_sync_perform(client, &request, &answer), 0);
		http_sync_answer_deinit(&answer);
		assert_contains(&script.request,
				"\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\nHexKV-Encoding: "
				"utf-8\r\nHexKV-Mtime: -5\r\n\r\n");
	}
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

static int refuse_trailer(void *state, struct fields *ret_fields)
{
	(void)state;
	(void)ret_fields;
	return -EBADF;
}

static void a_trailer_that_fails_breaks_the_upload_off(void **state)
{
	struct script script = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(close_at_once, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { .upload = "hello" };
	struct http_sync_request request = sync_request_of(&user, METHOD_PUT);
	struct http_sync_answer answer;

	(void)state;
	request.upload = upload_until_end;
	request.upload_len = HTTP_SYNC_LENGTH_UNKNOWN;
	request.trailer = refuse_trailer;
	assert_int_equal(http_sync_perform(client, &request, &answer), -EBADF);
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

/* Whether it says how long it is or not. */
static void upload_on_a_dead_connection(bool is_chunked)
{
	struct script script = { 0 };
	struct fake_server *server = fake_server_start(die_on_reuse, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user warmer = { .upload = "" }, user = { .upload = "hello world" };
	struct http_sync_request first = sync_request_of(&warmer, METHOD_PUT);
	struct http_sync_request second = sync_request_of(&user, METHOD_PUT);
	struct http_sync_answer answer;

	if (is_chunked) {
		first.upload = second.upload = upload_until_end;
		first.upload_len = second.upload_len = HTTP_SYNC_LENGTH_UNKNOWN;
	}
	fields_setf(&second.fields, FIELD_REQUEST_ID, "%032d", 7);
	assert_int_equal(http_sync_perform(client, &first, &answer), 0);
	http_sync_answer_deinit(&answer);
	assert_int_equal(http_sync_perform(client, &second, &answer), 0);
	assert_int_equal(answer.status, 204);
	http_sync_answer_deinit(&answer);
	http_sync_free(client);
	fake_server_stop(server);
	assert_contains(&script.request, "HexKV-Request-Id: 00000000000000000000000000000007\r\n");
	assert_contains(&script.second, "HexKV-Request-Id: 00000000000000000000000000000007\r\n");
	assert_contains(&script.second, is_chunked ? "\r\n0\r\n\r\n" : "\r\n\r\nhello world");
	fields_deinit(&second.fields);
	script_deinit(&script);
}

static void an_upload_starts_again_when_a_reused_connection_is_dead(void **state)
{
	(void)state;
	upload_on_a_dead_connection(false);
	upload_on_a_dead_connection(true);
}

/* What each connection is answered, and how many there were. */
struct answers {
	const char *answer;
	atomic_uint connections;
};

static void answer_each(int fd, unsigned number, void *state)
{
	struct answers *answers = state;
	struct buf request = { 0 };

	(void)number;
	atomic_fetch_add(&answers->connections, 1);
	while (buf_clear(&request), fake_read_request(fd, &request))
		fake_write(fd, answers->answer);
	buf_deinit(&request);
}

/* One request after the other, each expected to bring the status and "hello". */
static void get_often(struct http_sync *client, unsigned count, unsigned status)
{
	for (unsigned i = 0; i < count; i++) {
		struct sync_user user = { 0 };
		struct http_sync_request request = sync_request_of(&user, METHOD_GET);
		struct http_sync_answer answer;

		assert_int_equal(http_sync_perform(client, &request, &answer), 0);
		assert_int_equal(answer.status, status);
		assert_int_equal(user.body.len, 5);
		assert_memory_equal(user.body.data, "hello", 5);
		http_sync_answer_deinit(&answer);
		buf_deinit(&user.body);
	}
}

static void answers_of_all_kinds_are_understood(void **state)
{
	static const struct {
		const char *answer;
		unsigned connections; /* for three requests */
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 1 },
		{ "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 1 },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		  1 },
		{ "HTTP/1.1 200 OK\r\nconnection: CLOSE\r\nContent-Length: 5\r\n\r\nhello", 3 },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		  1 },
		{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 3 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct answers answers = { .answer = cases[i].answer };
		struct fake_server *server = fake_server_start(answer_each, &answers);
		struct http_sync *client = client_new(fake_server_url(server), NULL, 1);

		get_often(client, 3, 200);
		http_sync_free(client);
		fake_server_stop(server);
		assert_int_equal(atomic_load(&answers.connections), cases[i].connections);
	}
}

/* Bytes that nobody asked for must not become part of the next answer. */
static void nothing_may_follow_an_answer_unasked(void **state)
{
	struct answers answers = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
					     "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" };
	struct fake_server *server = fake_server_start(answer_each, &answers);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);

	(void)state;
	get_often(client, 3, 200);
	http_sync_free(client);
	fake_server_stop(server);
}

static void answer_in_pieces(int fd, unsigned number, void *state)
{
	static const char answer[] = "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n"
				     "ETag: \"10001-1\"\r\n\r\nhello";
	struct buf request = { 0 };

	(void)number;
	(void)state;
	while (buf_clear(&request), fake_read_request(fd, &request))
		for (size_t i = 0; i < strlen(answer); i++)
			fake_write_bytes(fd, answer + i, 1);
	buf_deinit(&request);
}

static void an_answer_may_come_in_pieces(void **state)
{
	struct fake_server *server = fake_server_start(answer_in_pieces, NULL);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);

	(void)state;
	get_often(client, 10, 206);
	http_sync_free(client);
	fake_server_stop(server);
}

static void what_the_user_returns_breaks_off(void **state)
{
	struct fake_server *server = fake_server_start(answer_own, NULL);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user refusing = { .body_error = -ENOSPC };
	struct sync_user failing = { .upload = "hello", .upload_error = -EBADF };
	struct sync_user ending = { .upload = "hello", .upload_short = true };
	struct http_sync_request get = sync_request_of(&refusing, METHOD_GET);
	struct http_sync_request put = sync_request_of(&failing, METHOD_PUT);
	struct http_sync_request short_put = sync_request_of(&ending, METHOD_PUT);
	struct http_sync_answer answer;

	(void)state;
	assert_int_equal(http_sync_perform(client, &get, &answer), -ENOSPC);
	assert_int_equal(http_sync_perform(client, &put, &answer), -EBADF);
	assert_int_equal(http_sync_perform(client, &short_put, &answer), -EIO);
	http_sync_free(client);
	fake_server_stop(server);
}

static void faults_of_the_other_side_have_their_own_errors(void **state)
{
	const char *const broken[] = { "", "garbage\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le",
				       "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort" };
	struct sync_user user = { 0 };
	struct http_sync_request request = sync_request_of(&user, METHOD_GET);
	struct http_sync_answer answer;
	struct http_sync *client;
	char url[64];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct script script = { .answer = broken[i] };
		struct fake_server *server = fake_server_start(close_at_once, &script);

		client = client_new(fake_server_url(server), NULL, 1);
		assert_int_equal(http_sync_perform(client, &request, &answer), -EIO);
		http_sync_free(client);
		fake_server_stop(server);
		script_deinit(&script);
	}
	fake_unused_url(url, sizeof(url));
	client = client_new(url, NULL, 1);
	assert_int_equal(http_sync_perform(client, &request, &answer), -ECONNREFUSED);
	http_sync_free(client);
	client = client_new("http://bad host:1", NULL, 1);
	assert_int_equal(http_sync_perform(client, &request, &answer), -EINVAL);
	http_sync_free(client);
	buf_deinit(&user.body);
}

static void no_progress_ends_with_a_timeout(void **state)
{
	const char *const answers[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct script script = { .answer = answers[i] };
		struct fake_server *server = fake_server_start(hang, &script);
		struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
		struct sync_user user = { 0 };
		struct http_sync_request request = sync_request_of(&user, METHOD_GET);
		struct http_sync_answer answer;
		uint64_t begin = clock_monotonic_ms();

		request.timeout_ms = 120;
		assert_int_equal(http_sync_perform(client, &request, &answer), -ETIMEDOUT);
		assert_true(clock_monotonic_ms() - begin >= 120);
		http_sync_free(client);
		fake_server_stop(server);
		buf_deinit(&user.body);
		script_deinit(&script);
	}
}

static void a_problem_is_kept_up_to_its_bound_and_not_delivered(void **state)
{
	struct buf text = { 0 };
	struct script script = { 0 };
	struct sync_user user = { 0 };
	struct http_sync_request request = sync_request_of(&user, METHOD_GET);
	struct http_sync_answer answer;
	struct fake_server *server;
	struct http_sync *client;

	(void)state;
	buf_printf(&text, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100000\r\n\r\n");
	for (int i = 0; i < 100000; i++)
		buf_append_u8(&text, 'p');
	buf_append_u8(&text, 0);
	script.answer = (char *)text.data;
	server = fake_server_start(answer_all, &script);
	client = client_new(fake_server_url(server), NULL, 1);
	assert_int_equal(http_sync_perform(client, &request, &answer), 0);
	assert_int_equal(answer.status, 503);
	assert_int_equal(answer.problem.len, 65536);
	assert_int_equal(user.body.len, 0);
	http_sync_answer_deinit(&answer);
	http_sync_free(client);
	fake_server_stop(server);
	buf_deinit(&text);
	script_deinit(&script);
}

struct background {
	struct http_sync *client;
	struct http_sync_request request;
	int result;
};

static void *perform(void *data)
{
	struct background *background = data;
	struct http_sync_answer answer = { 0 };

	background->result = http_sync_perform(background->client, &background->request, &answer);
	http_sync_answer_deinit(&answer);
	return NULL;
}

static void wait_for_connection(struct fake_server *server)
{
	for (int i = 0; i < 10000 && fake_server_connections(server) == 0; i++)
		poll(NULL, 0, 1);
	assert_int_equal(fake_server_connections(server), 1);
}

static void a_user_can_interrupt_a_wait(void **state)
{
	struct script script = { .answer = "" };
	struct fake_server *server = fake_server_start(hang, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { 0 }, waiting = { 0 };
	struct background first = { client, sync_request_of(&user, METHOD_GET), 0 };
	struct background second = { client, sync_request_of(&waiting, METHOD_GET), 0 };
	pthread_t threads[2];

	(void)state;
	assert_int_equal(pthread_create(&threads[0], NULL, perform, &first), 0);
	wait_for_connection(server);
	/* The only connection is in use: this one waits for it. */
	assert_int_equal(pthread_create(&threads[1], NULL, perform, &second), 0);
	atomic_store(&waiting.interrupt, true);
	pthread_join(threads[1], NULL);
	assert_int_equal(second.result, -EINTR);
	atomic_store(&user.interrupt, true);
	pthread_join(threads[0], NULL);
	assert_int_equal(first.result, -EINTR);
	assert_int_equal(fake_server_connections(server), 1);
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

static void waiting_for_a_free_connection_is_bounded(void **state)
{
	struct script script = { .answer = "" };
	struct fake_server *server = fake_server_start(hang, &script);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 1);
	struct sync_user user = { 0 }, waiting = { 0 };
	struct background first = { client, sync_request_of(&user, METHOD_GET), 0 };
	struct http_sync_request request = sync_request_of(&waiting, METHOD_GET);
	struct http_sync_answer answer;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, perform, &first), 0);
	wait_for_connection(server);
	request.timeout_ms = 50;
	assert_int_equal(http_sync_perform(client, &request, &answer), -ETIMEDOUT);
	atomic_store(&user.interrupt, true);
	pthread_join(thread, NULL);
	http_sync_free(client);
	fake_server_stop(server);
	script_deinit(&script);
}

#define THREADS 6

static void *perform_many(void *data)
{
	struct background *background = data;

	for (int i = 0; i < 50 && background->result == 0; i++)
		perform(background);
	return NULL;
}

static void threads_share_a_bounded_number_of_warm_connections(void **state)
{
	struct fake_server *server = fake_server_start(answer_own, NULL);
	struct http_sync *client = client_new(fake_server_url(server), NULL, 3);
	struct sync_user users[THREADS] = { 0 };
	struct background backgrounds[THREADS];
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		backgrounds[i] =
			(struct background){ client, sync_request_of(&users[i], METHOD_GET), 0 };
		assert_int_equal(pthread_create(&threads[i], NULL, perform_many, &backgrounds[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(backgrounds[i].result, 0);
		assert_int_equal(users[i].body.len, 250);
		buf_deinit(&users[i].body);
	}
	assert_true(fake_server_connections(server) <= 3);
	http_sync_free(client);
	fake_server_stop(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ranged_read_delivers_its_bytes),
		cmocka_unit_test(an_upload_is_asked_by_offset),
		cmocka_unit_test(an_upload_of_unknown_length_ends_when_it_says_so),
		cmocka_unit_test(a_trailer_follows_an_upload_of_unknown_length),
		cmocka_unit_test(a_trailer_that_fails_breaks_the_upload_off),
		cmocka_unit_test(an_upload_starts_again_when_a_reused_connection_is_dead),
		cmocka_unit_test(answers_of_all_kinds_are_understood),
		cmocka_unit_test(nothing_may_follow_an_answer_unasked),
		cmocka_unit_test(an_answer_may_come_in_pieces),
		cmocka_unit_test(what_the_user_returns_breaks_off),
		cmocka_unit_test(faults_of_the_other_side_have_their_own_errors),
		cmocka_unit_test(no_progress_ends_with_a_timeout),
		cmocka_unit_test(a_problem_is_kept_up_to_its_bound_and_not_delivered),
		cmocka_unit_test(a_user_can_interrupt_a_wait),
		cmocka_unit_test(waiting_for_a_free_connection_is_bounded),
		cmocka_unit_test(threads_share_a_bounded_number_of_warm_connections),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The libcurl client in a loop, against a server that misbehaves. */
#include "lib/clock.h"
#include "tests/unit/fake_server.h"
#include "tests/unit/probe.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_contains(struct buf *text, const char *part)
{
	buf_append_u8(text, 0);
	text->len--;
	if (!strstr((char *)text->data, part))
		fail_msg("no '%s' in '%s'", part, (char *)text->data);
}

static void assert_lacks(struct buf *text, const char *part)
{
	buf_append_u8(text, 0);
	text->len--;
	assert_null(strcasestr((char *)text->data, part));
}

/* What the scripts saw, and what they answer with. */
struct seen {
	struct buf request, second;
	const char *answer;
	atomic_bool closed;
};

static void seen_deinit(struct seen *seen)
{
	buf_deinit(&seen->request);
	buf_deinit(&seen->second);
}

static void answer_once(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	if (fake_read_request(fd, &seen->request))
		fake_write(fd, seen->answer);
	fake_drain(fd, &seen->second);
}

static void a_get_delivers_head_body_and_done(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
				       "hexkv-encoding:  utf-8 \r\nX-Other: y\r\n\r\nhello" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { 0 };

	(void)state;
	fields_set(&probe.call.fields, FIELD_IF_NONE_MATCH, "\"1-2\"", 5);
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.heads, 1);
	assert_int_equal(probe.dones, 1);
	assert_int_equal(probe.status, 200);
	assert_int_equal(probe.content_length, 5);
	assert_string_equal(fields_get(&probe.fields, FIELD_ENCODING, NULL), "utf-8");
	probe_assert_body(&probe, "hello");
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_contains(&seen.request, "GET /kv/00ff HTTP/1.1\r\n");
	assert_contains(&seen.request, "\r\nIf-None-Match: \"1-2\"\r\n");
	assert_lacks(&seen.request, "Accept:");
	assert_lacks(&seen.request, "Expect:");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void a_whole_body_is_sent_with_its_length_and_no_expectation(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	const enum method methods[] = { METHOD_PUT, METHOD_PATCH, METHOD_POST };
	size_t len = 2 * 1024 * 1024;
	char *value = malloc(len + 1);

	(void)state;
	memset(value, 'v', len);
	value[len] = '\0';
	fake_server_stop(server);
	for (size_t i = 0; i < 3; i++) {
		struct probe probe = { .call = { .method = methods[i],
						 .body = value,
						 .body_len = len,
						 .has_body = true } };
		char first[64];

		server = fake_server_start(answer_once, &seen);
		fields_set(&probe.call.fields, FIELD_ENCODING, "", 0);
		probe_ask(&probe, fake_server_url(server));
		fake_server_stop(server);
		assert_int_equal(probe.result, OUTCOME_OK);
		assert_int_equal(probe.status, 204);
		snprintf(first, sizeof(first), "%s /kv/00ff HTTP/1.1\r\n", method_name(methods[i]));
		assert_contains(&seen.request, first);
		assert_contains(&seen.request, "\r\nContent-Length: 2097152\r\n");
		assert_contains(&seen.request, "\r\nHexKV-Encoding:");
		assert_lacks(&seen.request, "\r\nExpect");
		assert_lacks(&seen.request, "urlencoded");
		assert_memory_equal(seen.request.data + seen.request.len - len, value, len);
		buf_clear(&seen.request);
		probe_deinit(&probe);
	}
	seen_deinit(&seen);
	free(value);
}

static void an_empty_body_is_announced_and_an_absent_one_is_not(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe empty = { .call = { .method = METHOD_PUT, .has_body = true } };
	struct probe absent = { .call = { .method = METHOD_MOVE } };

	(void)state;
	probe_ask(&empty, fake_server_url(server));
	fake_server_stop(server);
	assert_contains(&seen.request, "PUT /kv/00ff HTTP/1.1\r\n");
	assert_contains(&seen.request, "\r\nContent-Length: 0\r\n");
	buf_clear(&seen.request);
	server = fake_server_start(answer_once, &seen);
	fields_set(&absent.call.fields, FIELD_DESTINATION, "/kv/01", 6);
	probe_ask(&absent, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(absent.result, OUTCOME_OK);
	assert_contains(&seen.request, "MOVE /kv/00ff HTTP/1.1\r\n");
	assert_contains(&seen.request, "\r\nDestination: /kv/01\r\n");
	assert_lacks(&seen.request, "Content-Length");
	probe_deinit(&empty);
	probe_deinit(&absent);
	seen_deinit(&seen);
}

static void head_shows_the_announced_length_and_no_body(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 4294967296\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { .call = { .method = METHOD_HEAD } };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_int_equal(probe.content_length, 4294967296);
	assert_int_equal(probe.body.len, 0);
	assert_contains(&seen.request, "HEAD /kv/00ff HTTP/1.1\r\n");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void an_upload_pauses_and_goes_on(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = 11 },
			       .upload = "hello world",
			       .upload_len = 11,
			       .upload_piece = 3 };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_int_equal(probe.status, 201);
	assert_contains(&seen.request, "\r\nContent-Length: 11\r\n");
	assert_contains(&seen.request, "\r\n\r\nhello world");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void an_upload_of_unknown_length_is_chunked(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 204 No Content\r\n\r\n" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = -1 },
			       .upload = "hello world",
			       .upload_len = 11,
			       .upload_piece = 6 };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_contains(&seen.request, "\r\nTransfer-Encoding: chunked\r\n");
	assert_contains(&seen.request, "\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n");
	assert_lacks(&seen.request, "Content-Length");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void drain_request(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	fake_drain(fd, &seen->request);
	atomic_store(&seen->closed, true);
}

static void an_upload_that_breaks_off_closes_the_connection(void **state)
{
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(drain_request, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = -1 },
			       .upload = "hello",
			       .upload_len = 5,
			       .upload_breaks_off = true };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	assert_int_equal(probe.result, OUTCOME_BAD_GATEWAY);
	assert_true(probe.maybe_applied);
	for (int i = 0; i < PROBE_DEADLINE_MS && !atomic_load(&seen.closed); i++)
		poll(NULL, 0, 1);
	assert_true(atomic_load(&seen.closed));
	fake_server_stop(server);
	assert_lacks(&seen.request, "\r\n0\r\n\r\n");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void refuse_early(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	fake_read_head(fd, &seen->request);
	fake_write(fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
	fake_drain(fd, &seen->second);
}

static void an_early_refusal_ends_the_upload(void **state)
{
	size_t len = 64 * 1024 * 1024;
	char *value = calloc(len, 1);
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(refuse_early, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = (int64_t)len },
			       .upload = value,
			       .upload_len = len };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_int_equal(probe.status, 413);
	probe_assert_body(&probe, "big");
	assert_true(seen.second.len < len);
	probe_deinit(&probe);
	seen_deinit(&seen);
	free(value);
}

static void an_early_refusal_ends_an_upload_that_has_nothing_to_send(void **state)
{
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(refuse_early, &seen);
	struct probe probe = {
		.call = { .method = METHOD_PUT, .upload_len = 1000, .timeout_ms = 3000 },
		.upload = "abc",
		.upload_len = 3,
		.upload_piece = 3,
		.resume_after_ms = 60000
	};

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_int_equal(probe.status, 413);
	probe_assert_body(&probe, "big");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void answer_large(int fd, unsigned number, void *state)
{
	struct buf *value = state;
	struct buf request = { 0 };
	char head[100];

	(void)number;
	fake_read_request(fd, &request);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", value->len);
	fake_write(fd, head);
	fake_write_bytes(fd, value->data, value->len);
	fake_drain(fd, &request);
	buf_deinit(&request);
}

static void a_body_that_is_taken_in_parts_arrives_whole(void **state)
{
	const size_t parts[] = { 0, 1000, 16384, 5000 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf value = { 0 };
		struct probe probe = { .take_at_most = parts[i] };
		struct fake_server *server;

		for (unsigned n = 0; n < 100000; n++)
			buf_append_u32(&value, n);
		server = fake_server_start(answer_large, &value);
		probe_ask(&probe, fake_server_url(server));
		assert_int_equal(probe.result, OUTCOME_OK);
		assert_int_equal(probe.dones, 1);
		assert_int_equal(probe.body.len, value.len);
		assert_memory_equal(probe.body.data, value.data, value.len);
		fake_server_stop(server);
		probe_deinit(&probe);
		buf_deinit(&value);
	}
}

static void answer_chunked(int fd, unsigned number, void *state)
{
	struct buf *value = state;
	struct buf request = { 0 };

	(void)number;
	fake_read_request(fd, &request);
	fake_write(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t at = 0; at < value->len;) {
		size_t len = 1 + at % 30000;
		char head[20];

		len = len < value->len - at ? len : value->len - at;
		snprintf(head, sizeof(head), "%zx\r\n", len);
		fake_write(fd, head);
		fake_write_bytes(fd, value->data + at, len);
		fake_write(fd, "\r\n");
		at += len;
	}
	fake_write(fd, "0\r\nETag: \"9-9\"\r\n\r\n");
	fake_drain(fd, &request);
	buf_deinit(&request);
}

static void a_chunked_body_that_is_taken_in_parts_arrives_whole(void **state)
{
	struct buf value = { 0 };
	struct probe probe = { .take_at_most = 700 };
	struct fake_server *server;

	(void)state;
	for (unsigned n = 0; n < 100000; n++)
		buf_append_u32(&value, n);
	server = fake_server_start(answer_chunked, &value);
	probe_ask(&probe, fake_server_url(server));
	assert_int_equal(probe.result, OUTCOME_OK);
	assert_int_equal(probe.content_length, -1);
	assert_int_equal(probe.body.len, value.len);
	assert_memory_equal(probe.body.data, value.data, value.len);
	assert_null(fields_get(&probe.fields, FIELD_ETAG, NULL));
	fake_server_stop(server);
	probe_deinit(&probe);
	buf_deinit(&value);
}

static void waiting_for_its_user_does_not_time_a_call_out(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = 6, .timeout_ms = 150 },
			       .upload = "upload",
			       .upload_len = 6,
			       .upload_piece = 1,
			       .take_at_most = 1,
			       .resume_after_ms = 40 };
	uint64_t begin = clock_monotonic_ms();

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	probe_assert_body(&probe, "0123456789");
	assert_true(clock_monotonic_ms() - begin > 300);
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void one_long_pause_is_longer_than_the_timeout(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { .call = { .method = METHOD_PUT, .upload_len = 2, .timeout_ms = 60 },
			       .upload = "up",
			       .upload_len = 2,
			       .upload_piece = 2,
			       .take_at_most = 1,
			       .resume_after_ms = 200 };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	probe_assert_body(&probe, "ok");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

static void nobody_listening_means_not_applied(void **state)
{
	struct probe probe = { .call = { .method = METHOD_PUT, .has_body = true } };
	char url[64];

	(void)state;
	fake_unused_url(url, sizeof(url));
	probe_ask(&probe, url);
	assert_int_equal(probe.result, OUTCOME_UNAVAILABLE);
	assert_false(probe.maybe_applied);
	assert_int_equal(probe.heads, 0);
	probe_deinit(&probe);
}

static void a_broken_answer_means_maybe_applied(void **state)
{
	const char *const answers[] = {
		"",
		"garbage that is no HTTP at all\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Len",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"HTTP/1.1 999 Odd\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct seen seen = { .answer = answers[i] };
		struct fake_server *server;
		struct probe probe = { .call = { .method = METHOD_PUT, .has_body = true } };

		/* Closes right after its answer. */
		server = fake_server_start(answer_once, &seen);
		probe.url = fake_server_url(server);
		probe.call.timeout_ms = 300;
		probe_start(&probe);
		probe_run();
		if (probe.result != OUTCOME_BAD_GATEWAY && probe.result != OUTCOME_TIMEOUT)
			fail_msg("answer %zu ended with %d", i, (int)probe.result);
		assert_true(probe.maybe_applied);
		fake_server_stop(server);
		probe_deinit(&probe);
		seen_deinit(&seen);
	}
}

static void close_after_answer(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	if (fake_read_request(fd, &seen->request))
		fake_write(fd, seen->answer);
}

static void a_connection_that_breaks_off_is_a_bad_gateway(void **state)
{
	const char *const answers[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct seen seen = { .answer = answers[i] };
		struct fake_server *server = fake_server_start(close_after_answer, &seen);
		struct probe probe = { 0 };

		probe_ask(&probe, fake_server_url(server));
		fake_server_stop(server);
		assert_int_equal(probe.result, OUTCOME_BAD_GATEWAY);
		assert_true(probe.maybe_applied);
		probe_deinit(&probe);
		seen_deinit(&seen);
	}
}

static void silence_ends_with_a_timeout(void **state)
{
	const char *const answers[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct seen seen = { .answer = answers[i] };
		struct fake_server *server = fake_server_start(answer_once, &seen);
		struct probe probe = { .call = { .timeout_ms = 100 } };
		uint64_t begin = clock_monotonic_ms();

		probe_ask(&probe, fake_server_url(server));
		assert_int_equal(probe.result, OUTCOME_TIMEOUT);
		assert_true(probe.maybe_applied);
		assert_true(clock_monotonic_ms() - begin >= 100);
		fake_server_stop(server);
		probe_deinit(&probe);
		seen_deinit(&seen);
	}
}

static void drip(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	fake_read_request(fd, &seen->request);
	fake_write(fd, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
	for (int i = 0; i < 8; i++) {
		poll(NULL, 0, 60);
		fake_write(fd, "x");
	}
	fake_drain(fd, &seen->second);
}

static void a_slow_answer_that_moves_is_not_timed_out(void **state)
{
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(drip, &seen);
	struct probe probe = { .call = { .timeout_ms = 300 } };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.result, OUTCOME_OK);
	probe_assert_body(&probe, "xxxxxxxx");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

/* The first connection answers once and dies on the second request. */
static void die_on_reuse(int fd, unsigned number, void *state)
{
	struct seen *seen = state;
	struct buf ignored = { 0 };

	if (number == 0) {
		fake_read_request(fd, &ignored);
		fake_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		fake_read_request(fd, &seen->request);
	} else if (fake_read_request(fd, &seen->second)) {
		fake_write(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		fake_drain(fd, &ignored);
	}
	buf_deinit(&ignored);
}

static void a_request_on_a_dead_connection_is_sent_again_with_its_id(void **state)
{
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(die_on_reuse, &seen);
	struct probe second = {
		.call = { .method = METHOD_PUT, .has_body = true, .body = "value", .body_len = 5 },
		.url = fake_server_url(server)
	};
	struct probe first = { .next = &second };

	(void)state;
	fields_setf(&second.call.fields, FIELD_REQUEST_ID, "%032d", 7);
	probe_ask(&first, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(first.result, OUTCOME_OK);
	assert_int_equal(second.result, OUTCOME_OK);
	assert_true(second.maybe_applied);
	assert_contains(&seen.request, "HexKV-Request-Id: 00000000000000000000000000000007\r\n");
	assert_contains(&seen.second, "HexKV-Request-Id: 00000000000000000000000000000007\r\n");
	assert_contains(&seen.second, "\r\n\r\nvalue");
	probe_deinit(&first);
	probe_deinit(&second);
	seen_deinit(&seen);
}

static void a_stream_on_a_dead_connection_is_not_sent_again(void **state)
{
	struct seen seen = { 0 };
	struct fake_server *server = fake_server_start(die_on_reuse, &seen);
	struct probe second = { .call = { .method = METHOD_PUT, .upload_len = 5 },
				.upload = "value",
				.upload_len = 5,
				.url = fake_server_url(server) };
	struct probe first = { .next = &second };

	(void)state;
	probe_ask(&first, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(second.result, OUTCOME_BAD_GATEWAY);
	assert_true(second.maybe_applied);
	assert_int_equal(seen.second.len, 0);
	probe_deinit(&first);
	probe_deinit(&second);
	seen_deinit(&seen);
}

static void answer_all(int fd, unsigned number, void *state)
{
	struct seen *seen = state;

	(void)number;
	while (fake_read_request(fd, &seen->request)) {
		fake_write(fd, seen->answer);
		buf_clear(&seen->request);
	}
}

static void connections_are_used_again(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
	struct fake_server *server = fake_server_start(answer_all, &seen);

	(void)state;
	for (int i = 0; i < 50; i++) {
		struct probe probe = { .take_at_most = 1 };

		probe_ask(&probe, fake_server_url(server));
		assert_int_equal(probe.result, OUTCOME_OK);
		probe_assert_body(&probe, "ok");
		probe_deinit(&probe);
	}
	assert_int_equal(fake_server_connections(server), 1);
	fake_server_stop(server);
	seen_deinit(&seen);
}

static void a_call_may_be_cancelled_and_freed_at_any_time(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe before = { .url = fake_server_url(server) };
	struct probe in_head = { .cancel_in_head = true };
	struct probe in_body = { .cancel_in_body = true };

	(void)state;
	probe_start(&before);
	call_cancel(&before.call);
	memset(&before.call, 0xee, sizeof(before.call));
	probe_ask(&in_head, fake_server_url(server));
	probe_ask(&in_body, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(before.heads + before.dones + in_head.dones + in_body.dones, 0);
	assert_int_equal(in_head.body.len, 0);
	assert_int_equal(in_body.body.len, 5);
	probe_deinit(&in_head);
	probe_deinit(&in_body);
	seen_deinit(&seen);
}

static void stop_soon(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(probe_loop);
}

static void a_cancelled_upload_forgets_its_body(void **state)
{
	struct seen seen = { 0 };
	size_t len = 32 * 1024 * 1024;
	char *value = calloc(len, 1);
	/* Reads the head and nothing more, so that the body is under way. */
	struct fake_server *server = fake_server_start(die_on_reuse, &seen);
	struct loop_timer timer = { .expired = stop_soon };
	struct probe probe = {
		.call = { .method = METHOD_PUT, .has_body = true, .body = value, .body_len = len },
		.url = fake_server_url(server)
	};

	(void)state;
	probe_start(&probe);
	loop_set_timer(probe_loop, &timer, clock_monotonic_ms() + 20);
	probe_run();
	call_cancel(&probe.call);
	free(value);
	loop_set_timer(probe_loop, &timer, clock_monotonic_ms() + 20);
	probe_run();
	assert_int_equal(probe.dones, 0);
	fake_server_stop(server);
	seen_deinit(&seen);
}

static void a_client_may_be_freed_with_calls_under_way(void **state)
{
	struct seen seen = { .answer = "" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct loop_timer timer = { .expired = stop_soon };
	struct probe probe = { .url = fake_server_url(server) };

	(void)state;
	probe_start(&probe);
	loop_set_timer(probe_loop, &timer, clock_monotonic_ms() + 20);
	probe_run();
	probe_client = http_client_free(probe_client);
	assert_null(probe.call.transport_state);
	call_cancel(&probe.call);
	assert_int_equal(probe.dones, 0);
	fake_server_stop(server);
	assert_int_equal(http_client_new(probe_loop, &probe_client), 0);
	seen_deinit(&seen);
}

static void interim_answers_are_skipped(void **state)
{
	struct seen seen = { .answer = "HTTP/1.1 100 Continue\r\nETag: \"0-0\"\r\n\r\n"
				       "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" };
	struct fake_server *server = fake_server_start(answer_once, &seen);
	struct probe probe = { 0 };

	(void)state;
	probe_ask(&probe, fake_server_url(server));
	fake_server_stop(server);
	assert_int_equal(probe.heads, 1);
	assert_int_equal(probe.status, 200);
	assert_null(fields_get(&probe.fields, FIELD_ETAG, NULL));
	probe_assert_body(&probe, "ok");
	probe_deinit(&probe);
	seen_deinit(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_get_delivers_head_body_and_done),
		cmocka_unit_test(a_whole_body_is_sent_with_its_length_and_no_expectation),
		cmocka_unit_test(an_empty_body_is_announced_and_an_absent_one_is_not),
		cmocka_unit_test(head_shows_the_announced_length_and_no_body),
		cmocka_unit_test(an_upload_pauses_and_goes_on),
		cmocka_unit_test(an_upload_of_unknown_length_is_chunked),
		cmocka_unit_test(an_upload_that_breaks_off_closes_the_connection),
		cmocka_unit_test(an_early_refusal_ends_the_upload),
		cmocka_unit_test(an_early_refusal_ends_an_upload_that_has_nothing_to_send),
		cmocka_unit_test(a_body_that_is_taken_in_parts_arrives_whole),
		cmocka_unit_test(a_chunked_body_that_is_taken_in_parts_arrives_whole),
		cmocka_unit_test(waiting_for_its_user_does_not_time_a_call_out),
		cmocka_unit_test(one_long_pause_is_longer_than_the_timeout),
		cmocka_unit_test(nobody_listening_means_not_applied),
		cmocka_unit_test(a_broken_answer_means_maybe_applied),
		cmocka_unit_test(a_connection_that_breaks_off_is_a_bad_gateway),
		cmocka_unit_test(silence_ends_with_a_timeout),
		cmocka_unit_test(a_slow_answer_that_moves_is_not_timed_out),
		cmocka_unit_test(a_request_on_a_dead_connection_is_sent_again_with_its_id),
		cmocka_unit_test(a_stream_on_a_dead_connection_is_not_sent_again),
		cmocka_unit_test(connections_are_used_again),
		cmocka_unit_test(a_call_may_be_cancelled_and_freed_at_any_time),
		cmocka_unit_test(a_cancelled_upload_forgets_its_body),
		cmocka_unit_test(a_client_may_be_freed_with_calls_under_way),
		cmocka_unit_test(interim_answers_are_skipped),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, probe_set_up, probe_tear_down);
}

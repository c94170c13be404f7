/* SPDX-License-Identifier: MIT */
/* When a request is made again and when it is given up. */
#include "fs/patience.h"
#include "fs/remote_call.h"
#include "fs/request.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PATIENCE_MS 5000

/* Refuses, or breaks off, so many times before it answers. */
struct trouble {
	unsigned times;
	unsigned status;
	const char *raw; /* instead of the status, then the connection ends */
	atomic_bool seen;
};

static enum fs_answer answer_after_trouble(void *state, const char *request, struct buf *ret_answer)
{
	struct trouble *trouble = state;

	(void)request;
	atomic_store(&trouble->seen, true);
	if (trouble->times == 0) {
		fs_write_answer(ret_answer, 200, "", "whole", 5);
		return FS_ANSWER;
	}
	trouble->times--;
	if (!trouble->raw) {
		fs_write_answer(ret_answer, trouble->status, "", "why", 3);
		return FS_ANSWER;
	}
	buf_append_str(ret_answer, trouble->raw);
	return FS_HANG_UP;
}

static int collect(void *state, uint64_t offset, const void *data, size_t len)
{
	struct buf *body = state;

	if (offset == 0)
		buf_clear(body);
	if (offset != body->len)
		return -EBADMSG;
	return buf_append(body, data, len);
}

static int perform_get(struct fs_router *router, uint32_t timeout_ms,
		       const struct interrupt *interrupt, struct buf *body, unsigned *ret_status)
{
	struct request request;
	struct http_sync_answer answer = { 0 };
	int r;

	assert_int_equal(request_init(&request, METHOD_GET, "/kv/", "00ff"), 0);
	request.body = collect;
	request.state = body;
	request.timeout_ms = timeout_ms;
	request.interrupt = interrupt;
	r = request_perform(&request, router->remote->client, &answer);
	*ret_status = answer.status;
	http_sync_answer_deinit(&answer);
	request_deinit(&request);
	return r;
}

static void only_what_changes_something_has_an_id(void **state)
{
	struct request first, second;

	(void)state;
	assert_int_equal(request_init(&first, METHOD_GET, "/kv/", "00ff"), 0);
	assert_string_equal(first.target, "/kv/00ff");
	assert_null(fields_get(&first.fields, FIELD_REQUEST_ID, NULL));
	request_deinit(&first);
	assert_int_equal(request_init(&first, METHOD_PUT, "/kv/", "00ff"), 0);
	assert_int_equal(request_init(&second, METHOD_PUT, "/kv/", "00ff"), 0);
	assert_string_not_equal(fields_get(&first.fields, FIELD_REQUEST_ID, NULL),
				fields_get(&second.fields, FIELD_REQUEST_ID, NULL));
	request_deinit(&first);
	request_deinit(&second);
}

static void a_target_that_is_too_long_is_refused(void **state)
{
	char key[TARGET_MAX + 1];
	struct request request;

	(void)state;
	memset(key, 'a', TARGET_MAX);
	key[TARGET_MAX] = '\0';
	assert_int_equal(request_init(&request, METHOD_PUT, "/kv/", key), -ENAMETOOLONG);
	request_deinit(&request);
}

static void a_body_that_broke_off_comes_again_from_its_start(void **state)
{
	struct trouble trouble = { .times = 2,
				   .raw = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwh" };
	struct fs_router router;
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_get(&router, PATIENCE_MS, NULL, &body, &status), 0);
	assert_int_equal(status, 200);
	assert_int_equal(body.len, 5);
	assert_memory_equal(body.data, "whole", 5);
	fs_router_stop(&router);
	buf_deinit(&body);
}

static void a_refusal_that_may_pass_is_waited_out(void **state)
{
	static const unsigned statuses[] = { 429, 502, 503 };
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		struct trouble trouble = { .times = 2, .status = statuses[i] };
		struct fs_router router;

		fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
		assert_int_equal(perform_get(&router, PATIENCE_MS, NULL, &body, &status), 0);
		assert_int_equal(status, 200);
		assert_int_equal(fs_router_requests(&router), 3);
		fs_router_stop(&router);
	}
	buf_deinit(&body);
}

static void a_final_refusal_is_an_answer_at_once(void **state)
{
	static const unsigned statuses[] = { 400, 404, 412, 500, 504, 507 };
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		struct trouble trouble = { .times = 2, .status = statuses[i] };
		struct fs_router router;

		fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
		assert_int_equal(perform_get(&router, PATIENCE_MS, NULL, &body, &status), 0);
		assert_int_equal(status, statuses[i]);
		assert_int_equal(fs_router_requests(&router), 1);
		fs_router_stop(&router);
	}
	assert_int_equal(body.len, 0);
	buf_deinit(&body);
}

static void a_refusal_that_lasts_is_the_answer_after_the_timeout(void **state)
{
	struct trouble trouble = { .times = 1000, .status = 503 };
	uint64_t begin = clock_monotonic_ms();
	struct fs_router router;
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_get(&router, 500, NULL, &body, &status), 0);
	assert_int_equal(status, 503);
	assert_true(clock_monotonic_ms() - begin < PATIENCE_MS);
	fs_router_stop(&router);
	buf_deinit(&body);
}

static bool is_seen(void *state)
{
	return atomic_load(&((struct trouble *)state)->seen);
}

static void the_pause_before_the_next_attempt_can_be_interrupted(void **state)
{
	struct trouble trouble = { .times = 1000, .status = 503 };
	const struct interrupt interrupt = { .raised = is_seen, .state = &trouble };
	struct fs_router router;
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_get(&router, 60000, &interrupt, &body, &status), -EINTR);
	fs_router_stop(&router);
	buf_deinit(&body);
}

static enum fs_answer be_silent(void *state, const char *request, struct buf *ret_answer)
{
	(void)state;
	(void)request;
	(void)ret_answer;
	return FS_SILENCE;
}

/* It came long ago, when all threads waited. */
static void what_waited_for_a_thread_waits_less_for_a_silent_router(void **state)
{
	uint64_t begin = clock_monotonic_ms();
	struct fs_router router;
	struct buf body = { 0 };
	unsigned status;

	(void)state;
	fs_router_start(&router, be_silent, NULL, PATIENCE_MS);
	patience_begin(begin > 20000 ? begin - 20000 : 1);
	assert_int_equal(perform_get(&router, 20000, NULL, &body, &status), -ETIMEDOUT);
	patience_end();
	assert_true(clock_monotonic_ms() - begin < 15000);
	fs_router_stop(&router);
	buf_deinit(&body);
}

static void what_waited_while_the_router_answered_others_has_all_its_time(void **state)
{
	uint64_t now = clock_monotonic_ms();

	(void)state;
	patience_begin(now > 60000 ? now - 60000 : 1);
	patience_renew();
	assert_true(patience_left_ms(60000) > 30000);
	patience_end();
	assert_int_equal(patience_left_ms(60000), 60000);
}

struct upload {
	uint64_t size;
	int error; /* instead of bytes */
	unsigned from_start;
};

static ssize_t give_bytes(void *state, uint64_t offset, void *data, size_t len)
{
	struct upload *upload = state;

	if (upload->error)
		return upload->error;
	upload->from_start += offset == 0;
	if (len > upload->size - offset)
		len = (size_t)(upload->size - offset);
	memset(data, 'x', len);
	return (ssize_t)len;
}

static int perform_put(struct fs_router *router, uint32_t timeout_ms, struct upload *upload,
		       unsigned *ret_status)
{
	struct request request;
	struct http_sync_answer answer = { 0 };
	int r;

	assert_int_equal(request_init(&request, METHOD_PUT, "/kv/", "00ff"), 0);
	request.has_body = true;
	request.upload_bytes = upload->size;
	request.upload = give_bytes;
	request.state = upload;
	request.timeout_ms = timeout_ms;
	r = request_perform(&request, router->remote->client, &answer);
	*ret_status = answer.status;
	http_sync_answer_deinit(&answer);
	request_deinit(&request);
	return r;
}

static void an_upload_is_sent_whole_with_each_attempt(void **state)
{
	struct trouble trouble = { .times = 2, .status = 503 };
	struct upload upload = { .size = 100000 };
	struct fs_router router;
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_put(&router, PATIENCE_MS, &upload, &status), 0);
	assert_int_equal(status, 200);
	assert_int_equal(fs_router_requests(&router), 3);
	assert_int_equal(upload.from_start, 3);
	fs_router_stop(&router);
}

/* Taking the same bytes again and again is no progress. */
static void an_upload_that_is_always_refused_ends(void **state)
{
	struct trouble trouble = { .times = 1000, .status = 503 };
	struct upload upload = { .size = 100000 };
	uint64_t begin = clock_monotonic_ms();
	struct fs_router router;
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_put(&router, 500, &upload, &status), 0);
	assert_int_equal(status, 503);
	assert_true(clock_monotonic_ms() - begin < PATIENCE_MS);
	fs_router_stop(&router);
}

static void an_error_of_the_source_is_the_result(void **state)
{
	struct trouble trouble = { .times = 0 };
	struct upload upload = { .size = 1000, .error = -ENOSPC };
	struct fs_router router;
	unsigned status;

	(void)state;
	fs_router_start(&router, answer_after_trouble, &trouble, PATIENCE_MS);
	assert_int_equal(perform_put(&router, PATIENCE_MS, &upload, &status), -ENOSPC);
	assert_int_equal(fs_router_requests(&router), 0);
	fs_router_stop(&router);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* Before a router has answered. */
		cmocka_unit_test(what_waited_for_a_thread_waits_less_for_a_silent_router),
		cmocka_unit_test(only_what_changes_something_has_an_id),
		cmocka_unit_test(a_target_that_is_too_long_is_refused),
		cmocka_unit_test(a_body_that_broke_off_comes_again_from_its_start),
		cmocka_unit_test(a_refusal_that_may_pass_is_waited_out),
		cmocka_unit_test(a_final_refusal_is_an_answer_at_once),
		cmocka_unit_test(a_refusal_that_lasts_is_the_answer_after_the_timeout),
		cmocka_unit_test(the_pause_before_the_next_attempt_can_be_interrupted),
		cmocka_unit_test(what_waited_while_the_router_answered_others_has_all_its_time),
		cmocka_unit_test(an_upload_is_sent_whole_with_each_attempt),
		cmocka_unit_test(an_upload_that_is_always_refused_ends),
		cmocka_unit_test(an_error_of_the_source_is_the_result),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_request", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "fs/remote.h"
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

/* Answers that are given one after the other; the last one again and again. */
struct step {
	unsigned status;
	const char *fields;
	const char *body;
	enum fs_answer kind;
	const char *raw; /* instead of all that */
};

struct steps {
	struct step steps[4];
	unsigned count, next;
	char ids[4][40]; /* request ids that came */
};

static enum fs_answer follow_steps(void *state, const char *request, struct buf *ret_answer)
{
	struct steps *steps = state;
	const struct step *step = &steps->steps[steps->next];

	snprintf(steps->ids[steps->next], sizeof(steps->ids[0]), "%s",
		 fs_request_field(request, "HexKV-Request-Id"));
	if (steps->next + 1 < steps->count)
		steps->next++;
	if (step->raw)
		buf_append(ret_answer, step->raw, strlen(step->raw));
	else
		fs_write_answer(ret_answer, step->status, step->fields ? step->fields : "",
				step->body, step->body ? strlen(step->body) : 0);
	return step->kind;
}

static ssize_t no_bytes(void *state, uint64_t offset, void *data, size_t len)
{
	(void)state;
	(void)offset;
	(void)data;
	(void)len;
	return 0;
}

static struct remote_put new_record(void)
{
	return (struct remote_put){ .key = "00ff", .only_new = true, .source = no_bytes };
}

static void a_refusal_has_the_errno_of_its_status(void **state)
{
	static const struct {
		unsigned status;
		int error;
	} cases[] = {
		{ 400, -EINVAL }, { 401, -EACCES },     { 403, -EACCES },    { 404, -ENOENT },
		{ 405, -EPERM },  { 412, -ESTALE },     { 413, -EFBIG },     { 418, -EINVAL },
		{ 500, -EIO },    { 501, -EOPNOTSUPP }, { 504, -ETIMEDOUT }, { 507, -ENOSPC },
	};
	struct steps steps = { .count = 1 };
	struct fs_router router;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		steps.steps[0].status = cases[i].status;
		assert_int_equal(remote_delete(router.remote, "00ff", NULL, DURABILITY_DISK, NULL),
				 cases[i].error);
	}
	/* None of these is worth repeating. */
	assert_int_equal(fs_router_requests(&router), sizeof(cases) / sizeof(*cases));
	fs_router_stop(&router);
}

static void a_cluster_that_is_away_for_a_moment_gets_the_same_request_again(void **state)
{
	struct steps steps = { .steps = { { .status = 503 },
					  { .status = 502 },
					  { .status = 429 },
					  { .status = 201, .fields = "ETag: \"10001-5\"\r\n" } },
			       .count = 4 };
	struct fs_router router;
	struct remote_put put = new_record();
	struct remote_stored stored;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(remote_put(router.remote, &put, NULL, &stored), 0);
	assert_int_equal(stored.version.sequence, 5);
	assert_int_equal(fs_router_requests(&router), 4);
	assert_int_equal(strlen(steps.ids[0]), 32);
	for (int i = 1; i < 4; i++)
		assert_string_equal(steps.ids[0], steps.ids[i]);
	fs_router_stop(&router);
}

static void a_cluster_that_stays_away_is_an_error_in_the_end(void **state)
{
	struct steps steps = { .steps = { { .status = 503 } }, .count = 1 };
	struct fs_router router;
	struct record_meta meta;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, 1000);
	assert_int_equal(remote_head(router.remote, "00ff", NULL, &meta), -EIO);
	assert_in_range(fs_router_requests(&router), 2, 8);
	fs_router_stop(&router);
}

static void a_router_that_is_not_there_is_an_error(void **state)
{
	char url[64];
	struct remote_options options = { .url = url, .connections_max = 1, .timeout_ms = 100 };
	struct remote *remote;
	struct record_meta meta;

	(void)state;
	fake_unused_url(url, sizeof(url));
	assert_int_equal(remote_new(&options, &remote), 0);
	assert_int_equal(remote_head(remote, "00ff", NULL, &meta), -EIO);
	remote_free(remote);
}

static void silence_ends_with_a_timeout(void **state)
{
	struct steps steps = { .steps = { { .raw = "", .kind = FS_SILENCE } }, .count = 1 };
	struct fs_router router;
	struct record_meta meta;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, 100);
	assert_int_equal(remote_head(router.remote, "00ff", NULL, &meta), -ETIMEDOUT);
	fs_router_stop(&router);
}

static bool is_raised(void *state)
{
	(void)state;
	return true;
}

static void an_interrupt_ends_the_wait(void **state)
{
	struct steps steps = { .steps = { { .raw = "", .kind = FS_SILENCE } }, .count = 1 };
	const struct interrupt interrupt = { .raised = is_raised };
	struct fs_router router;
	struct record_meta meta;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, 60000);
	assert_int_equal(remote_head(router.remote, "00ff", &interrupt, &meta), -EINTR);
	fs_router_stop(&router);
}

static void what_a_write_requires_is_asked_of_the_router(void **state)
{
	struct steps steps = { .steps = { { .status = 412 } }, .count = 1 };
	const struct version version = { .epoch = FS_EPOCH, .sequence = 9 };
	struct fs_router router;
	struct remote_put put = new_record();
	struct remote_stored stored;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	put.durability = DURABILITY_DISK;
	assert_int_equal(remote_put(router.remote, &put, NULL, &stored), -ESTALE);
	assert_string_equal(fs_request_field(router.last, "If-None-Match"), "*");
	assert_string_equal(fs_request_field(router.last, "HexKV-Durability"), "disk");
	put.only_new = false;
	put.replaces = &version;
	put.durability = DURABILITY_MEMORY;
	assert_int_equal(remote_put(router.remote, &put, NULL, &stored), -ESTALE);
	assert_string_equal(fs_request_field(router.last, "If-None-Match"), "");
	assert_string_equal(fs_request_field(router.last, "If-Match"), "\"10001-9\"");
	assert_string_equal(fs_request_field(router.last, "HexKV-Durability"), "memory");
	assert_int_equal(remote_barrier(router.remote, "00ff", &version, NULL), -ESTALE);
	assert_string_equal(fs_request_field(router.last, "If-Match"), "\"10001-9\"");
	assert_string_equal(fs_request_field(router.last, "HexKV-Durability"), "disk");
	assert_non_null(strstr(router.last, "\r\n\r\n{}"));
	fs_router_stop(&router);
}

static void a_write_without_a_valid_version_in_its_answer_is_an_error(void **state)
{
	static const char *const fields[] = { "", "ETag: 5\r\n", "ETag: \"10001-05\"\r\n",
					      "ETag: W/\"10001-5\"\r\n" };
	struct steps steps = { .steps = { { .status = 201 } }, .count = 1 };
	struct fs_router router;
	struct remote_put put = new_record();
	struct remote_stored stored;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		steps.steps[0].fields = fields[i];
		assert_int_equal(remote_put(router.remote, &put, NULL, &stored), -EIO);
	}
	fs_router_stop(&router);
}

static void a_move_onto_a_record_says_that_it_exists(void **state)
{
	char fields[512];
	struct steps steps = { .steps = { { .status = 412 }, { .status = 200, .fields = fields } },
			       .count = 2 };
	const struct version of = { .epoch = FS_EPOCH, .sequence = 4 };
	struct fs_router router;
	struct remote_stored stored;

	(void)state;
	fs_record_fields(fields, sizeof(fields), 4, 0);
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(remote_move(router.remote, "00", "01", false, &of, NULL, &stored),
			 -EEXIST);
	/* Without one there it was the version that did not fit. */
	steps.next = 0;
	steps.steps[1] = (struct step){ .status = 404 };
	assert_int_equal(remote_move(router.remote, "00", "01", false, &of, NULL, &stored),
			 -ESTALE);
	/* Who overwrites is not told so. */
	steps.next = 0;
	assert_int_equal(remote_move(router.remote, "00", "01", true, &of, NULL, &stored), -ESTALE);
	assert_string_equal(fs_request_field(router.last, "Destination"), "/kv/01");
	assert_string_equal(fs_request_field(router.last, "Overwrite"), "T");
	fs_router_stop(&router);
}

static int get(struct fs_router *router, const struct version *known, struct record_meta *ret_meta,
	       struct buf *ret_value, bool *ret_whole)
{
	struct remote_record record = { 0 };
	int r = remote_get(router->remote, "00ff", known, 20, NULL, &record);

	*ret_meta = record.meta;
	*ret_value = buf_take(&record.value);
	*ret_whole = record.whole;
	remote_record_deinit(&record);
	return r;
}

static void a_small_value_comes_with_its_metadata(void **state)
{
	char fields[512];
	struct steps steps = { .steps = { { .status = 206, .fields = fields, .body = "hello" },
					  { .status = 304 } },
			       .count = 2 };
	struct fs_router router;
	struct record_meta meta;
	struct buf value = { 0 };
	bool whole;

	(void)state;
	fs_record_fields(fields, sizeof(fields), 4, 5);
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(get(&router, NULL, &meta, &value, &whole), 0);
	assert_true(whole);
	assert_int_equal(value.len, 5);
	assert_memory_equal(value.data, "hello", 5);
	assert_int_equal(meta.version.sequence, 4);
	assert_int_equal(meta.mtime_ns, 77);
	assert_string_equal(meta.encoding.text, "utf-8");
	buf_deinit(&value);
	assert_int_equal(get(&router, &meta.version, &meta, &value, &whole), REMOTE_SAME);
	assert_string_equal(fs_request_field(router.last, "If-None-Match"), "\"10001-4\"");
	buf_deinit(&value);
	fs_router_stop(&router);
}

static void an_empty_value_is_whole(void **state)
{
	char fields[512];
	struct steps steps = { .steps = { { .status = 416 }, { .status = 200, .fields = fields } },
			       .count = 2 };
	struct fs_router router;
	struct record_meta meta;
	struct buf value = { 0 };
	bool whole = false;

	(void)state;
	fs_record_fields(fields, sizeof(fields), 4, 0);
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(get(&router, NULL, &meta, &value, &whole), 0);
	assert_true(whole);
	assert_int_equal(value.len, 0);
	fs_router_stop(&router);
	buf_deinit(&value);
}

static void what_was_not_known_is_not_the_same(void **state)
{
	struct steps steps = { .steps = { { .status = 304 } }, .count = 1 };
	struct fs_router router;
	struct record_meta meta;
	struct buf value = { 0 };
	bool whole;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(get(&router, NULL, &meta, &value, &whole), -EIO);
	fs_router_stop(&router);
	buf_deinit(&value);
}

static void a_size_that_no_file_has_is_an_error(void **state)
{
	struct steps steps = {
		.steps = { { .status = 200,
			     .fields = "ETag: \"10001-4\"\r\nContent-Type: text/plain\r\n"
				       "HexKV-Encoding: utf-8\r\nHexKV-Utf8: true\r\n"
				       "HexKV-Mtime: 5\r\nHexKV-Size: 9223372036854775808\r\n"
				       "HexKV-Hash: 00000000000000000000000000000000\r\n" } },
		.count = 1
	};
	struct fs_router router;
	struct record_meta meta;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(remote_head(router.remote, "00ff", NULL, &meta), -EIO);
	fs_router_stop(&router);
}

static void metadata_that_is_not_whole_is_an_error(void **state)
{
	struct steps steps = { .steps = { { .status = 200, .fields = "ETag: \"10001-4\"\r\n" } },
			       .count = 1 };
	struct fs_router router;
	struct record_meta meta;
	struct buf value = { 0 };
	bool whole;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(remote_head(router.remote, "00ff", NULL, &meta), -EIO);
	assert_int_equal(get(&router, NULL, &meta, &value, &whole), -EIO);
	fs_router_stop(&router);
	buf_deinit(&value);
}

struct received {
	char data[64];
	size_t len;
	uint64_t first;
};

static int receive(void *state, uint64_t offset, const void *data, size_t len)
{
	struct received *received = state;

	if (received->len == 0)
		received->first = offset;
	memcpy(received->data + received->len, data, len);
	received->len += len;
	return 0;
}

static int read_five(struct fs_router *router, uint64_t offset, struct received *received)
{
	const struct remote_range range = { .key = "00ff",
					    .version = { .epoch = FS_EPOCH, .sequence = 4 },
					    .offset = offset,
					    .len = 5,
					    .sink = receive,
					    .state = received };

	return remote_read(router->remote, &range, NULL);
}

static void a_range_is_read_of_one_version(void **state)
{
	struct steps steps = { .steps = { { .status = 206, .body = "hello" },
					  { .status = 412 },
					  { .status = 404 } },
			       .count = 3 };
	struct received received = { .len = 0 };
	struct fs_router router;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(read_five(&router, 100, &received), 0);
	assert_int_equal(received.len, 5);
	assert_int_equal(received.first, 100);
	assert_memory_equal(received.data, "hello", 5);
	assert_string_equal(fs_request_field(router.last, "Range"), "bytes=100-104");
	assert_string_equal(fs_request_field(router.last, "If-Match"), "\"10001-4\"");
	assert_int_equal(read_five(&router, 100, &received), -ESTALE);
	assert_int_equal(read_five(&router, 100, &received), -ESTALE);
	fs_router_stop(&router);
}

static void a_range_that_is_not_what_was_asked_for_is_an_error(void **state)
{
	static const struct step broken[] = {
		{ .status = 206, .body = "hell" }, /* short */
		{ .status = 206, .body = "hello!" }, /* long */
		{ .status = 200, .body = "hello" }, /* the beginning */
		{ .status = 206, .body = "hello", .fields = "Content-Range: bytes 10-14/200\r\n" },
		{ .status = 206, .body = "hello", .fields = "Content-Range: bytes -/200\r\n" },
		{ .status = 206, .body = "hello", .fields = "ETag: \"10001-5\"\r\n" },
		{ .raw = "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\nhel",
		  .kind = FS_HANG_UP },
		{ .raw = "no HTTP at all\r\n\r\n", .kind = FS_HANG_UP },
		{ .raw = "", .kind = FS_HANG_UP },
	};
	struct steps steps = { .count = 1 };
	struct fs_router router;

	(void)state;
	/* Some are repeated: a broken connection may be a router that was restarted. */
	fs_router_start(&router, follow_steps, &steps, 120);
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct received received = { .len = 0 };

		steps.steps[0] = broken[i];
		assert_int_equal(read_five(&router, 100, &received), -EIO);
		/* What comes is used as it comes, unless its head says that it is something else.
		 */
		if (broken[i].status == 200 || broken[i].fields)
			assert_int_equal(received.len, 0);
	}
	fs_router_stop(&router);
}

static void a_page_of_names_is_asked_for_by_its_cursor(void **state)
{
	struct steps steps = { .steps = { { .status = 200, .body = "prefix \nend\n" },
					  { .status = 403 } },
			       .count = 2 };
	struct remote_age age;
	struct buf page = { 0 };
	struct fs_router router;

	(void)state;
	fs_router_start(&router, follow_steps, &steps, PATIENCE_MS);
	assert_int_equal(remote_list(router.remote, "a/b +&c", NULL, &page, &age), 0);
	assert_non_null(strstr(router.last, "format=text&"));
	assert_non_null(strstr(router.last, "cursor=a%2Fb%20%2B%26c HTTP/1.1"));
	assert_int_equal(page.len, strlen("prefix \nend\n"));
	assert_int_equal(remote_list(router.remote, NULL, NULL, &page, &age), -EACCES);
	fs_router_stop(&router);
	buf_deinit(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_has_the_errno_of_its_status),
		cmocka_unit_test(a_cluster_that_is_away_for_a_moment_gets_the_same_request_again),
		cmocka_unit_test(a_cluster_that_stays_away_is_an_error_in_the_end),
		cmocka_unit_test(a_router_that_is_not_there_is_an_error),
		cmocka_unit_test(silence_ends_with_a_timeout),
		cmocka_unit_test(an_interrupt_ends_the_wait),
		cmocka_unit_test(what_a_write_requires_is_asked_of_the_router),
		cmocka_unit_test(a_write_without_a_valid_version_in_its_answer_is_an_error),
		cmocka_unit_test(a_move_onto_a_record_says_that_it_exists),
		cmocka_unit_test(a_small_value_comes_with_its_metadata),
		cmocka_unit_test(an_empty_value_is_whole),
		cmocka_unit_test(metadata_that_is_not_whole_is_an_error),
		cmocka_unit_test(what_was_not_known_is_not_the_same),
		cmocka_unit_test(a_size_that_no_file_has_is_an_error),
		cmocka_unit_test(a_range_is_read_of_one_version),
		cmocka_unit_test(a_range_that_is_not_what_was_asked_for_is_an_error),
		cmocka_unit_test(a_page_of_names_is_asked_for_by_its_cursor),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_remote", tests, NULL, NULL);
}

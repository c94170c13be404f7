/* SPDX-License-Identifier: MIT */
#include "lib/name_page.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct name_line usual = {
	.key = "00ff",
	.key_len = 4,
	.size_bytes = 5,
	.mtime_ns = INT64_C(1700000000123456789),
	.version = { .epoch = 0x10001, .sequence = 0x2a },
};

static const struct name_line extreme = {
	.key = "fe",
	.key_len = 2,
	.size_bytes = INT64_MAX,
	.mtime_ns = INT64_MIN,
	.version = { .epoch = UINT64_MAX, .sequence = 0 },
};

static void expect_text(struct buf *buf, const char *text)
{
	assert_int_equal(buf->len, strlen(text));
	assert_memory_equal(buf->data, text, buf->len);
	buf_deinit(buf);
}

static void a_page_reads_as_documented(void **state)
{
	struct buf page = { 0 };

	(void)state;
	assert_int_equal(name_page_begin(&page, "0."), 0);
	assert_int_equal(name_page_add(&page, &usual), 0);
	assert_int_equal(name_page_add(&page, &extreme), 0);
	assert_int_equal(name_page_end(&page, "0.fe"), 0);
	expect_text(&page, "prefix 0.\n"
			   "00ff 5 1700000000123456789 10001-2a\n"
			   "fe 9223372036854775807 -9223372036854775808 ffffffffffffffff-0\n"
			   "cursor 0.fe\n");
}

static void a_page_of_json_reads_as_documented(void **state)
{
	struct buf page = { 0 };

	(void)state;
	assert_int_equal(name_page_json_begin(&page), 0);
	assert_int_equal(name_page_json_add(&page, &usual, true), 0);
	assert_int_equal(name_page_json_add(&page, &usual, false), 0);
	assert_int_equal(name_page_json_end(&page, NULL), 0);
	expect_text(&page, "{\"names\":["
			   "{\"key\":\"00ff\",\"size\":5,\"mtime_ns\":1700000000123456789,"
			   "\"etag\":\"\\\"10001-2a\\\"\"},"
			   "{\"key\":\"00ff\",\"size\":5,\"mtime_ns\":1700000000123456789,"
			   "\"etag\":\"\\\"10001-2a\\\"\"}],\"cursor\":null}");
}

static void expect_line(struct name_page *page, const struct name_line *expected)
{
	struct name_line line;

	assert_int_equal(name_page_next(page, &line), 1);
	assert_int_equal(line.key_len, expected->key_len);
	assert_memory_equal(line.key, expected->key, line.key_len);
	assert_int_equal(line.size_bytes, expected->size_bytes);
	assert_int_equal(line.mtime_ns, expected->mtime_ns);
	assert_int_equal(version_compare(line.version, expected->version), 0);
}

static void what_was_written_is_read_again(void **state)
{
	struct buf text = { 0 };
	struct name_page page;
	struct name_line line;

	(void)state;
	assert_int_equal(name_page_begin(&text, ""), 0);
	assert_int_equal(name_page_add(&text, &usual), 0);
	assert_int_equal(name_page_add(&text, &extreme), 0);
	assert_int_equal(name_page_end(&text, NULL), 0);
	assert_int_equal(name_page_open(text.data, text.len, &page), 0);
	assert_string_equal(page.prefix, "");
	assert_string_equal(page.cursor, "");
	expect_line(&page, &usual);
	expect_line(&page, &extreme);
	assert_int_equal(name_page_next(&page, &line), 0);
	buf_deinit(&text);
}

static int opens(const char *text)
{
	struct name_page page;

	return name_page_open(text, strlen(text), &page);
}

static void a_page_without_its_first_or_last_line_is_refused(void **state)
{
	(void)state;
	assert_int_equal(opens("prefix \nend\n"), 0);
	assert_int_equal(opens("prefix \ncursor 1.\n"), 0);
	assert_int_equal(opens(""), -EBADMSG);
	assert_int_equal(opens("\n"), -EBADMSG);
	assert_int_equal(opens("end\n"), -EBADMSG);
	assert_int_equal(opens("prefix \n"), -EBADMSG);
	assert_int_equal(opens("prefix \nend"), -EBADMSG);
	assert_int_equal(opens("prefix \n00ff 5 1 1-1\n"), -EBADMSG);
	assert_int_equal(opens("prefix \ncursor 1&2\n"), -EBADMSG);
	assert_int_equal(opens("prefix a b\nend\n"), -EBADMSG);
	assert_int_equal(opens("{\"names\":[],\"cursor\":null}"), -EBADMSG);
}

static int first_line(const char *line)
{
	struct buf text = { 0 };
	struct name_page page;
	struct name_line ret;
	int r;

	assert_int_equal(buf_printf(&text, "prefix \n%s\nend\n", line), 0);
	assert_int_equal(name_page_open(text.data, text.len, &page), 0);
	r = name_page_next(&page, &ret);
	buf_deinit(&text);
	return r;
}

static void lines_that_nobody_writes_are_refused(void **state)
{
	static const char *const lines[] = {
		"",
		"00ff",
		"00ff 5 1",
		"0ff 5 1 1-1",
		" 5 1 1-1",
		"00FF 5 1 1-1",
		"00ff -5 1 1-1",
		"00ff 9223372036854775808 1 1-1",
		"00ff 99999999999999999999999 1 1-1",
		"00ff 5 9223372036854775808 1-1",
		"00ff 5 -9223372036854775809 1-1",
		"00ff 5 - 1-1",
		"00ff 5 1 1-",
		"00ff 5 1 -1",
		"00ff 5 1 1-1 ",
		"00ff 5 1 1-00000000000000001",
		"00ff  5 1 1-1",
	};

	(void)state;
	assert_int_equal(first_line("00ff 5 1 1-1"), 1);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_int_equal(first_line(lines[i]), -EBADMSG);
}

/* Cut short anywhere, a page is not taken for a whole one. */
static void no_part_of_a_page_is_a_page(void **state)
{
	static const char whole[] = "prefix 0.\n00ff 5 1 1-1\n01ff 5 1 1-1\ncursor 0.01ff\n";
	struct name_page page;

	(void)state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		char *part = malloc(len + 1);

		memcpy(part, whole, len);
		assert_int_equal(name_page_open(part, len, &page), -EBADMSG);
		free(part);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_reads_as_documented),
		cmocka_unit_test(a_page_of_json_reads_as_documented),
		cmocka_unit_test(what_was_written_is_read_again),
		cmocka_unit_test(a_page_without_its_first_or_last_line_is_refused),
		cmocka_unit_test(lines_that_nobody_writes_are_refused),
		cmocka_unit_test(no_part_of_a_page_is_a_page),
	};

	return cmocka_run_group_tests_name("name_page", tests, NULL, NULL);
}

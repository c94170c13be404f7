/* SPDX-License-Identifier: MIT */
#include "router/cursor.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void what_is_printed_is_parsed_back(void **state)
{
	char text[CURSOR_TEXT_MAX + 1], hex[KEY_HEX_MAX + 1];
	struct cursor cursor = { .shard = 17 }, again;

	(void)state;
	memset(hex, 'f', KEY_HEX_MAX);
	hex[KEY_HEX_MAX] = '\0';
	assert_int_equal(cursor_set_node(&cursor, hex), 0);
	cursor_print(&cursor, text);
	assert_int_equal(cursor_parse(text, 18, &again), 0);
	assert_int_equal(again.shard, 17);
	assert_string_equal(again.node, hex);
}

static void the_beginning_of_a_shard_has_no_node_cursor(void **state)
{
	char text[CURSOR_TEXT_MAX + 1];
	struct cursor cursor = { .shard = 1 }, again;

	(void)state;
	cursor_print(&cursor, text);
	assert_string_equal(text, "1.");
	assert_int_equal(cursor_parse(text, 2, &again), 0);
	assert_int_equal(again.shard, 1);
	assert_string_equal(again.node, "");
}

static void anything_else_is_refused(void **state)
{
	static const char *const bad[] = { "",      ".",     "2.00",    "x.00",
					   "00.00", "01.00", "-1.00",   "1",
					   " 1.00", "1 .",   "+1.",     "1,00",
					   "1.0&x", "1.é",   "1.00/..", "99999999999999999999." };
	char text[400];
	struct cursor cursor;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (cursor_parse(bad[i], 2, &cursor) != -EINVAL)
			fail_msg("taken: \"%s\"", bad[i]);
	}
	memset(text, '0', sizeof(text));
	text[1] = '.';
	text[2 + CURSOR_NODE_MAX] = '\0';
	assert_int_equal(cursor_parse(text, 2, &cursor), 0);
	text[2 + CURSOR_NODE_MAX] = '0';
	text[3 + CURSOR_NODE_MAX] = '\0';
	assert_int_equal(cursor_parse(text, 2, &cursor), -EINVAL);
}

static void a_node_cursor_that_a_url_would_escape_is_refused(void **state)
{
	struct cursor cursor = { .shard = 0 };

	(void)state;
	assert_int_equal(cursor_set_node(&cursor, "00ff"), 0);
	assert_int_equal(cursor_set_node(&cursor, "a b"), -EINVAL);
	assert_int_equal(cursor_set_node(&cursor, "a&limit=1"), -EINVAL);
	assert_string_equal(cursor.node, "00ff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_printed_is_parsed_back),
		cmocka_unit_test(the_beginning_of_a_shard_has_no_node_cursor),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(a_node_cursor_that_a_url_would_escape_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

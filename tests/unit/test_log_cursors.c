/* SPDX-License-Identifier: MIT */
#include "node/log_cursors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct log_cursors cursors;

static int setup(void **state)
{
	(void)state;
	memset(&cursors, 0, sizeof(cursors));
	log_cursors_init(&cursors);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_cursors_deinit(&cursors);
	return 0;
}

static void put(uint64_t sequence, uint64_t offset)
{
	struct log_cursor cursor = { .after = { 7, sequence }, .file_id = 1, .offset = offset };

	log_cursors_put(&cursors, &cursor);
}

/* 0: it is not known. */
static uint64_t find(uint64_t epoch, uint64_t sequence)
{
	struct log_cursor cursor;

	return log_cursors_find(&cursors, (struct version){ epoch, sequence }, &cursor)
		       ? cursor.offset
		       : 0;
}

static void nothing_is_found_where_nobody_stopped(void **state)
{
	(void)state;
	assert_int_equal(find(0, 0), 0);
	put(5, 100);
	assert_int_equal(find(7, 4), 0);
	assert_int_equal(find(6, 5), 0);
	assert_int_equal(find(0, 0), 0);
}

static void a_place_is_found_again_as_it_was_put_last(void **state)
{
	(void)state;
	put(5, 100);
	put(6, 200);
	put(5, 150);
	assert_int_equal(find(7, 5), 150);
	assert_int_equal(find(7, 6), 200);
}

static void the_place_that_was_not_used_for_longest_is_given_up(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= LOG_CURSORS; i++)
		put(i, i);
	assert_int_equal(find(7, 1), 1);
	put(LOG_CURSORS + 1, 99);
	assert_int_equal(find(7, LOG_CURSORS + 1), 99);
	assert_int_equal(find(7, 1), 1);
	assert_int_equal(find(7, 2), 0);
	for (uint64_t i = 3; i <= LOG_CURSORS; i++)
		assert_int_equal(find(7, i), i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_found_where_nobody_stopped),
		TEST(a_place_is_found_again_as_it_was_put_last),
		TEST(the_place_that_was_not_used_for_longest_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

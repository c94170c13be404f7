/* SPDX-License-Identifier: MIT */
#include "node/wal_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RECORDS 200 /* more than it has room for at first */

/* Record @i holds the positions 10 i + 1 to 10 i + 10, and a payload that depends on it. */
static size_t payload_of(unsigned i, char text[32])
{
	return (size_t)snprintf(text, 32, "payload %u of %.*s", i, (int)(i % 9), "--------");
}

static void add(struct wal_window *window, unsigned i)
{
	char text[32];
	struct wal_record record = {
		.epoch = 7,
		.first_sequence = 1 + i,
		.first_position = 10 * i + 1,
		.count = 10,
		.payload_len = payload_of(i, text),
		.payload = (const uint8_t *)text,
	};

	assert_int_equal(wal_window_add(window, &record), 0);
	/* It has a copy. */
	memset(text, 'x', sizeof(text));
}

static void assert_holds(const struct wal_window *window, size_t count)
{
	assert_int_equal(window->count, count);
	for (unsigned i = 0; i < count; i++) {
		struct wal_record record = wal_window_get(window, i);
		char text[32];

		assert_int_equal(record.first_sequence, 1 + i);
		assert_int_equal(record.first_position, 10 * i + 1);
		assert_int_equal(record.payload_len, payload_of(i, text));
		assert_memory_equal(record.payload, text, record.payload_len);
	}
}

static void what_was_written_is_kept_in_its_order(void **state)
{
	struct wal_window window = { 0 };

	(void)state;
	for (unsigned i = 0; i < RECORDS; i++)
		add(&window, i);
	assert_holds(&window, RECORDS);
	wal_window_clear(&window);
	assert_holds(&window, 0);
	add(&window, 0);
	assert_holds(&window, 1);
	wal_window_deinit(&window);
}

static void what_begins_behind_a_position_is_cut_off(void **state)
{
	struct wal_window window = { 0 };

	(void)state;
	for (unsigned i = 0; i < RECORDS; i++)
		add(&window, i);
	wal_window_cut(&window, UINT64_MAX);
	assert_holds(&window, RECORDS);
	wal_window_cut(&window, 101); /* the first of record 10 */
	assert_holds(&window, 11);
	wal_window_cut(&window, 100);
	assert_holds(&window, 10);
	add(&window, 10);
	assert_holds(&window, 11);
	wal_window_cut(&window, 0);
	assert_holds(&window, 0);
	wal_window_deinit(&window);
}

/* A reset takes back versions and has no entries. */
static void a_record_without_a_payload_is_one_too(void **state)
{
	struct wal_record reset = { .flags = WAL_RESET, .epoch = 7, .first_position = 11 };
	struct wal_window window = { 0 };
	struct wal_record got;

	(void)state;
	add(&window, 0);
	assert_int_equal(wal_window_add(&window, &reset), 0);
	got = wal_window_get(&window, 1);
	assert_int_equal(got.flags, WAL_RESET);
	assert_null(got.payload);
	wal_window_cut(&window, 10);
	assert_holds(&window, 1);
	wal_window_deinit(&window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_kept_in_its_order),
		cmocka_unit_test(what_begins_behind_a_position_is_cut_off),
		cmocka_unit_test(a_record_without_a_payload_is_one_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

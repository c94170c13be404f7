/* SPDX-License-Identifier: MIT */
#include "lib/range.h"

#include "lib/clock.h"
#include "lib/http_date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static enum outcome range_of(const char *range, const char *if_range, int64_t mtime_ns,
			     uint64_t size, struct byte_range *ret_range)
{
	struct record_meta meta = { .version = { 1, 2 }, .mtime_ns = mtime_ns, .size_bytes = size };
	struct fields fields = { 0 };
	enum outcome outcome;

	fields_set(&fields, FIELD_RANGE, range, strlen(range));
	if (if_range)
		fields_set(&fields, FIELD_IF_RANGE, if_range, strlen(if_range));
	outcome = object_range(&fields, &meta, ret_range);
	fields_deinit(&fields);
	return outcome;
}

static void ranges_are_cut_to_the_value(void **state)
{
	enum { whole = OUTCOME_OK, part = OUTCOME_PARTIAL, none = OUTCOME_RANGE_NOT_SATISFIABLE };
	static const struct {
		const char *range;
		uint64_t size;
		int outcome;
		uint64_t offset, len;
	} table[] = {
		{ "bytes=0-0", 10, part, 0, 1 },
		{ "bytes=0-9", 10, part, 0, 10 },
		{ "bytes=0-", 10, part, 0, 10 },
		{ "bytes=3-5", 10, part, 3, 3 },
		{ "bytes=9-", 10, part, 9, 1 },
		{ "bytes=5-100", 10, part, 5, 5 },
		{ "bytes=-5", 10, part, 5, 5 },
		{ "bytes=-10", 10, part, 0, 10 },
		{ "bytes=-11", 10, part, 0, 10 },
		{ "BYTES=1-2", 10, part, 1, 2 },
		{ "bytes= 1-2 ", 10, part, 1, 2 },
		{ "bytes=10-", 10, none, 0, 0 },
		{ "bytes=10-20", 10, none, 0, 0 },
		{ "bytes=-0", 10, none, 0, 0 },
		{ "bytes=0-", 0, none, 0, 0 },
		{ "bytes=0-0", 0, none, 0, 0 },
		{ "bytes=-5", 0, whole, 0, 0 },
		/* Numbers that don't fit lie behind every value. */
		{ "bytes=0-18446744073709551615", 10, part, 0, 10 },
		{ "bytes=0-99999999999999999999999", 10, part, 0, 10 },
		{ "bytes=1-18446744073709551616", 10, part, 1, 9 },
		{ "bytes=99999999999999999999999-", 10, none, 0, 0 },
		{ "bytes=18446744073709551615-", UINT64_MAX, none, 0, 0 },
		{ "bytes=18446744073709551614-", UINT64_MAX, part, UINT64_MAX - 1, 1 },
		{ "bytes=-99999999999999999999999", 10, part, 0, 10 },
		/* What is malformed, several, or another unit is not there. */
		{ "bytes=5-2", 10, whole, 0, 0 },
		{ "bytes=0-1,4-5", 10, whole, 0, 0 },
		{ "bytes=0-1,", 10, whole, 0, 0 },
		{ "bytes=,0-1", 10, whole, 0, 0 },
		{ "bytes=-", 10, whole, 0, 0 },
		{ "bytes=", 10, whole, 0, 0 },
		{ "bytes", 10, whole, 0, 0 },
		{ "bytes 0-1", 10, whole, 0, 0 },
		{ "bytes=a-b", 10, whole, 0, 0 },
		{ "bytes=1 - 2", 10, whole, 0, 0 },
		{ "bytes=+1-2", 10, whole, 0, 0 },
		{ "bytes=1-2-3", 10, whole, 0, 0 },
		{ "bytes=--5", 10, whole, 0, 0 },
		{ "bytes=0x1-2", 10, whole, 0, 0 },
		{ "lines=0-1", 10, whole, 0, 0 },
		{ "", 10, whole, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct byte_range range = { 0 };

		if ((int)range_of(table[i].range, NULL, 0, table[i].size, &range) !=
			    table[i].outcome ||
		    range.offset != table[i].offset || range.len != table[i].len)
			fail_msg("'%s' of %llu", table[i].range, (unsigned long long)table[i].size);
	}
}

static void if_range_wants_the_very_version(void **state)
{
	const char *const matching[] = { "\"1-2\"", "Sun, 06 Nov 1994 08:49:37 GMT",
					 "Sunday, 06-Nov-94 08:49:37 GMT" };
	const char *const other[] = { "\"1-3\"",
				      "W/\"1-2\"",
				      "\"1-2\", \"1-3\"",
				      "\"1-2\"x",
				      "*",
				      "",
				      "1-2",
				      "Sun, 06 Nov 1994 08:49:36 GMT",
				      "Sun, 06 Nov 1994 08:49:38 GMT" };
	struct byte_range range;

	(void)state;
	for (size_t i = 0; i < sizeof(matching) / sizeof(matching[0]); i++)
		assert_int_equal(range_of("bytes=1-2", matching[i], 784111777123456789, 10, &range),
				 OUTCOME_PARTIAL);
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		if (range_of("bytes=1-2", other[i], 784111777123456789, 10, &range) != OUTCOME_OK)
			fail_msg("'%s' matched", other[i]);
		/* Not 416 either: the range is not looked at. */
		assert_int_equal(range_of("bytes=20-", other[i], 784111777123456789, 10, &range),
				 OUTCOME_OK);
	}
}

static void a_date_of_this_second_is_no_strong_validator(void **state)
{
	int64_t now_ns = clock_realtime_ns();
	char date[HTTP_DATE_BYTES_MAX];
	struct byte_range range;

	(void)state;
	http_date_format(now_ns / 1000000000, date);
	assert_int_equal(range_of("bytes=1-2", date, now_ns, 10, &range), OUTCOME_OK);
	now_ns -= 10000000000;
	http_date_format(now_ns / 1000000000, date);
	assert_int_equal(range_of("bytes=1-2", date, now_ns, 10, &range), OUTCOME_PARTIAL);
}

static bool is_longer(const char *range, uint64_t bytes)
{
	struct fields fields = { 0 };
	bool longer;

	if (range)
		fields_set(&fields, FIELD_RANGE, range, strlen(range));
	longer = range_is_longer(&fields, bytes);
	fields_deinit(&fields);
	return longer;
}

static void what_a_range_asks_for_is_known_without_the_value(void **state)
{
	(void)state;
	assert_false(is_longer("bytes=0-99", 100));
	assert_true(is_longer("bytes=0-100", 100));
	assert_true(is_longer("bytes=1000-1100", 100));
	assert_true(is_longer("bytes=0-18446744073709551615", 100));
	assert_false(is_longer("bytes=-100", 100));
	assert_true(is_longer("bytes=-101", 100));
	assert_false(is_longer("bytes=5-", 100));
	assert_false(is_longer("bytes=1000-1", 100));
	assert_false(is_longer("bytes=0-999,2000-2999", 100));
	assert_false(is_longer("lines=0-999", 100));
	assert_false(is_longer(NULL, 100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_cut_to_the_value),
		cmocka_unit_test(if_range_wants_the_very_version),
		cmocka_unit_test(a_date_of_this_second_is_no_strong_validator),
		cmocka_unit_test(what_a_range_asks_for_is_known_without_the_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

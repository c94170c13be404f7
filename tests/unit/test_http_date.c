/* SPDX-License-Identifier: MIT */
#include "lib/http_date.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void all_three_forms_name_the_same_second(void **state)
{
	const char *const forms[] = { "Sun, 06 Nov 1994 08:49:37 GMT",
				      "Sunday, 06-Nov-94 08:49:37 GMT",
				      "Sun Nov  6 08:49:37 1994" };
	char text[HTTP_DATE_BYTES_MAX];
	int64_t seconds;

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(http_date_parse(forms[i], &seconds), 0);
		assert_int_equal(seconds, 784111777);
	}
	http_date_format(784111777, text);
	assert_string_equal(text, forms[0]);
	assert_int_equal(http_date_parse("Wed Nov 16 08:49:37 1994", &seconds), 0);
	assert_int_equal(seconds, 784111777 + 10 * 86400);
}

static void the_calendar_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (int64_t seconds = -62167219200; seconds <= 253402300799;
	     seconds += 86400 * 17 + 4711) {
		char text[HTTP_DATE_BYTES_MAX], expected[64];
		time_t t = (time_t)seconds;
		int64_t back;
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		/* strftime() writes years before 1000 without leading zeros. */
		if (tm.tm_year + 1900 >= 1000) {
			http_date_format(seconds, text);
			assert_string_equal(text, expected);
		}
		http_date_format(seconds, text);
		assert_int_equal(http_date_parse(text, &back), 0);
		assert_true(back == seconds);
	}
}

static void leap_days_and_years_are_right(void **state)
{
	int64_t seconds;

	(void)state;
	assert_int_equal(http_date_parse("Tue, 29 Feb 2000 00:00:00 GMT", &seconds), 0);
	assert_int_equal(seconds, 951782400);
	assert_int_equal(http_date_parse("Thu, 29 Feb 2024 00:00:00 GMT", &seconds), 0);
	assert_int_equal(http_date_parse("Thu, 29 Feb 2023 00:00:00 GMT", &seconds), -EINVAL);
	assert_int_equal(http_date_parse("Thu, 29 Feb 1900 00:00:00 GMT", &seconds), -EINVAL);
	assert_int_equal(http_date_parse("Sat, 31 Dec 2016 23:59:60 GMT", &seconds), 0);
	assert_int_equal(http_date_parse("Thu, 01 Jan 1970 00:00:00 GMT", &seconds), 0);
	assert_int_equal(seconds, 0);
}

static void a_date_beyond_four_digits_is_clamped(void **state)
{
	char text[HTTP_DATE_BYTES_MAX];

	(void)state;
	http_date_format(INT64_MAX, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	http_date_format(INT64_MIN, text);
	assert_string_equal(text, "Sat, 01 Jan 0000 00:00:00 GMT");
}

static void two_digit_years_are_near_now(void **state)
{
	int64_t seconds, now = (int64_t)time(NULL);

	(void)state;
	for (int year = 0; year < 100; year++) {
		char text[64];

		snprintf(text, sizeof(text), "Sunday, 01-Jan-%02d 00:00:00 GMT", year);
		assert_int_equal(http_date_parse(text, &seconds), 0);
		assert_true(seconds <= now + 51LL * 366 * 86400);
		assert_true(seconds > now - 51LL * 366 * 86400);
	}
}

static void anything_else_is_refused(void **state)
{
	const char *const bad[] = { "",
				    "Sun",
				    "Sun, 06 Nov 1994 08:49:37",
				    "Sun, 06 Nov 1994 08:49:37 UTC",
				    "Sun, 06 Nov 1994 08:49:37 GMT ",
				    " Sun, 06 Nov 1994 08:49:37 GMT",
				    "sun, 06 nov 1994 08:49:37 gmt",
				    "Sun, 6 Nov 1994 08:49:37 GMT",
				    "Sun, 32 Nov 1994 08:49:37 GMT",
				    "Sun, 00 Nov 1994 08:49:37 GMT",
				    "Sun, 31 Nov 1994 08:49:37 GMT",
				    "Sun, 06 Non 1994 08:49:37 GMT",
				    "Sun, 06 Nov 1994 24:00:00 GMT",
				    "Sun, 06 Nov 1994 08:60:37 GMT",
				    "Sun, 06 Nov 1994 08:49:61 GMT",
				    "Sun, 06 Nov -994 08:49:37 GMT",
				    "Sun, 06-Nov-94 08:49:37 GMT",
				    "Sunday, 06-Nov-1994 08:49:37 GMT",
				    "Sun Nov 6 08:49:37 1994",
				    "Sun Nov  6 08:49:37 94",
				    "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
				    "1994-11-06T08:49:37Z",
				    "784111777" };
	int64_t seconds;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (http_date_parse(bad[i], &seconds) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_three_forms_name_the_same_second),
		cmocka_unit_test(the_calendar_agrees_with_the_c_library),
		cmocka_unit_test(leap_days_and_years_are_right),
		cmocka_unit_test(a_date_beyond_four_digits_is_clamped),
		cmocka_unit_test(two_digit_years_are_near_now),
		cmocka_unit_test(anything_else_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

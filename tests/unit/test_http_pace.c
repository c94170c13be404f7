/* SPDX-License-Identifier: MIT */
#include "lib/http_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct http_pace_limits limits = { .stretch_ms = 30000,
						.stretch_bytes = 4096,
						.rate = 1000 };

/* Until it is too slow: @per_second bytes come every second; 0: it lasted for @most_s. */
static unsigned seconds_until_too_slow(uint64_t per_second, unsigned most_s)
{
	struct http_pace pace = { 0 };
	uint64_t moved = 77;

	for (unsigned s = 0; s < most_s; s++) {
		if (!http_pace_is_kept(&pace, &limits, 5000 + s * 1000, moved))
			return s;
		moved += per_second;
	}
	return 0;
}

static void nothing_at_all_ends_with_the_first_stretch(void **state)
{
	(void)state;
	assert_int_equal(seconds_until_too_slow(0, 100), 30);
}

static void a_drip_that_keeps_to_its_stretches_ends_too(void **state)
{
	(void)state;
	/* 500 bytes a second are owed twice over after a minute. */
	assert_int_equal(seconds_until_too_slow(500, 10000), 61);
	assert_int_equal(seconds_until_too_slow(999, 100000), 30001);
}

static void the_rate_itself_is_fast_enough(void **state)
{
	(void)state;
	assert_int_equal(seconds_until_too_slow(1000, 100000), 0);
}

static void who_was_quick_may_not_rest_on_it(void **state)
{
	struct http_pace pace = { 0 };

	(void)state;
	assert_true(http_pace_is_kept(&pace, &limits, 0, 0));
	assert_true(http_pace_is_kept(&pace, &limits, 1000, 1 << 30));
	assert_true(http_pace_is_kept(&pace, &limits, 30000, 1 << 30));
	assert_true(http_pace_is_kept(&pace, &limits, 59000, 1 << 30));
	assert_false(http_pace_is_kept(&pace, &limits, 60000, 1 << 30));
}

static void without_a_stretch_there_is_no_limit(void **state)
{
	const struct http_pace_limits none = { 0 };
	struct http_pace pace = { 0 };

	(void)state;
	assert_true(http_pace_is_kept(&pace, &none, 0, 0));
	assert_true(http_pace_is_kept(&pace, &none, UINT64_MAX, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_at_all_ends_with_the_first_stretch),
		cmocka_unit_test(a_drip_that_keeps_to_its_stretches_ends_too),
		cmocka_unit_test(the_rate_itself_is_fast_enough),
		cmocka_unit_test(who_was_quick_may_not_rest_on_it),
		cmocka_unit_test(without_a_stretch_there_is_no_limit),
	};

	return cmocka_run_group_tests_name("http_pace", tests, NULL, NULL);
}

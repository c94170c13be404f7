/* SPDX-License-Identifier: MIT */
#include "lib/outcome.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_outcome_has_its_own_status_and_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
		const struct outcome_info *info = outcome_info((enum outcome)i);

		assert_true(info->status >= 200 && info->status < 600);
		assert_int_equal(outcome_from_status(info->status), i);
		assert_non_null(info->title);
		assert_int_equal(strspn(info->slug, "abcdefghijklmnopqrstuvwxyz-"),
				 strlen(info->slug));
		assert_int_equal(info->error == 0, outcome_is_success((enum outcome)i));
	}
}

static void an_unknown_status_maps_by_its_class(void **state)
{
	(void)state;
	assert_int_equal(outcome_from_status(226), OUTCOME_OK);
	assert_int_equal(outcome_from_status(418), OUTCOME_BAD_REQUEST);
	assert_int_equal(outcome_from_status(301), OUTCOME_BAD_GATEWAY);
	assert_int_equal(outcome_from_status(505), OUTCOME_BAD_GATEWAY);
	assert_int_equal(outcome_from_status(0), OUTCOME_BAD_GATEWAY);
}

static void errors_map_to_what_a_client_can_do(void **state)
{
	(void)state;
	assert_int_equal(outcome_from_error(-ENOSPC), OUTCOME_NO_SPACE);
	assert_int_equal(outcome_from_error(-EDQUOT), OUTCOME_NO_SPACE);
	assert_int_equal(outcome_from_error(-ETIMEDOUT), OUTCOME_TIMEOUT);
	assert_int_equal(outcome_from_error(-ENOMEM), OUTCOME_UNAVAILABLE);
	assert_int_equal(outcome_from_error(-EIO), OUTCOME_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_outcome_has_its_own_status_and_words),
		cmocka_unit_test(an_unknown_status_maps_by_its_class),
		cmocka_unit_test(errors_map_to_what_a_client_can_do),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/field.h"

#include "lib/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void every_field_is_found_by_its_name_in_any_case(void **state)
{
	(void)state;
	for (unsigned i = 1; i < FIELD_COUNT; i++) {
		char *name = strdup(field_name((enum field)i));

		assert_int_equal(field_from_name(name, strlen(name)), i);
		for (char *at = name; *at; at++)
			*at = (char)toupper(*at);
		assert_int_equal(field_from_name(name, strlen(name)), i);
		assert_int_equal(field_from_name(name, strlen(name) - 1), 0);
		free(name);
	}
	assert_int_equal(field_from_name("", 0), 0);
	assert_int_equal(field_from_name("ETag\0", 5), 0);
	assert_int_equal(field_from_name("X-Unknown", 9), 0);
}

static void values_are_kept_apart_and_replaced(void **state)
{
	struct fields fields = { 0 };
	size_t len;

	(void)state;
	assert_null(fields_get(&fields, FIELD_ETAG, NULL));
	assert_int_equal(fields_set(&fields, FIELD_ETAG, "\"1-2\"", 5), 0);
	assert_int_equal(fields_set(&fields, FIELD_RANGE, "", 0), 0);
	assert_int_equal(fields_setf(&fields, FIELD_MTIME, "%d", 12345), 0);
	assert_string_equal(fields_get(&fields, FIELD_ETAG, &len), "\"1-2\"");
	assert_int_equal(len, 5);
	assert_string_equal(fields_get(&fields, FIELD_RANGE, &len), "");
	assert_int_equal(len, 0);
	fields_set(&fields, FIELD_ETAG, "x", 1);
	assert_string_equal(fields_get(&fields, FIELD_ETAG, NULL), "x");
	fields_set(&fields, FIELD_ETAG, "a longer one than before", 24);
	assert_string_equal(fields_get(&fields, FIELD_ETAG, NULL), "a longer one than before");
	assert_string_equal(fields_get(&fields, FIELD_MTIME, NULL), "12345");
	fields_unset(&fields, FIELD_ETAG);
	assert_null(fields_get(&fields, FIELD_ETAG, NULL));
	fields_deinit(&fields);
}

static void a_value_of_the_same_set_may_be_given(void **state)
{
	struct fields fields = { 0 };

	(void)state;
	fields_set(&fields, FIELD_ETAG, "0123456789012345678901234567890123456789", 40);
	for (unsigned i = FIELD_LAST_MODIFIED; i < FIELD_COUNT; i++) {
		size_t len;
		const char *value = fields_get(&fields, FIELD_ETAG, &len);

		assert_int_equal(fields_set(&fields, (enum field)i, value, len), 0);
		assert_string_equal(fields_get(&fields, (enum field)i, NULL),
				    "0123456789012345678901234567890123456789");
	}
	fields_set(&fields, FIELD_ETAG, fields_get(&fields, FIELD_ETAG, NULL) + 5, 35);
	assert_string_equal(fields_get(&fields, FIELD_ETAG, NULL),
			    "56789012345678901234567890123456789");
	fields_deinit(&fields);
}

static void what_would_break_a_head_is_refused(void **state)
{
	struct fields fields = { 0 };
	char *longest = calloc(1, FIELD_VALUE_MAX + 2);

	(void)state;
	memset(longest, 'x', FIELD_VALUE_MAX + 1);
	assert_int_equal(fields_set(&fields, FIELD_ETAG, "a\r\nb", 4), -EINVAL);
	assert_int_equal(fields_set(&fields, FIELD_ETAG, "a\nb", 3), -EINVAL);
	assert_int_equal(fields_set(&fields, FIELD_ETAG, "a\0b", 3), -EINVAL);
	assert_int_equal(fields_set(&fields, FIELD_ETAG, longest, FIELD_VALUE_MAX + 1), -EINVAL);
	assert_int_equal(fields_setf(&fields, FIELD_ETAG, "%s", longest), -EINVAL);
	assert_null(fields_get(&fields, FIELD_ETAG, NULL));
	assert_int_equal(fields_set(&fields, FIELD_ETAG, longest, FIELD_VALUE_MAX), 0);
	free(longest);
	fields_deinit(&fields);
}

static void sets_are_copied_and_taken(void **state)
{
	struct fields from = { 0 }, to = { 0 }, taken;

	(void)state;
	fields_set(&from, FIELD_ETAG, "a", 1);
	fields_set(&to, FIELD_RANGE, "b", 1);
	assert_int_equal(fields_copy(&from, &to), 0);
	assert_string_equal(fields_get(&to, FIELD_ETAG, NULL), "a");
	assert_string_equal(fields_get(&to, FIELD_RANGE, NULL), "b");
	taken = fields_take(&from);
	assert_null(fields_get(&from, FIELD_ETAG, NULL));
	assert_string_equal(fields_get(&taken, FIELD_ETAG, NULL), "a");
	fields_deinit(&taken);
	fields_deinit(&from);
	fields_deinit(&to);
}

static void fields_that_are_present_are_walked_in_their_order(void **state)
{
	_cleanup_(fields_deinit) struct fields fields = { 0 };

	(void)state;
	assert_int_equal(fields_next(&fields, 0), FIELD_COUNT);
	assert_int_equal(fields_set(&fields, FIELD_COUNT - 1, "c", 1), 0);
	assert_int_equal(fields_set(&fields, FIELD_ETAG, "b", 1), 0);
	assert_int_equal(fields_set(&fields, FIELD_CONTENT_TYPE, "", 0), 0);
	assert_int_equal(fields_set(&fields, FIELD_RANGE, "x", 1), 0);
	fields_unset(&fields, FIELD_RANGE);
	assert_int_equal(fields_next(&fields, 0), FIELD_CONTENT_TYPE);
	assert_int_equal(fields_next(&fields, FIELD_CONTENT_TYPE), FIELD_ETAG);
	assert_int_equal(fields_next(&fields, FIELD_ETAG), FIELD_COUNT - 1);
	assert_int_equal(fields_next(&fields, FIELD_COUNT - 1), FIELD_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_that_are_present_are_walked_in_their_order),
		cmocka_unit_test(every_field_is_found_by_its_name_in_any_case),
		cmocka_unit_test(values_are_kept_apart_and_replaced),
		cmocka_unit_test(a_value_of_the_same_set_may_be_given),
		cmocka_unit_test(what_would_break_a_head_is_refused),
		cmocka_unit_test(sets_are_copied_and_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

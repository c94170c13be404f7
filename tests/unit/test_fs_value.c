/* SPDX-License-Identifier: MIT */
#include "fs/value.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void a_value_is_a_copy(void **state)
{
	char data[] = "hello";
	struct value *value = value_new(data, 5);

	(void)state;
	memset(data, 'x', sizeof(data));
	assert_int_equal(value->len, 5);
	assert_memory_equal(value->data, "hello", 5);
	assert_null(value_unref(value));
}

static void an_empty_value_needs_no_bytes(void **state)
{
	struct value *value = value_new(NULL, 0);

	(void)state;
	assert_non_null(value);
	assert_int_equal(value->len, 0);
	value_unref(value);
}

static void no_value_can_be_held_and_let_go(void **state)
{
	(void)state;
	assert_null(value_ref(NULL));
	assert_null(value_unref(NULL));
}

static void a_value_lives_as_long_as_somebody_holds_it(void **state)
{
	struct value *value = value_new("abc", 3);

	(void)state;
	assert_ptr_equal(value_ref(value), value);
	value_unref(value);
	assert_memory_equal(value->data, "abc", 3);
	value_unref(value);
}

static void *hold_and_let_go(void *state)
{
	struct value *value = state;

	for (int i = 0; i < 10000; i++)
		value_unref(value_ref(value));
	value_unref(value);
	return NULL;
}

static void threads_may_hold_one_value_at_once(void **state)
{
	struct value *value = value_new("abc", 3);
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, hold_and_let_go, value_ref(value)), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(value->references, 1);
	value_unref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_is_a_copy),
		cmocka_unit_test(an_empty_value_needs_no_bytes),
		cmocka_unit_test(no_value_can_be_held_and_let_go),
		cmocka_unit_test(a_value_lives_as_long_as_somebody_holds_it),
		cmocka_unit_test(threads_may_hold_one_value_at_once),
	};

	return cmocka_run_group_tests_name("fs_value", tests, NULL, NULL);
}

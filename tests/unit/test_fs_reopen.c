/* SPDX-License-Identifier: MIT */
/* What is remembered of a thread's last try: of opens, and of look-ups. */
#include "fs/absent.h"
#include "fs/reopen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define NAME  UINT64_C(0x1234567890)
#define OTHER UINT64_C(0x1234567891)

static const struct reopen_file file = { .st_ino = NAME, .birth = 1 };
/* What the name stands for since. */
static const struct reopen_file newer = { .st_ino = NAME, .birth = 2 };
static const struct reopen_file other = { .st_ino = OTHER, .birth = 3 };

static void an_open_that_tries_again_is_recognised_once(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	assert_false(reopen_looks(&reopen, 7, NAME, true));
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_BY_NAME);
	assert_int_equal(since, 42);
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
}

static void an_open_without_a_look_up_that_found_the_name_is_no_second_try(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 7, file, 42);
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, false));
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	/* The kernel looks up twice if the first finds nothing, and the name may be back then. */
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, false));
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_BY_NAME);
}

static void an_open_past_the_name_is_recognised_once(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 7, file, 42);
	assert_int_equal(reopen_take(&reopen, 7, file, &since), REOPEN_PAST_NAME);
	assert_int_equal(since, 42);
	assert_int_equal(reopen_take(&reopen, 7, file, &since), REOPEN_FIRST);
	/* One that ended with its look-up left a note behind. */
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, false));
	assert_int_equal(reopen_take(&reopen, 7, file, &since), REOPEN_FIRST);
}

static void after_something_else_the_next_open_is_no_second_try(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	reopen_forget(&reopen, 7);
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	reopen_forget(&reopen, 7 + REOPEN_SLOTS);
	reopen_forget(&reopen, 0);
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_BY_NAME);
}

static void the_next_open_of_another_file_is_no_second_try(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	assert_false(reopen_looks(&reopen, 7, OTHER, true));
	assert_int_equal(reopen_take(&reopen, 7, other, &since), REOPEN_FIRST);
	/* Nor is one after it: the kernel tries again at once. */
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
}

static void opens_of_other_threads_are_no_second_try(void **state)
{
	struct reopen reopen = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 7, file, 42);
	assert_true(reopen_looks(&reopen, 7, NAME, true));
	assert_int_equal(reopen_take(&reopen, 8, newer, &since), REOPEN_FIRST);
	/* One that shares the slot. */
	assert_int_equal(reopen_take(&reopen, 7 + REOPEN_SLOTS, newer, &since), REOPEN_FIRST);
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_BY_NAME);
	reopen_note(&reopen, 7, file, 42);
	reopen_note(&reopen, 7 + REOPEN_SLOTS, file, 43);
	assert_false(reopen_looks(&reopen, 7, NAME, true));
	assert_true(reopen_looks(&reopen, 7 + REOPEN_SLOTS, NAME, true));
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	assert_int_equal(reopen_take(&reopen, 7 + REOPEN_SLOTS, newer, &since), REOPEN_BY_NAME);
	assert_int_equal(since, 43);
}

static void threads_without_a_number_are_not_remembered(void **state)
{
	struct reopen reopen = { 0 };
	struct absent absent = { 0 };
	uint64_t since = 0;

	(void)state;
	reopen_note(&reopen, 0, file, 42);
	assert_false(reopen_looks(&reopen, 0, NAME, true));
	assert_int_equal(reopen_take(&reopen, 0, newer, &since), REOPEN_FIRST);
	reopen_note(&reopen, -1, file, 42);
	assert_int_equal(reopen_take(&reopen, -1, newer, &since), REOPEN_FIRST);
	absent_note(&absent, 0, NAME);
	assert_false(absent_take(&absent, 0, NAME));
	absent_note(&absent, -1, NAME);
	assert_false(absent_take(&absent, -1, NAME));
}

static void a_second_try_that_comes_late_is_none(void **state)
{
	struct reopen reopen = { 0 };
	struct absent absent = { 0 };
	uint64_t since = 0;

	(void)state;
	/* As if it had been noted earlier. */
	reopen_note(&reopen, 7, file, 42);
	reopen.slots[7].at_ms -= 20000;
	assert_false(reopen_looks(&reopen, 7, NAME, true));
	assert_int_equal(reopen_take(&reopen, 7, newer, &since), REOPEN_FIRST);
	absent_note(&absent, 7, NAME);
	absent.slots[7].at_ms -= 1000;
	assert_false(absent_take(&absent, 7, NAME));
}

static void an_absent_name_is_remembered_for_one_look_up_of_it(void **state)
{
	struct absent absent = { 0 };

	(void)state;
	assert_false(absent_take(&absent, 7, NAME));
	absent_note(&absent, 7, NAME);
	assert_false(absent_take(&absent, 8, NAME));
	assert_false(absent_take(&absent, 7 + ABSENT_SLOTS, NAME));
	assert_true(absent_take(&absent, 7, NAME));
	assert_false(absent_take(&absent, 7, NAME));
	absent_note(&absent, 7, NAME);
	assert_false(absent_take(&absent, 7, OTHER));
	assert_false(absent_take(&absent, 7, NAME));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_open_that_tries_again_is_recognised_once),
		cmocka_unit_test(an_open_without_a_look_up_that_found_the_name_is_no_second_try),
		cmocka_unit_test(after_something_else_the_next_open_is_no_second_try),
		cmocka_unit_test(an_open_past_the_name_is_recognised_once),
		cmocka_unit_test(the_next_open_of_another_file_is_no_second_try),
		cmocka_unit_test(opens_of_other_threads_are_no_second_try),
		cmocka_unit_test(threads_without_a_number_are_not_remembered),
		cmocka_unit_test(a_second_try_that_comes_late_is_none),
		cmocka_unit_test(an_absent_name_is_remembered_for_one_look_up_of_it),
	};

	return cmocka_run_group_tests_name("fs_reopen", tests, NULL, NULL);
}

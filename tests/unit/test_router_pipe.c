/* SPDX-License-Identifier: MIT */
#include "router/budget.h"
#include "router/pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_full_pipe_takes_no_more_and_an_empty_one_gives_nothing(void **state)
{
	static char data[PIPE_BYTES + 1];
	struct pipe pipe;

	(void)state;
	assert_int_equal(pipe_init(&pipe), 0);
	assert_int_equal(pipe_read(&pipe, data, sizeof(data)), 0);
	assert_true(pipe_is_low(&pipe));
	assert_int_equal(pipe_write(&pipe, data, sizeof(data)), PIPE_BYTES);
	assert_false(pipe_is_low(&pipe));
	assert_int_equal(pipe_write(&pipe, data, 1), 0);
	assert_int_equal(pipe_read(&pipe, data, sizeof(data)), PIPE_BYTES);
	pipe_deinit(&pipe);
}

static void bytes_come_out_in_order_whatever_the_pieces(void **state)
{
	static uint8_t piece[PIPE_BYTES];
	uint8_t next_in = 0, next_out = 0;
	unsigned seed = 20261122;
	struct pipe pipe;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	assert_int_equal(pipe_init(&pipe), 0);
	for (int round = 0; round < 2000; round++) {
		size_t len = (size_t)rand() % (PIPE_BYTES / 3);
		size_t taken;

		for (size_t i = 0; i < len; i++)
			piece[i] = (uint8_t)(next_in + i);
		taken = pipe_write(&pipe, piece, len);
		next_in = (uint8_t)(next_in + taken);
		len = pipe_read(&pipe, piece, (size_t)rand() % (PIPE_BYTES / 3));
		for (size_t i = 0; i < len; i++) {
			if (piece[i] != next_out++)
				fail_msg("round %d, byte %zu", round, i);
		}
	}
	pipe_deinit(&pipe);
}

static void shares_together_never_pass_the_limit(void **state)
{
	struct budget budget = { .limit = 100 };
	struct budget_share one = { .budget = &budget }, two = { .budget = &budget };

	(void)state;
	assert_true(budget_share_grow(&one, 60));
	assert_true(budget_share_grow(&one, 10));
	assert_int_equal(one.taken, 60);
	assert_false(budget_share_grow(&two, 41));
	assert_int_equal(two.taken, 0);
	assert_true(budget_share_grow(&two, 40));
	assert_false(budget_share_grow(&one, 61));
	budget_share_shrink(&one, 0);
	assert_true(budget_share_grow(&two, 100));
	assert_false(budget_share_grow(&one, SIZE_MAX));
	budget_share_shrink(&two, 0);
	assert_int_equal(budget.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_pipe_takes_no_more_and_an_empty_one_gives_nothing),
		cmocka_unit_test(bytes_come_out_in_order_whatever_the_pieces),
		cmocka_unit_test(shares_together_never_pass_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

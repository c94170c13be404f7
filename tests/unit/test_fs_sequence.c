/* SPDX-License-Identifier: MIT */
/* Which reads follow each other. */
#include "fs/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

static struct sequence *read_at(struct sequence *sequences, uint64_t offset, size_t len)
{
	struct sequence *sequence = sequence_find(sequences, offset, len);

	if (sequence) {
		sequence_go_on(sequence, offset, len);
	} else {
		sequence = sequence_least(sequences);
		sequence_begin(sequence, offset, len);
	}
	return sequence;
}

static bool read_is_established(struct sequence *sequences, uint64_t offset, size_t len)
{
	return sequence_is_established(read_at(sequences, offset, len));
}

static void the_third_read_in_a_row_makes_a_sequence(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };

	(void)state;
	assert_false(read_is_established(sequences, 5000, 1000));
	assert_false(read_is_established(sequences, 6000, 1000));
	assert_true(read_is_established(sequences, 7000, 1000));
	/* Near enough, as several threads serve one. */
	assert_true(read_is_established(sequences, 10000, 1000));
	assert_true(read_is_established(sequences, 9000, 1000));
	assert_false(read_is_established(sequences, 100 * MIB, 1000));
}

static void random_reads_make_none(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };
	unsigned established = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 100000; i++)
		established +=
			read_is_established(sequences, (uint64_t)(rand() % 4096) * 4096, 4096);
	assert_true(established < 100);
}

static void the_same_place_again_and_again_is_none(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_false(read_is_established(sequences, 4096, 4096));
}

static void several_programs_are_followed_at_once(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		for (unsigned j = 0; j < SEQUENCES_MAX; j++)
			assert_int_equal(
				read_is_established(sequences, j * 100 * MIB + i * 65536, 65536),
				i >= 2);
}

static void random_reads_do_not_displace_a_sequence(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(read_is_established(sequences, i * 65536, 65536), i >= 2);
		for (unsigned j = 0; i >= 2 && j < 2 * SEQUENCES_MAX; j++)
			read_at(sequences, 500 * MIB + j * 50 * MIB + i * 100000, 4096);
	}
}

static void who_jumps_along_is_not_followed(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };
	unsigned established = 0;

	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		read_at(sequences, i * 4096, 4096);
	for (uint64_t i = 1; i < 100; i++)
		established += read_is_established(sequences, i * MIB, 4096);
	assert_true(established < 8);
}

static void the_longer_it_is_the_more_is_ahead(void **state)
{
	struct sequence sequences[SEQUENCES_MAX] = { 0 };
	struct sequence *sequence = NULL;
	uint64_t before;

	(void)state;
	for (uint64_t i = 0; i < 3; i++)
		sequence = read_at(sequences, i * 65536, 65536);
	before = sequence_ahead_bytes(sequence);
	assert_true(before <= MIB);
	for (uint64_t i = 3; i < 1600; i++) {
		sequence = read_at(sequences, i * 65536, 65536);
		assert_true(sequence_ahead_bytes(sequence) >= before);
		before = sequence_ahead_bytes(sequence);
		assert_true(before <= MIB || before <= (i + 1) * 65536);
	}
	assert_int_equal(before, 16 * MIB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_third_read_in_a_row_makes_a_sequence),
		cmocka_unit_test(random_reads_make_none),
		cmocka_unit_test(the_same_place_again_and_again_is_none),
		cmocka_unit_test(several_programs_are_followed_at_once),
		cmocka_unit_test(random_reads_do_not_displace_a_sequence),
		cmocka_unit_test(who_jumps_along_is_not_followed),
		cmocka_unit_test(the_longer_it_is_the_more_is_ahead),
	};

	return cmocka_run_group_tests_name("fs_sequence", tests, NULL, NULL);
}

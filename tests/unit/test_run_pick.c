/* SPDX-License-Identifier: MIT */
#include "node/run_pick.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MIB      ((uint64_t)1 << 20)
#define RUNS_MAX 10

/* Newest first, as in a view. */
struct runs {
	struct run_size size[64];
	size_t count;
	uint64_t flushed, written;
};

static void flush(struct runs *runs, uint64_t bytes)
{
	memmove(&runs->size[1], runs->size, runs->count * sizeof(runs->size[0]));
	runs->size[0] = (struct run_size){ .bytes = bytes };
	runs->count++;
	runs->flushed += bytes;
	runs->written += bytes;
}

/* What is overwritten goes: no run is larger than @most. */
static void merge(struct runs *runs, struct run_pick pick, uint64_t most)
{
	uint64_t bytes = 0;

	assert_true(pick.count > 1);
	assert_true(pick.first + pick.count <= runs->count);
	for (size_t i = 0; i < pick.count; i++) {
		assert_false(runs->size[pick.first + i].damaged);
		bytes += runs->size[pick.first + i].bytes;
	}
	runs->size[pick.first].bytes = bytes < most ? bytes : most;
	runs->written += runs->size[pick.first].bytes;
	runs->count -= pick.count - 1;
	memmove(&runs->size[pick.first + 1], &runs->size[pick.first + pick.count],
		(runs->count - pick.first - 1) * sizeof(runs->size[0]));
}

static void settle(struct runs *runs, uint64_t most)
{
	struct run_pick pick;

	while (run_pick(runs->size, runs->count, true, RUNS_MAX, &pick))
		merge(runs, pick, most);
}

static double written_per_byte(unsigned flushes, uint64_t most)
{
	struct runs runs = { 0 };

	for (unsigned i = 0; i < flushes; i++) {
		flush(&runs, MIB);
		settle(&runs, most);
		assert_true(runs.count <= RUNS_MAX);
	}
	return (double)runs.written / (double)runs.flushed;
}

static void few_bytes_are_written_for_each(void **state)
{
	(void)state;
	assert_true(written_per_byte(200, UINT64_MAX) < 4.5);
	assert_true(written_per_byte(1000, UINT64_MAX) < 5.5);
	assert_true(written_per_byte(10000, UINT64_MAX) < 7.5);
}

static void overwriting_keeps_the_space_bounded(void **state)
{
	struct runs runs = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		uint64_t bytes = 0;

		flush(&runs, MIB << i % 4);
		settle(&runs, 200 * MIB);
		assert_true(runs.count <= RUNS_MAX);
		for (size_t k = 0; k < runs.count; k++)
			bytes += runs.size[k].bytes;
		assert_true(bytes < 400 * MIB);
	}
}

static void a_damaged_run_is_left_out(void **state)
{
	struct runs runs = { 0 };
	struct run_pick pick;

	(void)state;
	flush(&runs, 100 * MIB);
	runs.size[0].damaged = true;
	for (unsigned i = 0; i < 100; i++) {
		flush(&runs, MIB);
		if (i == 3)
			runs.size[0].damaged = true;
		settle(&runs, UINT64_MAX);
		assert_true(runs.count <= RUNS_MAX);
	}
	for (size_t i = 0; i < runs.count; i++)
		runs.size[i].damaged = i % 2 == 0;
	flush(&runs, MIB);
	runs.size[0].damaged = true;
	assert_false(run_pick(runs.size, runs.count, true, 2, &pick));
}

static void behind_newer_runs_only_their_number_counts(void **state)
{
	struct runs runs = { 0 };
	struct run_pick pick;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		flush(&runs, MIB);
	assert_true(run_pick(runs.size, runs.count, true, 6, &pick));
	assert_false(run_pick(runs.size, runs.count, false, 6, &pick));
	assert_false(run_pick(runs.size, 0, false, 6, &pick));
	assert_true(run_pick(runs.size, runs.count, false, 3, &pick));
	assert_int_equal(pick.count, 4);
}

static void many_tombstones_have_all_merged(void **state)
{
	struct runs runs = { 0 };
	struct run_pick pick;

	(void)state;
	flush(&runs, 100 * MIB);
	runs.size[0].entries = 1000;
	flush(&runs, MIB);
	runs.size[0].entries = runs.size[0].tombstones = 300;
	assert_false(run_pick(runs.size, runs.count, true, RUNS_MAX, &pick));
	flush(&runs, MIB);
	runs.size[0].entries = runs.size[0].tombstones = 200;
	assert_false(run_pick(runs.size, runs.count, false, RUNS_MAX, &pick));
	assert_true(run_pick(runs.size, runs.count, true, RUNS_MAX, &pick));
	assert_int_equal(pick.count, 3);
	/* Where they may not go yet they end up in the oldest: that is not merged again and again.
	 */
	runs.size[2].entries = 1500;
	runs.size[2].tombstones = 500;
	assert_false(run_pick(runs.size + 2, 1, true, RUNS_MAX, &pick));
}

/* Few large entries beside keys that come and go: what they hide is not in the oldest run. */
static void tombstones_that_hid_nothing_wait_for_bytes(void **state)
{
	struct runs runs = { 0 };
	struct run_pick pick;

	(void)state;
	flush(&runs, 100 * MIB);
	runs.size[0].entries = 1000;
	flush(&runs, MIB);
	runs.size[0].entries = runs.size[0].tombstones = 2000;
	assert_true(run_pick(runs.size, runs.count, true, RUNS_MAX, &pick));
	assert_true(pick.hiding);
	assert_true(run_was_in_vain(101 * MIB, 100 * MIB));
	assert_false(run_was_in_vain(101 * MIB, 50 * MIB));
	runs.size[1].in_vain = true;
	assert_false(run_pick(runs.size, runs.count, true, RUNS_MAX, &pick));
	runs.size[0].bytes = 7 * MIB;
	assert_true(run_pick(runs.size, runs.count, true, RUNS_MAX, &pick));
	assert_int_equal(pick.count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_bytes_are_written_for_each),
		cmocka_unit_test(overwriting_keeps_the_space_bounded),
		cmocka_unit_test(a_damaged_run_is_left_out),
		cmocka_unit_test(behind_newer_runs_only_their_number_counts),
		cmocka_unit_test(many_tombstones_have_all_merged),
		cmocka_unit_test(tombstones_that_hid_nothing_wait_for_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "fs/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MODEL_BYTES (3 * SCRATCH_MEMORY_BYTES)
#define STEPS       4000

static const char *directory(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

static bool in_memory(struct scratch *scratch)
{
	return atomic_load(&scratch->fd) < 0;
}

static void few_bytes_need_no_file(void **state)
{
	struct scratch scratch;
	char data[16];

	(void)state;
	scratch_init(&scratch, "/nonexistent");
	assert_int_equal(scratch_read(&scratch, 0, data, sizeof(data)), 0);
	assert_int_equal(scratch_write(&scratch, 3, "abc", 3), 0);
	assert_int_equal(scratch_read(&scratch, 0, data, sizeof(data)), 6);
	assert_memory_equal(data, "\0\0\0abc", 6);
	assert_int_equal(scratch_read(&scratch, 4, data, 1), 1);
	assert_int_equal(data[0], 'b');
	assert_int_equal(scratch_read(&scratch, 6, data, 1), 0);
	assert_int_equal(scratch_truncate(&scratch, SCRATCH_MEMORY_BYTES), 0);
	assert_true(in_memory(&scratch));
	scratch_deinit(&scratch);
}

static void what_was_cut_off_does_not_come_back(void **state)
{
	struct scratch scratch;
	char data[8];

	(void)state;
	scratch_init(&scratch, directory());
	assert_int_equal(scratch_write(&scratch, 0, "abcdef", 6), 0);
	assert_int_equal(scratch_truncate(&scratch, 2), 0);
	assert_int_equal(scratch_truncate(&scratch, 5), 0);
	assert_int_equal(scratch_read(&scratch, 0, data, sizeof(data)), 5);
	assert_memory_equal(data, "ab\0\0\0", 5);
	scratch_deinit(&scratch);
}

static void many_bytes_move_to_a_file_and_stay_there(void **state)
{
	struct scratch scratch;
	char data[4];

	(void)state;
	scratch_init(&scratch, directory());
	assert_int_equal(scratch_write(&scratch, 0, "begin", 5), 0);
	assert_int_equal(scratch_write(&scratch, SCRATCH_MEMORY_BYTES - 1, "end", 3), 0);
	assert_false(in_memory(&scratch));
	assert_int_equal(scratch_read(&scratch, 0, data, 4), 4);
	assert_memory_equal(data, "begi", 4);
	assert_int_equal(scratch_read(&scratch, SCRATCH_MEMORY_BYTES - 2, data, 4), 4);
	assert_memory_equal(data, "\0end", 4);
	assert_int_equal(scratch_truncate(&scratch, 0), 0);
	assert_int_equal(scratch_write(&scratch, 0, "x", 1), 0);
	assert_false(in_memory(&scratch));
	scratch_deinit(&scratch);
}

static void without_a_place_for_the_file_few_bytes_stay(void **state)
{
	struct scratch scratch;
	char data[8];

	(void)state;
	scratch_init(&scratch, "/nonexistent");
	assert_int_equal(scratch_write(&scratch, 0, "begin", 5), 0);
	assert_int_equal(scratch_write(&scratch, SCRATCH_MEMORY_BYTES, "x", 1), -EIO);
	assert_int_equal(scratch_truncate(&scratch, SCRATCH_MEMORY_BYTES + 1), -EIO);
	assert_int_equal(scratch_read(&scratch, 0, data, sizeof(data)), 5);
	assert_memory_equal(data, "begin", 5);
	scratch_deinit(&scratch);
}

static void memory_for_all_of_them_is_bounded(void **state)
{
	static struct scratch many[2 * SCRATCH_ALL_BYTES / SCRATCH_MEMORY_BYTES];
	size_t count = sizeof(many) / sizeof(*many), here = 0;

	(void)state;
	for (int round = 0; round < 2; round++) {
		here = 0;
		for (size_t i = 0; i < count; i++) {
			scratch_init(&many[i], directory());
			assert_int_equal(scratch_write(&many[i], SCRATCH_MEMORY_BYTES - 1, "x", 1),
					 0);
			here += in_memory(&many[i]);
		}
		assert_int_equal(here, SCRATCH_ALL_BYTES / SCRATCH_MEMORY_BYTES);
		/* What is freed serves the next. */
		for (size_t i = 0; i < count; i++)
			scratch_deinit(&many[i]);
	}
}

static void check(struct scratch *scratch, const uint8_t *model, size_t size)
{
	static uint8_t data[MODEL_BYTES];

	assert_int_equal(scratch_read(scratch, 0, data, sizeof(data)), size);
	assert_memory_equal(data, model, size);
}

static void it_is_as_plain_bytes(void **state)
{
	static uint8_t model[MODEL_BYTES], data[MODEL_BYTES];
	struct scratch scratch;
	size_t size = 0;

	(void)state;
	srand(17);
	scratch_init(&scratch, directory());
	for (int step = 0; step < STEPS; step++) {
		/* Few bytes most of the time, and anew now and then. */
		size_t limit = step % 500 > 450 ? MODEL_BYTES : SCRATCH_MEMORY_BYTES;
		size_t offset = (size_t)rand() % limit;
		size_t len = (size_t)rand() % (limit - offset) / ((size_t)rand() % 64 + 1);

		if (rand() % 4 == 0) {
			assert_int_equal(scratch_truncate(&scratch, offset), 0);
			if (offset < size)
				memset(model + offset, 0, size - offset);
			size = offset;
		} else {
			memset(data, rand(), len);
			assert_int_equal(scratch_write(&scratch, offset, data, len), 0);
			memcpy(model + offset, data, len);
			if (len > 0 && offset + len > size)
				size = offset + len;
		}
		check(&scratch, model, size);
		if (step % 500 == 499) {
			scratch_deinit(&scratch);
			scratch_init(&scratch, directory());
			memset(model, 0, sizeof(model));
			size = 0;
		}
	}
	scratch_deinit(&scratch);
}

/* What a file takes of a disk is counted in its blocks. */
#define BLOCKS_BYTES (16 * 1024)

static void all_together_stay_below_their_bound(void **state)
{
	struct scratch one, other;
	static char data[1024 * 1024];

	(void)state;
	scratch_init(&one, directory());
	scratch_init(&other, directory());
	scratch_limit(5 * sizeof(data) + BLOCKS_BYTES);
	assert_int_equal(scratch_write(&other, 0, data, sizeof(data)), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(scratch_write(&one, i * sizeof(data), data, sizeof(data)), 0);
	assert_int_equal(scratch_write(&one, 4 * sizeof(data), data, sizeof(data)), -ENOSPC);
	/* What has a place already may change. */
	assert_int_equal(scratch_write(&one, sizeof(data), data, sizeof(data)), 0);
	/* Holes take none. */
	assert_int_equal(scratch_truncate(&one, 100 * sizeof(data)), 0);
	assert_int_equal(scratch_write(&one, 50 * sizeof(data), data, sizeof(data)), -ENOSPC);
	assert_int_equal(scratch_truncate(&one, 3 * sizeof(data)), 0);
	assert_int_equal(scratch_write(&other, sizeof(data), data, sizeof(data)), 0);
	assert_int_equal(scratch_write(&other, 2 * sizeof(data), data, sizeof(data)), -ENOSPC);
	scratch_deinit(&one);
	assert_int_equal(scratch_write(&other, 2 * sizeof(data), data, sizeof(data)), 0);
	scratch_deinit(&other);
	scratch_limit(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_bytes_need_no_file),
		cmocka_unit_test(what_was_cut_off_does_not_come_back),
		cmocka_unit_test(many_bytes_move_to_a_file_and_stay_there),
		cmocka_unit_test(without_a_place_for_the_file_few_bytes_stay),
		cmocka_unit_test(memory_for_all_of_them_is_bounded),
		cmocka_unit_test(it_is_as_plain_bytes),
		cmocka_unit_test(all_together_stay_below_their_bound),
	};

	return cmocka_run_group_tests_name("fs_scratch", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "fs/staging.h"

#include "fs/scratch.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#define MODEL_BYTES 4096
#define STEPS       20000

static const char *directory(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

static void a_new_file_is_all_here(void **state)
{
	struct staging *staging;
	char data[16];
	bool in_base;
	uint64_t start, end;

	(void)state;
	assert_int_equal(staging_new(directory(), 0, &staging), 0);
	assert_int_equal(staging_size(staging), 0);
	assert_int_equal(staging_write(staging, 3, "abc", 3), 0);
	assert_int_equal(staging_size(staging), 6);
	assert_int_equal(staging_read(staging, 0, data, sizeof(data)), 6);
	assert_memory_equal(data, "\0\0\0abc", 6);
	assert_int_equal(staging_run(staging, 0, &in_base), 6);
	assert_false(in_base);
	assert_false(staging_gaps(staging, 0, 100, &start, &end));
	staging_unref(staging);
}

static void writing_closes_the_gap_that_it_covers(void **state)
{
	struct staging *staging;
	uint64_t start, end;
	bool in_base;

	(void)state;
	assert_int_equal(staging_new(directory(), 100, &staging), 0);
	assert_int_equal(staging_size(staging), 100);
	assert_int_equal(staging_run(staging, 0, &in_base), 100);
	assert_true(in_base);
	assert_int_equal(staging_write(staging, 40, "xxxxxxxxxx", 10), 0);
	assert_int_equal(staging_gap_count(staging), 2);
	assert_int_equal(staging_run(staging, 10, &in_base), 30);
	assert_true(in_base);
	assert_int_equal(staging_run(staging, 45, &in_base), 5);
	assert_false(in_base);
	assert_int_equal(staging_truncate(staging, 45), 0);
	assert_true(staging_gaps(staging, 0, 100, &start, &end));
	assert_int_equal(start, 0);
	assert_int_equal(end, 40);
	assert_int_equal(staging_gap_count(staging), 1);
	staging_unref(staging);
}

static void expect_gaps(struct staging *staging, uint64_t offset, uint64_t max, uint64_t start,
			uint64_t end)
{
	uint64_t got_start, got_end;

	assert_true(staging_gaps(staging, offset, max, &got_start, &got_end));
	assert_int_equal(got_start, start);
	assert_int_equal(got_end, end);
}

static void gaps_that_are_near_are_named_together(void **state)
{
	struct staging *staging;
	uint64_t start, end;

	(void)state;
	assert_int_equal(staging_new(directory(), 1000, &staging), 0);
	assert_false(staging_narrowest_gaps(staging, 2, &start, &end));
	for (uint64_t at = 100; at < 1000; at += at == 500 ? 50 : 100)
		assert_int_equal(staging_write(staging, at, "xxxxxxxxxx", 10), 0);
	expect_gaps(staging, 0, 5, 0, 5);
	expect_gaps(staging, 0, 100, 0, 100);
	expect_gaps(staging, 0, 110, 0, 100);
	expect_gaps(staging, 0, 111, 0, 111);
	expect_gaps(staging, 20, 300, 20, 320);
	expect_gaps(staging, 105, 1000, 110, 1000);
	assert_false(staging_gaps(staging, 1000, 10, &start, &end));
	assert_true(staging_narrowest_gaps(staging, 2, &start, &end));
	assert_int_equal(start, 410);
	assert_int_equal(end, 550);
	staging_unref(staging);
}

static void what_was_written_in_order_is_known(void **state)
{
	struct staging *staging;

	(void)state;
	assert_int_equal(staging_new(directory(), 0, &staging), 0);
	assert_int_equal(staging_write(staging, 0, "abc", 3), 0);
	assert_int_equal(staging_write(staging, 3, "def", 3), 0);
	assert_int_equal(staging_in_order(staging), 6);
	assert_int_equal(staging_write(staging, 5, "x", 1), 0);
	assert_int_equal(staging_in_order(staging), 0);
	assert_int_equal(staging_truncate(staging, 0), 0);
	assert_int_equal(staging_write(staging, 0, "abc", 3), 0);
	assert_int_equal(staging_in_order(staging), 3);
	assert_int_equal(staging_truncate(staging, 2), 0);
	assert_int_equal(staging_in_order(staging), 0);
	staging_unref(staging);
	assert_int_equal(staging_new(directory(), 3, &staging), 0);
	assert_int_equal(staging_write(staging, 0, "abcd", 4), 0);
	assert_int_equal(staging_in_order(staging), 0);
	staging_unref(staging);
}

static void the_base_never_covers_what_was_written(void **state)
{
	struct staging *staging;
	char base[100], data[100];

	(void)state;
	memset(base, 'b', sizeof(base));
	assert_int_equal(staging_new(directory(), sizeof(base), &staging), 0);
	assert_int_equal(staging_write(staging, 10, "new", 3), 0);
	assert_int_equal(staging_truncate(staging, 50), 0);
	assert_int_equal(staging_truncate(staging, 100), 0);
	assert_int_equal(staging_fill(staging, 0, base, sizeof(base)), 0);
	assert_int_equal(staging_read(staging, 0, data, sizeof(data)), 100);
	assert_memory_equal(data, "bbbbbbbbbbnewbbb", 16);
	assert_int_equal(data[49], 'b');
	assert_int_equal(data[50], '\0');
	assert_int_equal(data[99], '\0');
	staging_unref(staging);
}

/* The same content as plain bytes, with who they belong to. */
struct model {
	uint8_t base[MODEL_BYTES];
	uint8_t data[MODEL_BYTES];
	bool from_base[MODEL_BYTES];
	size_t size;
};

static void check_model(struct staging *staging, const struct model *model)
{
	uint8_t data[MODEL_BYTES];
	size_t at = 0;

	assert_int_equal(staging_size(staging), model->size);
	assert_true(staging_read(staging, 0, data, sizeof(data)) <= (ssize_t)model->size);
	while (at < model->size) {
		bool in_base;
		uint64_t run = staging_run(staging, at, &in_base);

		assert_true(run > 0);
		for (size_t i = at; i < at + run; i++) {
			assert_int_equal(model->from_base[i], in_base);
			if (!in_base)
				assert_int_equal(data[i], model->data[i]);
		}
		at += run;
	}
}

static void random_step(struct staging *staging, struct model *model)
{
	size_t offset = (size_t)rand() % MODEL_BYTES;
	size_t len = (size_t)rand() % (MODEL_BYTES - offset) / (rand() % 16 + 1);
	uint8_t data[MODEL_BYTES];

	switch (rand() % 8) {
	case 0:
		assert_int_equal(staging_truncate(staging, offset), 0);
		for (size_t i = offset < model->size ? offset : model->size; i < MODEL_BYTES; i++) {
			model->data[i] = 0;
			model->from_base[i] = false;
		}
		model->size = offset;
		break;
	case 1:
	case 2:
		assert_int_equal(staging_fill(staging, offset, model->base + offset, len), 0);
		for (size_t i = offset; i < offset + len; i++) {
			if (model->from_base[i])
				model->data[i] = model->base[i];
			model->from_base[i] = false;
		}
		break;
	default:
		memset(data, rand() % 255 + 1, len);
		if (len == 0)
			break;
		assert_int_equal(staging_write(staging, offset, data, len), 0);
		memcpy(model->data + offset, data, len);
		memset(model->from_base + offset, 0, len * sizeof(bool));
		if (offset + len > model->size)
			model->size = offset + len;
	}
}

static void random_changes_agree_with_plain_bytes(void **state)
{
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : 1;
	struct staging *staging = NULL;
	struct model model;

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	for (int step = 0; step < STEPS; step++) {
		if (step % 50 == 0) {
			staging_unref(staging);
			memset(&model, 0, sizeof(model));
			model.size = (size_t)rand() % MODEL_BYTES;
			for (size_t i = 0; i < model.size; i++) {
				model.base[i] = (uint8_t)(rand() % 255 + 1);
				model.from_base[i] = true;
			}
			assert_int_equal(staging_new(directory(), model.size, &staging), 0);
			/* Half of them in a file. */
			if (step % 100 == 0) {
				assert_int_equal(
					staging_truncate(staging, SCRATCH_MEMORY_BYTES + 1), 0);
				assert_int_equal(staging_truncate(staging, model.size), 0);
			}
		}
		random_step(staging, &model);
		check_model(staging, &model);
	}
	staging_unref(staging);
}

static void a_full_disk_is_an_error_and_leaves_the_size(void **state)
{
	struct rlimit old, small;
	struct staging *staging;
	static char data[SCRATCH_MEMORY_BYTES + 4096] = "x";

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 1000, .rlim_max = old.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(staging_new(directory(), 0, &staging), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(staging_write(staging, 0, data, sizeof(data)), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(staging_size(staging), 0);
	assert_int_equal(staging_read(staging, 0, data, sizeof(data)), 0);
	staging_unref(staging);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_file_is_all_here),
		cmocka_unit_test(writing_closes_the_gap_that_it_covers),
		cmocka_unit_test(gaps_that_are_near_are_named_together),
		cmocka_unit_test(what_was_written_in_order_is_known),
		cmocka_unit_test(the_base_never_covers_what_was_written),
		cmocka_unit_test(random_changes_agree_with_plain_bytes),
		cmocka_unit_test(a_full_disk_is_an_error_and_leaves_the_size),
	};

	return cmocka_run_group_tests_name("fs_staging", tests, NULL, NULL);
}

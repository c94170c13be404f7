/* SPDX-License-Identifier: MIT */
#include "node/value_refs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct value_files *values;
	struct value_refs *refs;
	uint64_t file_bytes; /* of each */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_value_refs.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(value_files_open(vfs_posix(), f->dir, &f->values), 0);
	assert_int_equal(value_files_sweep(f->values), 0);
	f->refs = value_refs_new();
	assert_non_null(f->refs);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	value_refs_free(f->refs);
	value_files_free(f->values);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static struct value_file *write_value(struct fixture *f)
{
	uint64_t before = value_files_bytes(f->values), size;
	struct value_writer *writer;
	struct value_file *file;
	struct hash128 hash;
	bool utf8;

	assert_int_equal(value_writer_new(f->values, &writer), 0);
	assert_int_equal(value_writer_append(writer, "value", 5), 0);
	assert_int_equal(value_writer_finish(writer, &file, &size, &hash, &utf8), 0);
	f->file_bytes = value_files_bytes(f->values) - before;
	assert_true(f->file_bytes > 0);
	return file;
}

/* Hands a file of its own over at each position. */
static void add(struct fixture *f, uint64_t first, uint64_t last)
{
	for (uint64_t position = first; position <= last; position++)
		assert_int_equal(value_refs_add(f->refs, position, write_value(f)), 0);
}

static uint64_t files_left(struct fixture *f)
{
	assert_int_equal(value_files_bytes(f->values) % f->file_bytes, 0);
	return value_files_bytes(f->values) / f->file_bytes;
}

static void a_release_drops_what_stands_up_to_its_position(void **state)
{
	struct fixture *f = *state;

	value_refs_release(f->refs, 100);
	add(f, 10, 14);
	value_refs_release(f->refs, 9);
	assert_int_equal(files_left(f), 5);
	value_refs_release(f->refs, 12);
	assert_int_equal(files_left(f), 2);
	value_refs_release(f->refs, 12);
	assert_int_equal(files_left(f), 2);
	value_refs_release(f->refs, 1000);
	assert_int_equal(files_left(f), 0);
}

static void a_file_that_is_named_twice_goes_with_the_later_one(void **state)
{
	struct fixture *f = *state;
	struct value_file *file = write_value(f);

	assert_int_equal(value_refs_add(f->refs, 1, value_file_ref(file)), 0);
	assert_int_equal(value_refs_add(f->refs, 5, file), 0);
	value_refs_release(f->refs, 4);
	assert_int_equal(files_left(f), 1);
	value_refs_release(f->refs, 5);
	assert_int_equal(files_left(f), 0);
}

static void a_cancel_takes_back_the_last_ones_only(void **state)
{
	struct fixture *f = *state;

	add(f, 1, 6);
	value_refs_cancel(f->refs, 0);
	assert_int_equal(files_left(f), 6);
	value_refs_cancel(f->refs, 2);
	assert_int_equal(files_left(f), 4);
	value_refs_release(f->refs, 3);
	assert_int_equal(files_left(f), 1);
	/* Their positions are free again. */
	add(f, 5, 5);
	value_refs_release(f->refs, 4);
	assert_int_equal(files_left(f), 1);
	value_refs_release(f->refs, 5);
	assert_int_equal(files_left(f), 0);
}

/* The log is trimmed at one end while it grows at the other. */
static void order_is_kept_while_it_grows_and_is_released(void **state)
{
	struct fixture *f = *state;
	uint64_t added = 0;

	for (int round = 0; round < 30; round++) {
		uint64_t kept = (uint64_t)(round % 4) * 5;

		add(f, added + 1, added + 17);
		added += 17;
		value_refs_release(f->refs, added - kept);
		assert_int_equal(files_left(f), kept);
	}
	/* And more than it ever had. */
	value_refs_release(f->refs, added);
	add(f, added + 1, added + 150);
	value_refs_release(f->refs, added + 70);
	assert_int_equal(files_left(f), 80);
	value_refs_release(f->refs, added + 150);
	assert_int_equal(files_left(f), 0);
}

static void freeing_releases_all(void **state)
{
	struct fixture *f = *state;

	add(f, 1, 3);
	f->refs = value_refs_free(f->refs);
	assert_int_equal(files_left(f), 0);
	assert_null(value_refs_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_release_drops_what_stands_up_to_its_position),
		TEST(a_file_that_is_named_twice_goes_with_the_later_one),
		TEST(a_cancel_takes_back_the_last_ones_only),
		TEST(order_is_kept_while_it_grows_and_is_released),
		TEST(freeing_releases_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

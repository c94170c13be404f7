/* SPDX-License-Identifier: MIT */
/* All that a node has and its shard has not, saved before a copy takes its place. */
#include "tests/unit/replica_fixture.h"

#include "lib/cleanup.h"
#include "node/diverged.h"
#include "node/replica_private.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define B         1
#define LARGE     (2 * (size_t)VALUE_CHUNK_BYTES)
#define LARGE_MAX 3

struct test {
	struct replica_fixture *node;
	struct lineage lineage;
	uint64_t epoch;
};

static void put_large(struct test *test, const char *name, uint8_t fill)
{
	_cleanup_(freep) uint8_t *bytes = malloc(LARGE);
	struct store_write write = { .kind = WRITE_PUT };
	struct value_writer *writer = NULL;

	assert_non_null(bytes);
	memset(bytes, fill, LARGE);
	assert_int_equal(value_writer_new(store_values(test->node->store), &writer), 0);
	assert_int_equal(value_writer_append(writer, bytes, LARGE), 0);
	assert_int_equal(value_writer_finish(writer, &write.file, &write.file_size,
					     &write.file_hash, &write.file_utf8),
			 0);
	assert_int_equal(key_from_bytes(name, strlen(name), &write.key), 0);
	replica_fixture_submit(test->node, &write);
}

/* 1: "kept"; 2, 3: "gone" is written and deleted; 4: "small"; then three large ones. */
static void set_up(struct test *test)
{
	test->node = replica_fixture_new(B);
	lineage_begin(1700000000000000000, &test->lineage);
	test->epoch = epoch_first(&test->lineage, replica_fixture_id(test->node, B));
	replica_fixture_lead(test->node, test->epoch, &test->lineage);
	replica_fixture_write(test->node, "kept", "value", 0);
	replica_fixture_write(test->node, "gone", "value", 0);
	replica_fixture_write(test->node, "gone", NULL, 0);
	replica_fixture_write(test->node, "small", "value", 0);
	put_large(test, "x", 'x');
	put_large(test, "y", 'y');
	put_large(test, "z", 'z');
	assert_int_equal(store_follow(test->node->store), 0);
	replica_fixture_start(test->node);
}

/* For a leader that has all up to @common, and has gone on by itself. 1 or 0, or an error. */
static void begin(struct test *test, uint64_t common)
{
	const struct history_epoch epochs[] = { { test->epoch, 1 },
						{ test->epoch + 1, common + 1 } };
	struct buf items = { 0 };

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(replica_append_epoch(&items, &epochs[i]), 0);
	test->node->replica->aside =
		replica_aside_new((struct replica_items){ items.data, items.len, 2 });
	assert_non_null(test->node->replica->aside);
	buf_deinit(&items);
}

static unsigned set_aside(struct test *test)
{
	unsigned steps = 0;
	int r;

	while ((r = replica_aside_step(test->node->replica)) != 0) {
		assert_true(r == 1 || r == -EAGAIN || r == -EIO);
		assert_true(++steps < 1000);
	}
	assert_null(test->node->replica->aside);
	return steps;
}

static uint64_t counted(struct test *test)
{
	struct replica_view view;

	replica_view(test->node->replica, &view);
	return view.counters.diverged_entries;
}

static void check_large(struct diverged_reader *reader, uint8_t fill)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	size_t len = 0;
	ssize_t n;

	while ((n = diverged_reader_value(reader, chunk)) > 0) {
		assert_int_equal(chunk[0], fill);
		assert_int_equal(chunk[n - 1], fill);
		len += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(len, LARGE);
}

struct found {
	unsigned kept, values, deletions, large;
};

/* The file's name says what is in it. */
static struct found read_aside(struct test *test, uint64_t from, uint64_t to)
{
	struct diverged_reader *reader;
	struct diverged_about about;
	struct found found = { 0 };
	struct entry entry;
	char path[128];

	snprintf(path, sizeof(path), "/data/diverged-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".log",
		 test->epoch, from, to);
	assert_int_equal(
		diverged_reader_open(crash_vfs_base(test->node->crash), path, &about, &reader), 0);
	while (diverged_reader_next(reader, &entry) == 1) {
		found.kept += entry.version.sequence == 1;
		found.values += entry.kind == ENTRY_INLINE;
		found.deletions += entry.kind == ENTRY_TOMBSTONE;
		if (entry.kind == ENTRY_FILE) {
			check_large(reader, entry.key[0]);
			found.large++;
		}
	}
	diverged_reader_close(reader);
	return found;
}

static void what_the_leader_has_not_is_saved(void **state)
{
	struct found found;
	struct test test;

	(void)state;
	set_up(&test);
	begin(&test, 1);
	/* A large value is not copied in one go: others want answers. */
	assert_true(set_aside(&test) >= 2 * LARGE_MAX);
	found = read_aside(&test, 2, 7);
	/* As records, and once more from the log. */
	assert_int_equal(found.kept, 0);
	assert_int_equal(found.deletions, 2);
	assert_int_equal(found.values, 3);
	assert_int_equal(found.large, 2 * LARGE_MAX);
	replica_fixture_free(test.node);
}

static void it_is_done_again_only_for_a_leader_that_has_less(void **state)
{
	struct test test;
	uint64_t before;

	(void)state;
	set_up(&test);
	begin(&test, 4);
	set_aside(&test);
	before = counted(&test);
	assert_true(before >= LARGE_MAX);
	begin(&test, 4);
	assert_int_equal(set_aside(&test), 0);
	assert_int_equal(counted(&test), before);
	begin(&test, 3);
	set_aside(&test);
	assert_int_equal(read_aside(&test, 4, 7).values, 2);
	assert_true(counted(&test) > before);
	replica_fixture_free(test.node);
}

/* It may be read when it is asked for again. */
static void a_disk_that_refuses_for_a_while_costs_no_value(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth <= 40; nth += 2) {
		struct test test;
		struct found found;

		set_up(&test);
		begin(&test, 1);
		crash_vfs_fail(test.node->crash, nth, 3, EIO);
		set_aside(&test);
		crash_vfs_fail(test.node->crash, 0, 0, 0);
		found = read_aside(&test, 2, 7);
		assert_int_equal(found.deletions, 2);
		assert_int_equal(found.large, 2 * LARGE_MAX);
		replica_fixture_free(test.node);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_leader_has_not_is_saved),
		cmocka_unit_test(it_is_done_again_only_for_a_leader_that_has_less),
		cmocka_unit_test(a_disk_that_refuses_for_a_while_costs_no_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

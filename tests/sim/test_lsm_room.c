/* SPDX-License-Identifier: MIT */
/* What merges need of the disk and give back to it. */
#include "node/lsm.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR       "/data"
#define VALUE_LEN 1000
#define MEMTABLE  8192

struct tree {
	struct crash_vfs *disk;
	struct value_files *values;
	struct lsm *lsm;
	uint64_t position;
};

static void tree_open(struct tree *tree)
{
	struct lsm_options options = { .dir = DIR, .memtable_bytes = MEMTABLE };
	uint64_t flushed;

	*tree = (struct tree){ .disk = crash_vfs_new(1) };
	options.vfs = crash_vfs_base(tree->disk);
	assert_int_equal(vfs_mkdir(options.vfs, DIR), 0);
	assert_int_equal(value_files_open(options.vfs, DIR, &tree->values), 0);
	options.values = tree->values;
	assert_int_equal(lsm_open(&options, &tree->lsm, &flushed), 0);
}

static void tree_close(struct tree *tree)
{
	lsm_free(tree->lsm);
	value_files_free(tree->values);
	crash_vfs_free(tree->disk);
}

static void apply(struct tree *tree, enum entry_kind kind, unsigned number)
{
	uint8_t data[VALUE_LEN];
	char key[16];
	struct entry entry = {
		.kind = kind,
		.key = (uint8_t *)key,
		.key_len = (uint8_t)snprintf(key, sizeof(key), "key-%05u", number),
		.position = ++tree->position,
		.version = { 1, tree->position },
		.content_type = "text/plain",
		.content_type_len = 10,
		.encoding = "binary",
		.encoding_len = 6,
		.size_bytes = kind == ENTRY_INLINE ? VALUE_LEN : 0,
		.value = data,
	};

	memset(data, (int)number, sizeof(data));
	assert_int_equal(lsm_apply(tree->lsm, &entry, 1), 0);
}

static void put(struct tree *tree, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		apply(tree, ENTRY_INLINE, i);
}

static struct lsm_stats stats_of(struct tree *tree)
{
	struct lsm_stats stats;

	lsm_stats(tree->lsm, &stats);
	return stats;
}

static void expect_found(struct tree *tree, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct lsm_entry entry;
		char key[16];
		size_t len = (size_t)snprintf(key, sizeof(key), "key-%05u", i);

		assert_int_equal(lsm_get(tree->lsm, key, len, 0, &entry), 0);
		assert_int_equal(entry.entry.kind, ENTRY_INLINE);
		lsm_entry_release(&entry);
	}
}

/* One large run, and newer ones that are not yet enough for a merge of all: how many records. */
static unsigned fill(struct tree *tree)
{
	unsigned count = 0;

	while (count < 300 || stats_of(tree).runs > 1) {
		put(tree, count, count + 1);
		assert_true(++count < 2000);
	}
	put(tree, count, count + count / 2);
	assert_true(stats_of(tree).runs > 1);
	return count + count / 2;
}

static uint64_t used(struct tree *tree)
{
	uint64_t space, total;

	assert_int_equal(vfs_space(crash_vfs_base(tree->disk), DIR, &space, &total), 0);
	return total - space;
}

static void a_merge_that_does_not_fit_waits_for_room(void **state)
{
	struct tree tree;
	unsigned count, more;

	(void)state;
	tree_open(&tree);
	count = fill(&tree);
	more = count / 3;
	crash_vfs_set_capacity(tree.disk, used(&tree) + count * 1000 * 2 / 3);
	/* There comes to be enough for a merge of all, which would fill the disk. */
	put(&tree, count, count + more);
	count += more;
	assert_int_equal(crash_vfs_refusals(tree.disk), 0);
	assert_true(stats_of(&tree).runs > 1);
	expect_found(&tree, 0, count);
	/* It is made once there is room. */
	crash_vfs_set_capacity(tree.disk, 64 * 1024 * 1024);
	while (stats_of(&tree).runs > 1) {
		put(&tree, count, count + 1);
		assert_true(++count < 3000);
	}
	assert_int_equal(stats_of(&tree).background_error, 0);
	expect_found(&tree, 0, count);
	tree_close(&tree);
}

static void what_is_deleted_gives_its_room_back(void **state)
{
	struct tree tree;
	uint64_t before;

	(void)state;
	tree_open(&tree);
	put(&tree, 0, 400);
	assert_int_equal(lsm_flush(tree.lsm), 0);
	before = stats_of(&tree).segment_bytes;
	for (unsigned i = 0; i < 350; i++) {
		apply(&tree, ENTRY_TOMBSTONE, i);
		lsm_note_dead_inline(tree.lsm, VALUE_LEN);
	}
	assert_true(stats_of(&tree).segment_bytes < before / 2);
	expect_found(&tree, 350, 400);
	tree_close(&tree);
}

static void a_run_that_could_not_be_read_for_a_moment_is_merged_again(void **state)
{
	struct lsm_entry entry;
	struct tree tree;
	unsigned count;

	(void)state;
	tree_open(&tree);
	count = fill(&tree);
	crash_vfs_fail(tree.disk, 1, 1, EIO);
	assert_int_equal(lsm_get(tree.lsm, "key-00000", 9, 0, &entry), -EIO);
	while (stats_of(&tree).runs > 1) {
		put(&tree, count, count + 1);
		assert_true(++count < 2000);
	}
	expect_found(&tree, 0, count);
	tree_close(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_merge_that_does_not_fit_waits_for_room),
		cmocka_unit_test(what_is_deleted_gives_its_room_back),
		cmocka_unit_test(a_run_that_could_not_be_read_for_a_moment_is_merged_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

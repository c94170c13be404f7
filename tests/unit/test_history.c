/* SPDX-License-Identifier: MIT */
/* Epochs, lineages, and what two histories have in common. */
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/hash.h"
#include "node/atomic_file.h"
#include "node/epoch.h"
#include "node/history.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const uint8_t store_id[16] = { 1, 2, 3 };
static const struct lineage older = { .id = { 0x34, 0x12, 9 }, .created_ns = 5 };
static const struct lineage younger = { .id = { 0x33, 0x12, 9 }, .created_ns = 6 };

static int setup(void **state)
{
	char *dir = strdup("/tmp/hexkv-history-XXXXXX");

	*state = dir;
	return dir && mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(*state);
	return 0;
}

static void epochs_ascend_and_name_their_node(void **state)
{
	uint64_t first = epoch_first(&older, 0xabcd), second, promoted, after;

	(void)state;
	assert_int_equal(first, 0x000000011234abcd);
	assert_int_equal(epoch_node(first), 0xabcd);
	second = epoch_after_start(first, 0xabcd);
	assert_int_equal(second, 0x000000021234abcd);
	/* Another node that follows on is told apart, and is later. */
	assert_true(epoch_after_start(first, 1) > first);
	promoted = epoch_after_promotion(second, 0x0007);
	assert_int_equal(promoted, 0x0001000012340007);
	after = epoch_after_start(promoted, 0x0007);
	assert_int_equal(after, 0x0001000112340007);
	/* More starts than 16 bits count go into the next generation. */
	assert_int_equal(epoch_after_start(0x0001ffff12340007, 9), 0x0002000012340009);
	assert_int_equal(epoch_after_start(0xffffffff12340007, 7), 0);
	assert_int_equal(epoch_after_promotion(0xffff000012340007, 7), 0);
	assert_int_not_equal(epoch_first(&younger, 0xabcd), first);
}

static void the_older_of_two_lineages_is_the_same_for_all(void **state)
{
	struct lineage a, b, same_time = younger;

	(void)state;
	assert_true(lineage_compare(&older, &younger) < 0);
	assert_true(lineage_compare(&younger, &older) > 0);
	assert_true(lineage_equal(&older, &older));
	same_time.id[15] = 1;
	assert_true(lineage_compare(&younger, &same_time) < 0);
	assert_false(lineage_is_set(&(struct lineage){ 0 }));
	lineage_begin(7, &a);
	lineage_begin(7, &b);
	assert_true(lineage_is_set(&a));
	assert_int_equal(a.created_ns, 7);
	assert_false(lineage_equal(&a, &b));
}

static int begin(struct history *history, const char *dir, uint64_t epoch, uint64_t first)
{
	return history_begin(history, vfs_posix(), dir, store_id, &older, epoch, first);
}

static void assert_epochs(const struct history *history, const struct history_epoch *epochs,
			  size_t count)
{
	assert_int_equal(history->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(history->epochs[i].epoch, epochs[i].epoch);
		assert_int_equal(history->epochs[i].first_sequence, epochs[i].first_sequence);
	}
}

/* What is on disk. */
static void assert_written(const char *dir, const struct history *history)
{
	struct history got;

	assert_int_equal(history_read(vfs_posix(), dir, store_id, &got), 0);
	assert_true(lineage_equal(&got.lineage, &history->lineage));
	assert_epochs(&got, history->epochs, history->count);
	history_deinit(&got);
}

static void a_lineage_is_given_once(void **state)
{
	struct history history = { 0 };

	assert_int_equal(begin(&history, *state, 0x10001, 1), 0);
	assert_true(lineage_equal(&history.lineage, &older));
	assert_int_equal(
		history_begin(&history, vfs_posix(), *state, store_id, &younger, 0x20001, 5), 0);
	assert_true(lineage_equal(&history.lineage, &older));
	assert_written(*state, &history);
	/* Never one that is not later. */
	assert_int_equal(begin(&history, *state, 0x20001, 9), -EINVAL);
	assert_int_equal(begin(&history, *state, 0x10002, 9), -EINVAL);
	assert_int_equal(begin(&history, *state, 0x30001, 0), -EINVAL);
	assert_written(*state, &history);
	history_deinit(&history);
}

static void a_history_is_replaced_by_another(void **state)
{
	static const struct history_epoch good[] = { { 0x10001, 1 }, { 0x30002, 9 } };
	static const struct history_epoch bad[][2] = {
		{ { 0x30001, 1 }, { 0x10002, 9 } }, /* epochs that descend */
		{ { 0x10001, 9 }, { 0x30002, 9 } }, /* one that is empty */
		{ { 0x10001, 0 }, { 0x30002, 9 } },
		{ { 0, 1 }, { 0x30002, 9 } },
	};
	struct history history = { 0 };

	assert_int_equal(begin(&history, *state, 0x50001, 1), 0);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(
			history_adopt(&history, vfs_posix(), *state, store_id, &younger, bad[i], 2),
			-EBADMSG);
	assert_int_equal(history_last_epoch(&history), 0x50001);
	assert_int_equal(history_adopt(&history, vfs_posix(), *state, store_id, &younger, good, 2),
			 0);
	assert_epochs(&history, good, 2);
	assert_true(lineage_equal(&history.lineage, &younger));
	assert_written(*state, &history);
	assert_int_equal(history_adopt(&history, vfs_posix(), *state, store_id, &older, NULL, 0),
			 0);
	assert_written(*state, &history);
	history_deinit(&history);
}

/* Epochs 1 to 3 of a table: sequences 1..7, 8..8, 9.. */
static const struct history_epoch three[] = { { 0x10001, 1 }, { 0x20001, 8 }, { 0x30002, 9 } };

static void a_history_knows_its_versions(void **state)
{
	static const struct {
		struct version version;
		bool contained;
	} table[] = {
		{ { 0, 0 }, true },        { { 0, 1 }, false },
		{ { 0x10001, 0 }, false }, { { 0x10001, 1 }, true },
		{ { 0x10001, 7 }, true },  { { 0x10001, 8 }, false },
		{ { 0x20001, 7 }, false }, { { 0x20001, 8 }, true },
		{ { 0x20001, 9 }, false }, { { 0x30002, 8 }, false },
		{ { 0x30002, 9 }, true },  { { 0x30002, UINT64_MAX }, true },
		{ { 0x30001, 9 }, false }, { { 0x40001, 9 }, false },
	};
	struct history history = { .epochs = (struct history_epoch *)(uintptr_t)three, .count = 3 };

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		if (history_contains(&history, table[i].version) != table[i].contained)
			fail_msg("row %zu", i);
	}
	assert_true(history_contains(&(struct history){ 0 }, (struct version){ 0 }));
	assert_false(history_contains(&(struct history){ 0 }, (struct version){ 1, 1 }));
}

static void a_history_is_cut_at_a_point(void **state)
{
	static const struct {
		struct version point;
		size_t left;
		int result;
	} table[] = {
		{ { 0x30002, 50 }, 3, 0 },
		{ { 0x20001, 8 }, 2, 0 },
		{ { 0x10001, 7 }, 1, 0 },
		{ { 0x10001, 2 }, 1, 0 },
		{ { 0, 0 }, 0, 0 },
		{ { 0x20001, 9 }, 3, -EINVAL },
		{ { 0x20002, 8 }, 3, -EINVAL },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct history history = { 0 };

		assert_int_equal(
			history_adopt(&history, vfs_posix(), *state, store_id, &older, three, 3),
			0);
		assert_int_equal(
			history_cut(&history, vfs_posix(), *state, store_id, table[i].point),
			table[i].result);
		assert_epochs(&history, three, table[i].left);
		assert_true(lineage_equal(&history.lineage, &older));
		assert_written(*state, &history);
		history_deinit(&history);
	}
}

static void two_histories_have_a_point_in_common(void **state)
{
	static const struct history_epoch other[] = { { 0x10001, 1 }, { 0x20003, 5 } },
					  skips[] = { { 0x10001, 1 }, { 0x30002, 9 } },
					  foreign[] = { { 0x10009, 1 } },
					  elsewhere[] = { { 0x10001, 2 } };
	static const struct {
		struct history_epoch const *mine;
		size_t my_count;
		struct version my_end;
		struct history_epoch const *theirs;
		size_t their_count;
		struct version their_end;
		struct version common;
	} table[] = {
		/* Nothing yet, on either side. */
		{ NULL, 0, { 0 }, NULL, 0, { 0 }, { 0 } },
		{ three, 3, { 0x30002, 12 }, NULL, 0, { 0 }, { 0 } },
		{ NULL, 0, { 0 }, three, 3, { 0x30002, 12 }, { 0 } },
		/* One is only behind. */
		{ three, 3, { 0x30002, 12 }, three, 3, { 0x30002, 20 }, { 0x30002, 12 } },
		{ three, 3, { 0x30002, 20 }, three, 3, { 0x30002, 12 }, { 0x30002, 12 } },
		{ three, 1, { 0x10001, 4 }, three, 3, { 0x30002, 12 }, { 0x10001, 4 } },
		{ three, 2, { 0x20001, 8 }, three, 3, { 0x30002, 12 }, { 0x20001, 8 } },
		/* The epoch is begun, and nothing written in it. */
		{ three, 3, { 0x20001, 8 }, three, 3, { 0x30002, 12 }, { 0x20001, 8 } },
		{ three, 3, { 0x30002, 12 }, three, 3, { 0x20001, 8 }, { 0x20001, 8 } },
		/* They parted in the middle of an epoch. */
		{ three, 3, { 0x30002, 12 }, other, 2, { 0x20003, 30 }, { 0x10001, 4 } },
		{ other, 2, { 0x20003, 30 }, three, 3, { 0x30002, 12 }, { 0x10001, 4 } },
		{ three, 1, { 0x10001, 7 }, other, 2, { 0x20003, 6 }, { 0x10001, 4 } },
		{ three, 1, { 0x10001, 3 }, other, 2, { 0x20003, 6 }, { 0x10001, 3 } },
		/* Who has an entry of an epoch has all before it, whatever its history leaves out.
		 */
		{ three, 3, { 0x30002, 12 }, skips, 2, { 0x30002, 11 }, { 0x30002, 11 } },
		/* Nothing in common. */
		{ three, 3, { 0x30002, 12 }, foreign, 1, { 0x10009, 5 }, { 0 } },
		{ three, 3, { 0x30002, 12 }, elsewhere, 1, { 0x10001, 5 }, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		struct history mine = {
			.epochs = (struct history_epoch *)(uintptr_t)table[i].mine,
			.count = table[i].my_count,
		};
		struct version common = history_common(&mine, table[i].my_end, table[i].theirs,
						       table[i].their_count, table[i].their_end);

		if (version_compare(common, table[i].common) != 0)
			fail_msg("row %zu", i);
	}
}

/* As written before lineages were. */
static void a_history_of_the_first_format_is_read(void **state)
{
	struct history history;
	struct buf out = { 0 };

	buf_append(&out, "HEXKVHIS", 8);
	buf_append_u64(&out, 1);
	buf_append_u64(&out, 0);
	buf_append(&out, store_id, 16);
	buf_append_u64(&out, 1);
	buf_append_u64(&out, 0x30001);
	buf_append_u64(&out, 17);
	buf_append_u64(&out, hash64(out.data, out.len, 0));
	assert_int_equal(atomic_file_write(vfs_posix(), *state, "HISTORY", out.data, out.len), 0);
	buf_deinit(&out);
	assert_int_equal(history_read(vfs_posix(), *state, store_id, &history), 0);
	assert_false(lineage_is_set(&history.lineage));
	assert_int_equal(history.count, 1);
	assert_int_equal(history.epochs[0].first_sequence, 17);
	/* All epochs of a lineage are later than those. */
	assert_int_equal(begin(&history, *state, epoch_first(&older, 1), 30), 0);
	assert_true(lineage_equal(&history.lineage, &older));
	assert_written(*state, &history);
	history_deinit(&history);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(epochs_ascend_and_name_their_node),
		cmocka_unit_test(the_older_of_two_lineages_is_the_same_for_all),
		TEST(a_lineage_is_given_once),
		TEST(a_history_is_replaced_by_another),
		cmocka_unit_test(a_history_knows_its_versions),
		TEST(a_history_is_cut_at_a_point),
		cmocka_unit_test(two_histories_have_a_point_in_common),
		TEST(a_history_of_the_first_format_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

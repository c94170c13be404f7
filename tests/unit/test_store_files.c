/* SPDX-License-Identifier: MIT */
/* The small files of a data directory: identity, history and standing. */
#include "node/history.h"
#include "node/identity.h"
#include "node/standing.h"

#include "node/atomic_file.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = { "IDENTITY", "HISTORY", "STANDING", "LOCK", "x" };

static int setup(void **state)
{
	char *dir = strdup("/tmp/hexkv-files-XXXXXX");

	*state = dir;
	return dir && mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", (char *)*state, names[i]);
		unlink(path);
	}
	rmdir(*state);
	free(*state);
	return 0;
}

static void a_small_file_is_replaced_whole(void **state)
{
	struct buf out = { 0 };

	assert_int_equal(atomic_file_read(vfs_posix(), *state, "x", 100, &out), -ENOENT);
	assert_int_equal(atomic_file_write(vfs_posix(), *state, "x", "first", 5), 0);
	assert_int_equal(atomic_file_write(vfs_posix(), *state, "x", "second", 6), 0);
	assert_int_equal(atomic_file_read(vfs_posix(), *state, "x", 5, &out), -EFBIG);
	assert_int_equal(atomic_file_read(vfs_posix(), *state, "x", 6, &out), 0);
	assert_int_equal(out.len, 6);
	assert_memory_equal(out.data, "second", 6);
	buf_deinit(&out);
}

/* Every bit of the file, flipped, is noticed: @read says 0 only for the original. */
static void flip_every_bit(void **state, const char *name, int (*read)(const char *dir))
{
	struct buf original = { 0 };

	assert_int_equal(atomic_file_read(vfs_posix(), *state, name, 4096, &original), 0);
	for (size_t bit = 0; bit < original.len * 8; bit++) {
		original.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(
			atomic_file_write(vfs_posix(), *state, name, original.data, original.len),
			0);
		assert_int_equal(read(*state), -EBADMSG);
		original.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t len = 0; len < original.len; len++) {
		assert_int_equal(atomic_file_write(vfs_posix(), *state, name, original.data, len),
				 0);
		assert_int_equal(read(*state), -EBADMSG);
	}
	buf_deinit(&original);
}

static int read_identity(const char *dir)
{
	struct identity identity;

	return identity_read(vfs_posix(), dir, &identity);
}

static void an_identity_comes_back_and_any_damage_to_it_shows(void **state)
{
	struct identity made, got;

	assert_int_equal(read_identity(*state), -ENOENT);
	assert_int_equal(identity_create(vfs_posix(), *state, "c\nd", "n", &made), -EINVAL);
	assert_int_equal(identity_create(vfs_posix(), *state, "demo one", "s0a", &made), 0);
	assert_int_equal(identity_read(vfs_posix(), *state, &got), 0);
	assert_memory_equal(got.store_id, made.store_id, 16);
	assert_string_equal(got.cluster, "demo one");
	assert_string_equal(got.node, "s0a");
	flip_every_bit(state, "IDENTITY", read_identity);
}

static const uint8_t store_id[16] = { 1, 2, 3 };

static const struct lineage lineage = { .id = { 7 }, .created_ns = 1 };

static int read_history(const char *dir)
{
	struct history history = { 0 };
	int r = history_read(vfs_posix(), dir, store_id, &history);

	history_deinit(&history);
	return r;
}

static void a_history_comes_back_and_any_damage_to_it_shows(void **state)
{
	struct history history = { 0 }, got;

	assert_int_equal(history_read(vfs_posix(), *state, store_id, &history), 0);
	assert_int_equal(history_last_epoch(&history), 0);
	assert_int_equal(
		history_begin(&history, vfs_posix(), *state, store_id, &lineage, 0x10001, 1), 0);
	assert_int_equal(
		history_begin(&history, vfs_posix(), *state, store_id, &lineage, 0x20001, 8), 0);
	/* Nothing was written in epoch 2. */
	assert_int_equal(
		history_begin(&history, vfs_posix(), *state, store_id, &lineage, 0x30001, 8), 0);
	assert_int_equal(history_read(vfs_posix(), *state, store_id, &got), 0);
	assert_int_equal(got.count, 2);
	assert_int_equal(got.epochs[0].epoch, 0x10001);
	assert_int_equal(got.epochs[1].epoch, 0x30001);
	assert_int_equal(got.epochs[1].first_sequence, 8);
	assert_int_equal(history_last_epoch(&got), 0x30001);
	history_deinit(&got);
	history_deinit(&history);
	flip_every_bit(state, "HISTORY", read_history);
}

static int read_standing(const char *dir)
{
	struct standing standing;

	return standing_read(vfs_posix(), dir, store_id, &standing);
}

static void a_standing_comes_back_and_any_damage_to_it_shows(void **state)
{
	static const struct standing made = { .opened = 9,
					      .promise = UINT64_MAX,
					      .whole = true,
					      .log_file = 0x1f,
					      .log_position = 77 },
				     beyond = { .opened = UINT64_C(1) << 32 };
	static const uint8_t another[16] = { 9 };
	struct standing got;

	assert_int_equal(read_standing(*state), -ENOENT);
	assert_int_equal(standing_write(vfs_posix(), *state, store_id, &beyond), 0);
	assert_int_equal(read_standing(*state), -EBADMSG);
	assert_int_equal(standing_write(vfs_posix(), *state, store_id, &made), 0);
	assert_int_equal(standing_read(vfs_posix(), *state, store_id, &got), 0);
	assert_int_equal(got.opened, 9);
	assert_true(got.promise == UINT64_MAX);
	assert_true(got.whole);
	assert_int_equal(got.log_file, 0x1f);
	assert_int_equal(got.log_position, 77);
	assert_int_equal(standing_read(vfs_posix(), *state, another, &got), -EBADMSG);
	flip_every_bit(state, "STANDING", read_standing);
}

static void a_locked_directory_is_busy(void **state)
{
	struct vfs_file *first, *second;

	assert_int_equal(identity_lock(vfs_posix(), *state, &first), 0);
	assert_int_equal(identity_lock(vfs_posix(), *state, &second), -EBUSY);
	vfs_close(first);
	assert_int_equal(identity_lock(vfs_posix(), *state, &second), 0);
	vfs_close(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_small_file_is_replaced_whole),
		TEST(an_identity_comes_back_and_any_damage_to_it_shows),
		TEST(a_history_comes_back_and_any_damage_to_it_shows),
		TEST(a_standing_comes_back_and_any_damage_to_it_shows),
		TEST(a_locked_directory_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

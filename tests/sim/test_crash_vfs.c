/* SPDX-License-Identifier: MIT */
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct vfs_file *create(struct vfs *vfs, const char *path)
{
	struct vfs_file *file;

	assert_int_equal(vfs_open(vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, &file), 0);
	return file;
}

static int write_text(struct vfs_file *file, const char *text, uint64_t offset)
{
	struct iovec part = { (void *)(uintptr_t)text, strlen(text) };

	return vfs_pwritev(file, &part, 1, offset);
}

static void restart(struct crash_vfs *crash)
{
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
}

static void what_was_synced_survives_every_cut(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct crash_vfs *crash = crash_vfs_new(seed);
		struct vfs *vfs = crash_vfs_base(crash);
		struct vfs_file *file;
		char data[8] = { 0 };

		assert_int_equal(vfs_mkdir(vfs, "/d"), 0);
		assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		file = create(vfs, "/d/f");
		assert_int_equal(write_text(file, "safe", 0), 0);
		assert_int_equal(vfs_sync(file), 0);
		assert_int_equal(vfs_sync_dir(vfs, "/d"), 0);
		assert_int_equal(write_text(file, "more", 4), 0);
		restart(crash);
		assert_int_equal(write_text(file, "dead", 0), -EIO);
		vfs_close(file);
		assert_int_equal(vfs_open(vfs, "/d/f", VFS_READ, &file), 0);
		assert_true(vfs_pread(file, data, 8, 0, 0) >= 4);
		assert_memory_equal(data, "safe", 4);
		vfs_close(file);
		crash_vfs_free(crash);
	}
}

/* Each fate must be seen: a disk that never loses anything would prove nothing. */
static void what_was_not_synced_meets_every_fate(void **state)
{
	bool kept = false, lost = false, scrambled = false, name_lost = false;

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct crash_vfs *crash = crash_vfs_new(seed);
		struct vfs *vfs = crash_vfs_base(crash);
		struct vfs_file *file = create(vfs, "/f");
		char data[4];
		int r;

		assert_int_equal(write_text(file, "old.", 0), 0);
		assert_int_equal(vfs_sync(file), 0);
		assert_int_equal(write_text(file, "NEW!", 0), 0);
		restart(crash);
		vfs_close(file);
		r = vfs_open(vfs, "/f", VFS_READ, &file);
		if (r == -ENOENT) {
			name_lost = true;
		} else {
			assert_int_equal(vfs_pread(file, data, 4, 0, 0), 4);
			if (memcmp(data, "NEW!", 4) == 0)
				kept = true;
			else if (memcmp(data, "old.", 4) == 0)
				lost = true;
			else
				scrambled = true;
			vfs_close(file);
		}
		crash_vfs_free(crash);
	}
	assert_true(kept && lost && scrambled && name_lost);
}

static void an_unsynced_rename_leaves_the_old_or_the_new_file(void **state)
{
	bool was_old = false, was_new = false;

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct crash_vfs *crash = crash_vfs_new(seed);
		struct vfs *vfs = crash_vfs_base(crash);
		struct vfs_file *first = create(vfs, "/f"), *second = create(vfs, "/tmp"), *file;
		char data[3];

		assert_int_equal(write_text(first, "old", 0), 0);
		assert_int_equal(write_text(second, "new", 0), 0);
		assert_int_equal(vfs_sync(first), 0);
		assert_int_equal(vfs_sync(second), 0);
		assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		assert_int_equal(vfs_rename(vfs, "/tmp", "/f"), 0);
		restart(crash);
		vfs_close(first);
		vfs_close(second);
		assert_int_equal(vfs_open(vfs, "/f", VFS_READ, &file), 0);
		assert_int_equal(vfs_pread(file, data, 3, 0, 0), 3);
		was_old |= memcmp(data, "old", 3) == 0;
		was_new |= memcmp(data, "new", 3) == 0;
		vfs_close(file);
		crash_vfs_free(crash);
	}
	assert_true(was_old && was_new);
}

static bool exists(struct vfs *vfs, const char *path)
{
	struct vfs_file *file;
	int r = vfs_open(vfs, path, VFS_READ, &file);

	if (r == 0)
		vfs_close(file);
	return r == 0;
}

static void a_renamed_directory_takes_its_content_along(void **state)
{
	bool was_old = false, was_new = false, lost_unsynced = false;

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct crash_vfs *crash = crash_vfs_new(seed);
		struct vfs *vfs = crash_vfs_base(crash);
		bool old, new;

		assert_int_equal(vfs_mkdir(vfs, "/a"), 0);
		assert_int_equal(vfs_mkdir(vfs, "/a/sub"), 0);
		vfs_close(create(vfs, "/a/sub/synced"));
		assert_int_equal(vfs_sync_dir(vfs, "/a/sub"), 0);
		assert_int_equal(vfs_sync_dir(vfs, "/a"), 0);
		assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		vfs_close(create(vfs, "/a/not-synced"));
		assert_int_equal(vfs_rename(vfs, "/a", "/b"), 0);
		assert_false(exists(vfs, "/a/sub/synced"));
		assert_true(exists(vfs, "/b/sub/synced"));
		assert_true(exists(vfs, "/b/not-synced"));
		if (seed % 2)
			assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		restart(crash);
		old = exists(vfs, "/a/sub/synced");
		new = exists(vfs, "/b/sub/synced");
		assert_true(old != new);
		if (seed % 2)
			assert_true(new);
		was_old |= old;
		was_new |= new;
		lost_unsynced |= new && !exists(vfs, "/b/not-synced");
		crash_vfs_free(crash);
	}
	assert_true(was_old && was_new && lost_unsynced);
}

static void only_an_empty_directory_is_removed(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct vfs *vfs = crash_vfs_base(crash);

	(void)state;
	assert_int_equal(vfs_mkdir(vfs, "/a"), 0);
	vfs_close(create(vfs, "/a/f"));
	assert_int_equal(vfs_unlink(vfs, "/a"), -EISDIR);
	assert_int_equal(vfs_rmdir(vfs, "/a"), -ENOTEMPTY);
	assert_int_equal(vfs_rmdir(vfs, "/a/f"), -ENOTDIR);
	assert_int_equal(vfs_unlink(vfs, "/a/f"), 0);
	assert_int_equal(vfs_rmdir(vfs, "/a"), 0);
	assert_int_equal(vfs_rmdir(vfs, "/a"), -ENOENT);
	crash_vfs_free(crash);
}

static void the_power_goes_at_the_named_call(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct vfs *vfs = crash_vfs_base(crash);
	struct vfs_file *file;

	(void)state;
	crash_vfs_cut_after(crash, 3);
	file = create(vfs, "/f");
	assert_int_equal(write_text(file, "a", 0), 0);
	assert_int_equal(write_text(file, "b", 1), -EIO);
	assert_true(crash_vfs_is_cut(crash));
	assert_int_equal(vfs_sync(file), -EIO);
	crash_vfs_restart(crash);
	vfs_close(file);
	crash_vfs_free(crash);
}

static void the_named_call_fails_and_the_next_works(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct vfs *vfs = crash_vfs_base(crash);
	struct vfs_file *file = create(vfs, "/f");

	(void)state;
	crash_vfs_fail(crash, 2, 1, ENOSPC);
	assert_int_equal(write_text(file, "a", 0), 0);
	assert_int_equal(write_text(file, "b", 1), -ENOSPC);
	assert_int_equal(write_text(file, "b", 1), 0);
	assert_int_equal(crash_vfs_failures(crash), 1);
	vfs_close(file);
	crash_vfs_free(crash);
}

static void a_failed_sync_is_not_mended_by_the_next(void **state)
{
	bool lost = false;

	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct crash_vfs *crash = crash_vfs_new(seed);
		struct vfs *vfs = crash_vfs_base(crash);
		struct vfs_file *file = create(vfs, "/f");
		char data[4] = { 0 };

		assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		assert_int_equal(write_text(file, "data", 0), 0);
		crash_vfs_fail(crash, 1, 1, EIO);
		assert_int_equal(vfs_sync(file), -EIO);
		assert_int_equal(vfs_sync(file), 0);
		restart(crash);
		vfs_close(file);
		assert_int_equal(vfs_open(vfs, "/f", VFS_READ, &file), 0);
		assert_true(vfs_pread(file, data, 4, 0, 0) >= 0);
		lost |= memcmp(data, "data", 4) != 0;
		vfs_close(file);
		crash_vfs_free(crash);
	}
	assert_true(lost);
}

static void a_full_disk_refuses_growth_until_something_is_removed(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct vfs *vfs = crash_vfs_base(crash);
	struct vfs_file *a = create(vfs, "/a"), *b = create(vfs, "/b");

	(void)state;
	crash_vfs_set_capacity(crash, 6);
	assert_int_equal(write_text(a, "1234", 0), 0);
	assert_int_equal(write_text(b, "1234", 0), -ENOSPC);
	assert_int_equal(write_text(a, "5678", 0), 0);
	assert_int_equal(vfs_truncate(b, 0), 0);
	assert_int_equal(vfs_unlink(vfs, "/a"), 0);
	assert_int_equal(write_text(b, "1234", 0), 0);
	vfs_close(a);
	vfs_close(b);
	crash_vfs_free(crash);
}

static void the_same_seed_replays_the_same_cut(void **state)
{
	char data[2][64];
	ssize_t len[2];

	(void)state;
	for (int run = 0; run < 2; run++) {
		struct crash_vfs *crash = crash_vfs_new(77);
		struct vfs *vfs = crash_vfs_base(crash);
		struct vfs_file *file = create(vfs, "/f");

		assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
		assert_int_equal(write_text(file, "some bytes that nobody synced", 0), 0);
		restart(crash);
		vfs_close(file);
		assert_int_equal(vfs_open(vfs, "/f", VFS_READ, &file), 0);
		len[run] = vfs_pread(file, data[run], 64, 0, 0);
		vfs_close(file);
		crash_vfs_free(crash);
	}
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(data[0], data[1], (size_t)len[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_synced_survives_every_cut),
		cmocka_unit_test(what_was_not_synced_meets_every_fate),
		cmocka_unit_test(an_unsynced_rename_leaves_the_old_or_the_new_file),
		cmocka_unit_test(a_renamed_directory_takes_its_content_along),
		cmocka_unit_test(only_an_empty_directory_is_removed),
		cmocka_unit_test(the_power_goes_at_the_named_call),
		cmocka_unit_test(the_named_call_fails_and_the_next_works),
		cmocka_unit_test(a_failed_sync_is_not_mended_by_the_next),
		cmocka_unit_test(a_full_disk_refuses_growth_until_something_is_removed),
		cmocka_unit_test(the_same_seed_replays_the_same_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

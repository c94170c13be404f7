/* SPDX-License-Identifier: MIT */
#include "node/ballast.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define DIR     "/data"
#define BALLAST "/data/BALLAST"
#define BYTES   100000

static struct crash_vfs *disk;
static struct vfs *vfs;

static int set_up(void **state)
{
	(void)state;
	disk = crash_vfs_new(1);
	vfs = crash_vfs_base(disk);
	return vfs_mkdir(vfs, DIR);
}

static int tear_down(void **state)
{
	(void)state;
	disk = crash_vfs_free(disk);
	return 0;
}

/* -ENOENT, or its size. */
static int64_t ballast_size(void)
{
	struct vfs_file *file;
	uint64_t size;
	int r = vfs_open(vfs, BALLAST, VFS_READ, &file);

	if (r < 0)
		return r;
	assert_int_equal(vfs_size(file, &size), 0);
	vfs_close(file);
	return (int64_t)size;
}

static int write_other(uint64_t bytes)
{
	struct vfs_file *file;
	int r = vfs_open(vfs, DIR "/other", VFS_WRITE | VFS_CREATE, &file);

	assert_int_equal(r, 0);
	r = vfs_allocate(file, 0, bytes);
	vfs_close(file);
	if (r < 0)
		assert_int_equal(vfs_unlink(vfs, DIR "/other"), 0);
	return r;
}

static void it_takes_its_room_and_gives_it_back(void **state)
{
	(void)state;
	crash_vfs_set_capacity(disk, BYTES + 1000);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	assert_int_equal(ballast_size(), BYTES);
	assert_int_equal(write_other(2000), -ENOSPC);
	ballast_release(vfs, DIR);
	assert_int_equal(ballast_size(), -ENOENT);
	assert_int_equal(write_other(2000), 0);
}

static void a_ballast_that_is_there_is_left_alone_on_a_full_disk(void **state)
{
	(void)state;
	crash_vfs_set_capacity(disk, BYTES);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	assert_int_equal(ballast_size(), BYTES);
}

static void without_room_it_says_so_and_takes_none(void **state)
{
	(void)state;
	crash_vfs_set_capacity(disk, BYTES - 1);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), -ENOSPC);
	assert_true(ballast_size() <= 0);
	assert_int_equal(write_other(BYTES - 1), 0);
	/* Once there is room again, the empty file that may be left is no obstacle. */
	crash_vfs_set_capacity(disk, 2 * BYTES);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	assert_int_equal(ballast_size(), BYTES);
}

static void one_that_is_too_small_grows(void **state)
{
	(void)state;
	assert_int_equal(ballast_restore(vfs, DIR, BYTES / 2), 0);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	assert_int_equal(ballast_size(), BYTES);
}

static void one_that_cannot_grow_gives_its_room_back(void **state)
{
	(void)state;
	crash_vfs_set_capacity(disk, BYTES - 1);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES / 2), 0);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), -ENOSPC);
	assert_true(ballast_size() <= 0);
}

static void a_quota_that_is_used_up_is_a_full_disk(void **state)
{
	uint64_t before = crash_vfs_calls(disk);

	(void)state;
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
	before = crash_vfs_calls(disk) - before;
	ballast_release(vfs, DIR);
	/* Closing counts as no call: its last one reserves. */
	crash_vfs_fail(disk, before, 1, EDQUOT);
	assert_int_equal(ballast_restore(vfs, DIR, BYTES), -ENOSPC);
	assert_int_equal(crash_vfs_failures(disk), 1);
}

static void whichever_call_fails_the_next_attempt_succeeds(void **state)
{
	(void)state;
	for (uint64_t nth = 1;; nth++) {
		int r;

		crash_vfs_fail(disk, nth, 1, EIO);
		r = ballast_restore(vfs, DIR, BYTES);
		if (crash_vfs_failures(disk) == 0) {
			assert_int_equal(r, 0);
			assert_true(nth > 3);
			return;
		}
		assert_int_equal(r, -EIO);
		assert_true(ballast_size() <= 0);
		assert_int_equal(ballast_restore(vfs, DIR, BYTES), 0);
		ballast_release(vfs, DIR);
	}
}

static void releasing_what_is_not_there_is_no_fault(void **state)
{
	(void)state;
	ballast_release(vfs, DIR);
	assert_int_equal(ballast_size(), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(it_takes_its_room_and_gives_it_back),
		TEST(a_ballast_that_is_there_is_left_alone_on_a_full_disk),
		TEST(without_room_it_says_so_and_takes_none),
		TEST(one_that_is_too_small_grows),
		TEST(one_that_cannot_grow_gives_its_room_back),
		TEST(a_quota_that_is_used_up_is_a_full_disk),
		TEST(whichever_call_fails_the_next_attempt_succeeds),
		TEST(releasing_what_is_not_there_is_no_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

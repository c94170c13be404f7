/* SPDX-License-Identifier: MIT */
#include "node/dir_tree.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void create(struct vfs *vfs, const char *path)
{
	struct vfs_file *file;

	assert_int_equal(vfs_open(vfs, path, VFS_WRITE | VFS_CREATE, &file), 0);
	vfs_close(file);
}

static int count_name(const char *name, void *state)
{
	(void)name;
	++*(int *)state;
	return 0;
}

static void make_tree(struct vfs *vfs)
{
	assert_int_equal(vfs_mkdir(vfs, "/t"), 0);
	assert_int_equal(vfs_mkdir(vfs, "/t/a"), 0);
	assert_int_equal(vfs_mkdir(vfs, "/t/a/b"), 0);
	create(vfs, "/t/1");
	create(vfs, "/t/a/2");
	create(vfs, "/t/a/b/3");
	create(vfs, "/other");
}

static void a_directory_goes_with_all_that_is_in_it(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct vfs *vfs = crash_vfs_base(crash);
	int count = 0;

	(void)state;
	make_tree(vfs);
	assert_int_equal(dir_tree_remove(vfs, "/t"), 0);
	assert_int_equal(vfs_list(vfs, "/", count_name, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(dir_tree_remove(vfs, "/t"), 0);
	assert_int_equal(dir_tree_remove(vfs, "/other"), 0);
	crash_vfs_free(crash);
}

static void what_can_not_be_removed_stays_and_is_told(void **state)
{
	uint64_t calls = 1;
	int count;

	(void)state;
	for (uint64_t nth = 1; nth <= calls; nth++) {
		struct crash_vfs *crash = crash_vfs_new(1);
		struct vfs *vfs = crash_vfs_base(crash);

		make_tree(vfs);
		calls = crash_vfs_calls(crash);
		crash_vfs_fail(crash, nth, 1, EACCES);
		assert_int_equal(dir_tree_remove(vfs, "/t"), -EACCES);
		calls = crash_vfs_calls(crash) - calls;
		assert_int_equal(dir_tree_remove(vfs, "/t"), 0);
		count = 0;
		assert_int_equal(vfs_list(vfs, "/", count_name, &count), 0);
		assert_int_equal(count, 1);
		crash_vfs_free(crash);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_directory_goes_with_all_that_is_in_it),
		cmocka_unit_test(what_can_not_be_removed_stays_and_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "node/vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct directory {
	char path[64];
	char a[80];
	char b[80];
};

static int setup(void **state)
{
	struct directory *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return -1;
	strcpy(dir->path, "/tmp/hexkv-vfs-XXXXXX");
	if (!mkdtemp(dir->path))
		return -1;
	snprintf(dir->a, sizeof(dir->a), "%s/a", dir->path);
	snprintf(dir->b, sizeof(dir->b), "%s/b", dir->path);
	*state = dir;
	return 0;
}

static int teardown(void **state)
{
	struct directory *dir = *state;

	unlink(dir->a);
	unlink(dir->b);
	rmdir(dir->path);
	free(dir);
	return 0;
}

static struct vfs_file *create(const char *path)
{
	struct vfs_file *file;

	assert_int_equal(vfs_open(vfs_posix(), path, VFS_READ | VFS_WRITE | VFS_CREATE, &file), 0);
	return file;
}

static void what_is_written_in_parts_is_read_whole(void **state)
{
	struct directory *dir = *state;
	struct vfs_file *file = create(dir->a);
	struct iovec parts[] = { { (void *)(uintptr_t) "one", 3 },
				 { (void *)(uintptr_t) "", 0 },
				 { (void *)(uintptr_t) "two", 3 } };
	char data[16];
	uint64_t size;

	assert_int_equal(vfs_pwritev(file, parts, 3, 2), 0);
	assert_int_equal(vfs_sync(file), 0);
	assert_int_equal(vfs_size(file, &size), 0);
	assert_int_equal(size, 8);
	assert_int_equal(vfs_pread(file, data, sizeof(data), 2, 0), 6);
	assert_memory_equal(data, "onetwo", 6);
	assert_int_equal(vfs_pread(file, data, sizeof(data), 100, 0), 0);
	vfs_close(file);
}

static void creating_an_existing_file_fails(void **state)
{
	struct directory *dir = *state;
	struct vfs_file *file = create(dir->a);

	vfs_close(file);
	assert_int_equal(vfs_open(vfs_posix(), dir->a, VFS_WRITE | VFS_CREATE, &file), -EEXIST);
	assert_int_equal(vfs_open(vfs_posix(), dir->b, VFS_READ, &file), -ENOENT);
}

static void allocated_space_reads_as_zero_and_keeps_what_was_there(void **state)
{
	struct directory *dir = *state;
	struct vfs_file *file = create(dir->a);
	struct iovec part = { (void *)(uintptr_t) "x", 1 };
	char data[4096];
	uint64_t size;

	assert_int_equal(vfs_pwritev(file, &part, 1, 0), 0);
	assert_int_equal(vfs_allocate(file, 0, sizeof(data)), 0);
	assert_int_equal(vfs_size(file, &size), 0);
	assert_int_equal(size, sizeof(data));
	assert_int_equal(vfs_pread(file, data, sizeof(data), 0, 0), sizeof(data));
	assert_int_equal(data[0], 'x');
	for (size_t i = 1; i < sizeof(data); i++)
		assert_int_equal(data[i], 0);
	assert_int_equal(vfs_truncate(file, 1), 0);
	assert_int_equal(vfs_size(file, &size), 0);
	assert_int_equal(size, 1);
	vfs_close(file);
}

static void a_second_lock_is_refused(void **state)
{
	struct directory *dir = *state;
	struct vfs_file *first = create(dir->a), *second;

	assert_int_equal(vfs_lock(first), 0);
	assert_int_equal(vfs_open(vfs_posix(), dir->a, VFS_READ, &second), 0);
	assert_int_equal(vfs_lock(second), -EWOULDBLOCK);
	vfs_close(first);
	assert_int_equal(vfs_lock(second), 0);
	vfs_close(second);
}

static int count_name(const char *name, void *state)
{
	assert_true(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
	++*(int *)state;
	return 0;
}

static int stop_at_once(const char *name, void *state)
{
	(void)name;
	(void)state;
	return 42;
}

static void names_are_linked_renamed_listed_and_removed(void **state)
{
	struct directory *dir = *state;
	struct vfs *vfs = vfs_posix();
	uint64_t space, total;
	int count = 0;

	vfs_close(create(dir->a));
	assert_int_equal(vfs_link(vfs, dir->a, dir->b), 0);
	assert_int_equal(vfs_list(vfs, dir->path, count_name, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(vfs_list(vfs, dir->path, stop_at_once, NULL), 42);
	assert_int_equal(vfs_unlink(vfs, dir->a), 0);
	assert_int_equal(vfs_rename(vfs, dir->b, dir->a), 0);
	assert_int_equal(vfs_unlink(vfs, dir->b), -ENOENT);
	assert_int_equal(vfs_mkdir(vfs, dir->path), -EEXIST);
	assert_int_equal(vfs_unlink(vfs, dir->path), -EISDIR);
	assert_int_equal(vfs_rmdir(vfs, dir->path), -ENOTEMPTY);
	assert_int_equal(vfs_mkdir(vfs, dir->b), 0);
	assert_int_equal(vfs_rmdir(vfs, dir->b), 0);
	assert_int_equal(vfs_sync_dir(vfs, dir->path), 0);
	assert_int_equal(vfs_space(vfs, dir->path, &space, &total), 0);
	assert_true(space <= total && total > 0);
}

static void nowait_reads_what_is_cached_or_says_again(void **state)
{
	struct directory *dir = *state;
	struct vfs_file *file = create(dir->a);
	struct iovec part = { (void *)(uintptr_t) "cached", 6 };
	char data[16];
	ssize_t n;

	assert_int_equal(vfs_pwritev(file, &part, 1, 0), 0);
	n = vfs_pread(file, data, sizeof(data), 0, VFS_NOWAIT);
	assert_true(n == 6 || n == -EAGAIN);
	vfs_close(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_written_in_parts_is_read_whole, setup,
						teardown),
		cmocka_unit_test_setup_teardown(creating_an_existing_file_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(
			allocated_space_reads_as_zero_and_keeps_what_was_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_lock_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(names_are_linked_renamed_listed_and_removed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nowait_reads_what_is_cached_or_says_again, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

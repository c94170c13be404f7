/* SPDX-License-Identifier: MIT */
#include "fs/still_open.h"

#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct file {
	char path[PATH_MAX];
	int fd;
};

static int setup(void **state)
{
	static struct file file;
	const char *dir = getenv("TMPDIR");
	char name[PATH_MAX - 64], directory[PATH_MAX - 32];

	/* The kernel tells paths without symbolic links. */
	if (!realpath(dir && *dir ? dir : "/tmp", directory))
		return -1;
	snprintf(name, sizeof(name), "%.*s/still_open.XXXXXX", PATH_MAX - 128, directory);
	file.fd = mkostemp(name, O_CLOEXEC);
	if (file.fd < 0)
		return -1;
	snprintf(file.path, sizeof(file.path), "%s", name);
	*state = &file;
	return 0;
}

static int teardown(void **state)
{
	struct file *file = *state;

	if (file->fd >= 0)
		close(file->fd);
	unlink(file->path);
	return 0;
}

static void a_process_with_another_descriptor_is_found(void **state)
{
	struct file *file = *state;

	assert_true(still_open(getpid(), file->path));
}

static void a_process_that_closed_its_last_descriptor_is_not(void **state)
{
	struct file *file = *state;

	close(file->fd);
	file->fd = -1;
	assert_false(still_open(getpid(), file->path));
}

static void a_file_without_its_place_in_the_directory_is_found(void **state)
{
	struct file *file = *state;

	unlink(file->path);
	assert_true(still_open(getpid(), file->path));
}

static void another_name_that_begins_the_same_is_not_this_file(void **state)
{
	struct file *file = *state;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", file->path);
	path[strlen(path) - 1] = '\0';
	assert_false(still_open(getpid(), path));
}

static void a_process_that_is_not_visible_has_nothing_open(void **state)
{
	struct file *file = *state;
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(still_open(child, file->path));
	assert_false(still_open(0, file->path));
	assert_false(still_open(-1, file->path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_process_with_another_descriptor_is_found),
		TEST(a_process_that_closed_its_last_descriptor_is_not),
		TEST(a_file_without_its_place_in_the_directory_is_found),
		TEST(another_name_that_begins_the_same_is_not_this_file),
		TEST(a_process_that_is_not_visible_has_nothing_open),
	};

	return cmocka_run_group_tests_name("fs_still_open", tests, NULL, NULL);
}

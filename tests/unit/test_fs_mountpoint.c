/* SPDX-License-Identifier: MIT */
#include "fs/mountpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char place[] = "/tmp/hexkv-test-XXXXXX";

static int make_place(void **state)
{
	(void)state;
	return mkdtemp(place) ? 0 : -1;
}

static int remove_place(void **state)
{
	(void)state;
	return rmdir(place);
}

static void what_the_kernel_has_mounted_is_found(void **state)
{
	struct mountpoint_info info;
	struct stat st;

	(void)state;
	assert_true(mountpoint_find("/proc", &info));
	assert_string_equal(info.type, "proc");
	assert_int_equal(stat("/proc", &st), 0);
	assert_int_equal(st.st_dev >> 8 & 0xfff, info.major);
	assert_int_equal(st.st_dev & 0xff, info.minor & 0xff);
	assert_false(mountpoint_find(place, &info));
	assert_false(mountpoint_find("", &info));
}

static void an_empty_directory_can_be_mounted_on(void **state)
{
	char *path = NULL;
	char again[64];

	(void)state;
	snprintf(again, sizeof(again), "%s/../%s/.", place, place + strlen("/tmp/"));
	assert_int_equal(mountpoint_check(again, false, &path), 0);
	assert_string_equal(path, place);
	free(path);
}

static void what_is_not_empty_can_only_if_it_is_wanted(void **state)
{
	char inner[64], *path = NULL;

	(void)state;
	snprintf(inner, sizeof(inner), "%s/.hidden", place);
	assert_int_equal(mkdir(inner, 0700), 0);
	assert_int_equal(mountpoint_check(place, false, &path), -EINVAL);
	assert_null(path);
	assert_int_equal(mountpoint_check(place, true, &path), 0);
	free(path);
	assert_int_equal(rmdir(inner), 0);
}

static void what_is_no_directory_can_not(void **state)
{
	static const char *const wrong[] = { "", "/nonexistent", "/dev/null", "/dev/null/below" };
	char *path = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(mountpoint_check(wrong[i], true, &path), -EINVAL);
	assert_null(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_kernel_has_mounted_is_found),
		cmocka_unit_test(an_empty_directory_can_be_mounted_on),
		cmocka_unit_test(what_is_not_empty_can_only_if_it_is_wanted),
		cmocka_unit_test(what_is_no_directory_can_not),
	};

	return cmocka_run_group_tests_name("fs_mountpoint", tests, make_place, remove_place);
}

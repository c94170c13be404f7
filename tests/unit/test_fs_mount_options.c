/* SPDX-License-Identifier: MIT */
#include "fs/mount_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16

static char place[] = "/tmp/hexkv-test-XXXXXX"; /* an empty directory */

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

static char *words[ARGUMENTS_MAX + 1];
static int word_count;

static int forget_words(void **state)
{
	(void)state;
	while (word_count > 0)
		free(words[--word_count]);
	return 0;
}

/* Parses a command line, given as words, with fresh copies as main() would have. */
static int parse(struct mount_options *ret_options, int *ret_exit, const char *first, ...)
{
	char *argv[ARGUMENTS_MAX + 1];
	va_list args;

	forget_words(NULL);
	words[word_count++] = strdup("hexkv-fs");
	va_start(args, first);
	for (const char *word = first; word && word_count < ARGUMENTS_MAX;
	     word = va_arg(args, const char *))
		words[word_count++] = strdup(word);
	va_end(args);
	words[word_count] = NULL;
	memcpy(argv, words, sizeof(argv));
	return mount_options_parse(word_count, argv, ret_options, ret_exit);
}

static void conflicts_are_refused_only_where_that_was_asked_for(void **state)
{
	struct mount_options options;
	int status = -1;

	(void)state;
	assert_int_equal(parse(&options, &status, "http://h:1", place, NULL), 0);
	assert_false(options.conflict_estale);
	mount_options_deinit(&options);
	assert_int_equal(
		parse(&options, &status, "http://h:1", place, "-o", "conflict=estale", NULL), 0);
	assert_true(options.conflict_estale);
	mount_options_deinit(&options);
}

static void url_and_mount_point_are_enough(void **state)
{
	struct mount_options options;
	int status = -1;

	(void)state;
	assert_int_equal(parse(&options, &status, "http://127.0.0.1:8080/", place, NULL), 0);
	assert_string_equal(options.url, "http://127.0.0.1:8080");
	assert_string_equal(options.mountpoint, place);
	/* As it was given, so that mount -a finds it in the list of mounts. */
	assert_string_equal(options.fsname, "http://127.0.0.1:8080/");
	assert_int_equal(options.file_mode, 0644);
	assert_int_equal(options.directory_mode, 0755);
	assert_false(options.foreground);
	assert_false(options.allow_other);
	assert_int_equal(options.attr_timeout_ms, 1000);
	assert_true(options.timeout_ms > 0);
	mount_options_deinit(&options);
}

static void options_are_taken_in_any_place_and_number(void **state)
{
	struct mount_options options;
	int status = -1;

	(void)state;
	assert_int_equal(parse(&options, &status, "-o", "ro,uid=5", "http://[::1]:80", place,
			       "-oallow_other,nosuid", "-f", "-o", "timeout=0.5,_netdev", NULL),
			 0);
	assert_true(options.read_only);
	assert_true(options.allow_other);
	assert_true(options.default_permissions);
	assert_true(options.foreground);
	assert_int_equal(options.uid, 5);
	assert_int_equal(options.timeout_ms, 500);
	assert_string_equal(options.passed_on, "nosuid");
	mount_options_deinit(&options);
}

static void modes_go_before_the_umask(void **state)
{
	struct mount_options options;
	int status = -1;

	(void)state;
	assert_int_equal(parse(&options, &status, "http://h", place, "-o", "umask=077", NULL), 0);
	assert_int_equal(options.file_mode, 0600);
	assert_int_equal(options.directory_mode, 0700);
	mount_options_deinit(&options);
	assert_int_equal(parse(&options, &status, "http://h", place, "-o",
			       "fmode=440,umask=077,dmode=550", NULL),
			 0);
	assert_int_equal(options.file_mode, 0440);
	assert_int_equal(options.directory_mode, 0550);
	mount_options_deinit(&options);
}

static void what_fstab_says_to_others_is_passed_over(void **state)
{
	static const char others[] =
		"rw,defaults,auto,noauto,user,user=me,users,nouser,owner,group,_netdev,"
		"nofail,relatime,norelatime,strictatime,nostrictatime,lazytime,atime,diratime,"
		"comment=any thing,x-systemd.automount,x-systemd.requires=a.service,X-mount.mkdir,"
		"silent,loud,iversion,noiversion,mand,nomand";
	struct mount_options options;
	int status = -1;

	(void)state;
	assert_int_equal(parse(&options, &status, "http://h", place, "-o", others, NULL), 0);
	assert_string_equal(options.passed_on, "");
	mount_options_deinit(&options);
	assert_int_equal(parse(&options, &status, "http://h", place, "-o",
			       "noatime,nosuid,nodev,noexec,context=a:b:c", NULL),
			 0);
	assert_string_equal(options.passed_on, "noatime,nosuid,nodev,noexec,context=a:b:c");
	mount_options_deinit(&options);
	/* mount -s */
	assert_int_equal(
		parse(&options, &status, "http://h", place, "-o", "sloppy,frobnicate", NULL), 0);
	mount_options_deinit(&options);
}

static void help_and_version_end_with_success(void **state)
{
	static const char *const asked[] = { "--help", "-h", "--version" };
	struct mount_options options;

	(void)state;
	for (int i = 0; i < 3; i++) {
		int status = -1;

		assert_int_equal(parse(&options, &status, asked[i], NULL), 1);
		assert_int_equal(status, 0);
	}
}

static void what_is_wrong_ends_with_2(void **state)
{
	static const char *const url = "http://127.0.0.1:8080";
	const char *const wrong[][4] = {
		{ "http://127.0.0.1:8080" },
		{ "ftp://127.0.0.1:8080", place },
		{ "http://127.0.0.1:8080/path", place },
		{ "http://", place },
		{ "http://127.0.0.1:8080", "/nonexistent" },
		{ "http://127.0.0.1:8080", "/dev/null" },
		{ "http://127.0.0.1:8080", "/proc/self" },
		{ "http://127.0.0.1:8080", place, place },
		{ "http://127.0.0.1:8080", place, "--frobnicate" },
	};
	static const char *const options_wrong[] = {
		"frobnicate",
		"uid",
		"uid=x",
		"umask=9",
		"timeout=0",
		"conflict",
		"conflict=maybe",
		"timeout=abc",
		"attr_timeout=2",
		"log_level=loud",
		"ro=1",
		"gid=-1",
		"staging=/nonexistent",
		"staging_size=1",
		"staging_size=1000000000x",
		"staging_size=10GiB",
		"staging_size=-1",
		"staging_size=99999999999G",
		"token_file=/nonexistent",
		"token_file=/dev/null",
		"fmode=888",
		"dmode=1777",
		"allow_other,allow_root",
		"nosuid=1",
		"context",
	};
	struct mount_options options;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int status = -1;

		assert_int_equal(parse(&options, &status, wrong[i][0], wrong[i][1], wrong[i][2],
				       wrong[i][3], NULL),
				 1);
		assert_int_equal(status, 2);
	}
	for (size_t i = 0; i < sizeof(options_wrong) / sizeof(options_wrong[0]); i++) {
		int status = -1;

		if (parse(&options, &status, url, place, "-o", options_wrong[i], NULL) != 1 ||
		    status != 2)
			fail_msg("-o %s was not refused", options_wrong[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(url_and_mount_point_are_enough, forget_words),
		cmocka_unit_test_teardown(conflicts_are_refused_only_where_that_was_asked_for,
					  forget_words),
		cmocka_unit_test_teardown(options_are_taken_in_any_place_and_number, forget_words),
		cmocka_unit_test_teardown(modes_go_before_the_umask, forget_words),
		cmocka_unit_test_teardown(what_fstab_says_to_others_is_passed_over, forget_words),
		cmocka_unit_test_teardown(help_and_version_end_with_success, forget_words),
		cmocka_unit_test_teardown(what_is_wrong_ends_with_2, forget_words),
	};

	return cmocka_run_group_tests_name("fs_mount_options", tests, make_place, remove_place);
}

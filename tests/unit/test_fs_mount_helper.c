/* SPDX-License-Identifier: MIT */
#include "fs/mount_helper.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define URL   "http://127.0.0.1:8080"
#define WORDS 12

static char *words[WORDS];

/* The command line @line, under the name @name. */
static int begin(struct mount_helper *helper, const char *name, const char *line, int *ret_argc,
		 char ***ret_argv)
{
	static char text[256], program[32];
	char *save = NULL;

	snprintf(text, sizeof(text), "%s", line);
	snprintf(program, sizeof(program), "%s", name);
	program_invocation_short_name = program;
	words[0] = program;
	*ret_argc = 1;
	for (char *word = strtok_r(text, " ", &save); word && *ret_argc < WORDS - 1;
	     word = strtok_r(NULL, " ", &save))
		words[(*ret_argc)++] = word;
	words[*ret_argc] = NULL;
	*ret_argv = words;
	return mount_helper_begin(helper, ret_argc, ret_argv);
}

static void expect_words(const char *line, const char *options)
{
	struct mount_helper helper;
	char **argv;
	int argc;

	assert_int_equal(begin(&helper, "mount.hexkv", line, &argc, &argv), 0);
	assert_true(helper.active);
	assert_int_equal(argc, options ? 5 : 3);
	assert_string_equal(argv[1], URL);
	assert_string_equal(argv[2], "/mnt");
	if (options) {
		assert_string_equal(argv[3], "-o");
		assert_string_equal(argv[4], options);
	}
	assert_null(argv[argc]);
	mount_helper_deinit(&helper);
}

static void its_arguments_become_those_of_hexkv_fs(void **state)
{
	(void)state;
	expect_words(URL " /mnt", NULL);
	expect_words(URL " /mnt -o rw,_netdev", "rw,_netdev");
	expect_words("-n -v " URL " /mnt -o rw", "rw");
	expect_words(URL " /mnt -o rw -o uid=5", "rw,uid=5");
	expect_words(URL " /mnt -nvo ro", "ro");
	expect_words("-o ro " URL " /mnt", "ro");
	expect_words(URL " -r /mnt", "ro");
	expect_words(URL " /mnt -s -o rw", "sloppy,rw");
	expect_words(URL " /mnt -o rw -t fuse.hexkv", "rw");
	expect_words(URL " /mnt -N 5", NULL);
}

static void faking_and_remounting_are_seen(void **state)
{
	struct mount_helper helper;
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(begin(&helper, "mount.hexkv", "-f " URL " /mnt", &argc, &argv), 0);
	assert_true(helper.fake);
	assert_false(helper.remount);
	mount_helper_deinit(&helper);
	assert_int_equal(
		begin(&helper, "mount.fuse.hexkv", URL " /mnt -o rw,remount,ro", &argc, &argv), 0);
	assert_true(helper.remount);
	assert_false(helper.fake);
	mount_helper_deinit(&helper);
	assert_int_equal(begin(&helper, "mount.hexkv", URL " /mnt -o remounted", &argc, &argv), 0);
	assert_false(helper.remount);
	mount_helper_deinit(&helper);
}

static void under_its_own_name_nothing_changes(void **state)
{
	struct mount_helper helper;
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(begin(&helper, "hexkv-fs", "-f " URL " /mnt", &argc, &argv), 0);
	assert_false(helper.active);
	assert_ptr_equal(argv, words);
	assert_int_equal(argc, 4);
	assert_int_equal(mount_helper_status(&helper, 2), 2);
	mount_helper_deinit(&helper);
	assert_int_equal(begin(&helper, "mount.hexkv", "--help", &argc, &argv), 0);
	assert_ptr_equal(argv, words);
	mount_helper_deinit(&helper);
}

static void what_mount_never_says_is_refused(void **state)
{
	static const char *const wrong[] = { "",
					     URL,
					     URL " /mnt more",
					     "-x " URL " /mnt",
					     URL " /mnt -o",
					     "--colour " URL " /mnt" };

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct mount_helper helper;
		char **argv;
		int argc;

		if (begin(&helper, "mount.hexkv", wrong[i], &argc, &argv) != -EINVAL)
			fail_msg("'%s' was not refused", wrong[i]);
		mount_helper_deinit(&helper);
	}
}

static void its_exit_status_is_as_mount_wants_it(void **state)
{
	const struct mount_helper helper = { .active = true };

	(void)state;
	assert_int_equal(mount_helper_status(&helper, 0), 0);
	assert_int_equal(mount_helper_status(&helper, 2), 1);
	assert_int_equal(mount_helper_status(&helper, 1), 32);
}

static void what_is_no_mount_is_not_remounted(void **state)
{
	struct mount_helper helper;
	char **argv;
	int argc;

	(void)state;
	assert_int_equal(
		begin(&helper, "mount.hexkv", URL " /nonexistent -o remount,ro", &argc, &argv), 0);
	assert_int_equal(mount_helper_remount(&helper), 2);
	mount_helper_deinit(&helper);
	assert_int_equal(begin(&helper, "mount.hexkv", URL " /proc -o remount,ro", &argc, &argv),
			 0);
	assert_int_equal(mount_helper_remount(&helper), 2);
	mount_helper_deinit(&helper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_arguments_become_those_of_hexkv_fs),
		cmocka_unit_test(faking_and_remounting_are_seen),
		cmocka_unit_test(under_its_own_name_nothing_changes),
		cmocka_unit_test(what_mount_never_says_is_refused),
		cmocka_unit_test(its_exit_status_is_as_mount_wants_it),
		cmocka_unit_test(what_is_no_mount_is_not_remounted),
	};

	return cmocka_run_group_tests_name("fs_mount_helper", tests, NULL, NULL);
}

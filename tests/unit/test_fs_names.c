/* SPDX-License-Identifier: MIT */
#include "fs/names.h"

#include "lib/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void lower_case_hex_of_a_key_is_a_record(void **state)
{
	char longest[KEY_HEX_MAX + 1];

	(void)state;
	memset(longest, 'a', KEY_HEX_MAX);
	longest[KEY_HEX_MAX] = '\0';
	assert_int_equal(name_classify("00"), NAME_KEY);
	assert_int_equal(name_classify("4913"), NAME_KEY);
	assert_int_equal(name_classify("90219201f2"), NAME_KEY);
	assert_int_equal(name_classify(longest), NAME_KEY);
}

static void names_that_programs_replace_files_with_are_temporary(void **state)
{
	static const char *const names[] = {
		".00ff.AbC123",
		".00ff.swp",
		".00ff.swpx",
		".00ff.swo",
		".tmp",
		".tmp.abc",
		".fuse_hidden",
		".fuse_hidden001",
		"00ff~",
		"00ff-journal",
		"00ff-wal",
		"00ff-shm",
		"00ff.tmp",
		"00ff.tmp.1",
		"sedXyZ123",
		"XXa1B2c3",
		"tmpab_12cde",
		"tmp.AbCdEf1234",
		".goutputstream-AB12CD",
		".00ff.un~",
		"#00ff#",
		".#00ff",
		".#-emacsAbC123",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name_classify(names[i]) != NAME_TEMPORARY)
			fail_msg("%s is not temporary", names[i]);
}

static void every_other_name_is_refused(void **state)
{
	static const char *const names[] = {
		"",
		"0",
		"00f",
		"00FF",
		"xyz",
		"00ff.txt",
		"00ff.bak",
		"foo~",
		".xyz.swp",
		".00f.swp",
		"sed12",
		"sed1234567",
		"sed12345/",
		".00ff.A",
		".00ff.swp1",
		".00ff.AbC1234",
		"~",
		"-wal",
		"00ff.",
		".",
		"..",
		"00ff~~",
		"XXa1B2c",
		"XXa1B2c34",
		"XYa1B2c3",
		"tmpab_12cd",
		"tmpab_12cdef",
		"tmpab.12cde",
		"tmp.AbCdEf123",
		"tmp",
		"#00f#",
		"#notes#",
		".#",
		".notes.un~",
		"XXa1B2-3",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (name_classify(names[i]) != NAME_REFUSED)
			fail_msg("'%s' is not refused", names[i]);
}

static void a_key_of_too_many_bytes_is_refused_and_a_name_of_too_many_too_long(void **state)
{
	char name[300];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	assert_int_equal(name_classify(name), NAME_REFUSED);
	name[255] = 'a';
	name[256] = '\0';
	assert_int_equal(name_classify(name), NAME_TOO_LONG);
	assert_int_equal(name_lookup_error(NAME_TOO_LONG), -ENAMETOOLONG);
	assert_int_equal(name_create_error(NAME_TOO_LONG), -ENAMETOOLONG);
}

static void a_refused_name_is_absent_and_can_not_be_made(void **state)
{
	(void)state;
	assert_int_equal(name_lookup_error(NAME_REFUSED), -ENOENT);
	assert_int_equal(name_create_error(NAME_REFUSED), -EPERM);
	assert_int_equal(name_lookup_error(NAME_KEY), 0);
	assert_int_equal(name_create_error(NAME_TEMPORARY), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lower_case_hex_of_a_key_is_a_record),
		cmocka_unit_test(names_that_programs_replace_files_with_are_temporary),
		cmocka_unit_test(every_other_name_is_refused),
		cmocka_unit_test(
			a_key_of_too_many_bytes_is_refused_and_a_name_of_too_many_too_long),
		cmocka_unit_test(a_refused_name_is_absent_and_can_not_be_made),
	};

	return cmocka_run_group_tests_name("fs_names", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "router/json_key.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_key(const void *body, size_t len, enum key_form form, const char *hex)
{
	char text[KEY_HEX_MAX + 1];
	const char *why = "";
	struct key key;

	assert_int_equal(json_key_read(body, len, form, &key, &why), 0);
	key_to_hex(&key, text);
	assert_string_equal(text, hex);
}

static void expect_refused(const void *body, size_t len, enum key_form form, const char *says)
{
	const char *why = "";
	struct key key;

	assert_int_equal(json_key_read(body, len, form, &key, &why), -EINVAL);
	assert_non_null(strstr(why, says));
}

static void a_body_that_reads_as_hex_is_hex(void **state)
{
	(void)state;
	expect_key("90219201f2", 10, KEY_FORM_ANY, "90219201f2");
	expect_key("00FF", 4, KEY_FORM_ANY, "00ff");
	expect_key("ab", 2, KEY_FORM_ANY, "ab");
}

static void any_other_body_is_the_raw_key(void **state)
{
	(void)state;
	expect_key("\x90\x21\x92\x01\xf2", 5, KEY_FORM_ANY, "90219201f2");
	expect_key("abc", 3, KEY_FORM_ANY, "616263");
	expect_key("xy", 2, KEY_FORM_ANY, "7879");
	expect_key("\0", 1, KEY_FORM_ANY, "00");
	expect_key("00ff\n", 5, KEY_FORM_ANY, "303066660a");
}

static void a_form_that_is_forced_wins(void **state)
{
	(void)state;
	expect_key("ab", 2, KEY_FORM_RAW, "6162");
	expect_key("ab", 2, KEY_FORM_HEX, "ab");
	expect_refused("abc", 3, KEY_FORM_HEX, "not a key in hex");
	expect_refused("xy", 2, KEY_FORM_HEX, "not a key in hex");
}

static void an_empty_body_and_a_long_one_are_refused(void **state)
{
	char text[256];

	(void)state;
	memset(text, '0', sizeof(text));
	expect_refused("", 0, KEY_FORM_ANY, "empty");
	expect_refused("", 0, KEY_FORM_HEX, "empty");
	expect_refused("", 0, KEY_FORM_RAW, "empty");
	expect_refused(text, 256, KEY_FORM_ANY, "too long");
	expect_refused(text, 255, KEY_FORM_ANY, "too long");
	expect_refused(text, 128, KEY_FORM_RAW, "too long");
	memset(text, 'x', sizeof(text));
	expect_refused(text, 128, KEY_FORM_ANY, "too long");
}

static void the_longest_key_is_taken_in_both_forms(void **state)
{
	char text[254];
	const char *why;
	struct key key;

	(void)state;
	memset(text, '1', sizeof(text));
	assert_int_equal(json_key_read(text, 254, KEY_FORM_ANY, &key, &why), 0);
	assert_int_equal(key.len, 127);
	assert_int_equal(key.bytes[126], 0x11);
	assert_int_equal(json_key_read(text, 127, KEY_FORM_ANY, &key, &why), 0);
	assert_int_equal(key.len, 127);
	assert_int_equal(key.bytes[126], '1');
}

static void only_two_forms_have_names(void **state)
{
	enum key_form form;

	(void)state;
	assert_int_equal(key_form_parse("hex", &form), 0);
	assert_int_equal(form, KEY_FORM_HEX);
	assert_int_equal(key_form_parse("raw", &form), 0);
	assert_int_equal(form, KEY_FORM_RAW);
	assert_int_equal(key_form_parse("", &form), -EINVAL);
	assert_int_equal(key_form_parse("HEX", &form), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_that_reads_as_hex_is_hex),
		cmocka_unit_test(any_other_body_is_the_raw_key),
		cmocka_unit_test(a_form_that_is_forced_wins),
		cmocka_unit_test(an_empty_body_and_a_long_one_are_refused),
		cmocka_unit_test(the_longest_key_is_taken_in_both_forms),
		cmocka_unit_test(only_two_forms_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

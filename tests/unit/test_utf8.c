/* SPDX-License-Identifier: MIT */
#include "lib/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t encode(uint32_t c, uint8_t ret[4])
{
	if (c < 0x80) {
		ret[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		ret[0] = (uint8_t)(0xc0 | c >> 6);
		ret[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		ret[0] = (uint8_t)(0xe0 | c >> 12);
		ret[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		ret[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	ret[0] = (uint8_t)(0xf0 | c >> 18);
	ret[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	ret[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	ret[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

static void every_character_is_valid_and_no_surrogate_is(void **state)
{
	uint8_t bytes[4];

	(void)state;
	for (uint32_t c = 0; c < 0x110400; c++) {
		size_t len = encode(c, bytes);
		bool expected = c < 0xd800 || (c > 0xdfff && c <= 0x10ffff);

		if (utf8_is_valid(bytes, len) != expected)
			fail_msg("U+%04X", c);
		if (len > 1 && utf8_is_valid(bytes, len - 1))
			fail_msg("U+%04X cut short", c);
	}
}

static void malformed_bytes_are_invalid(void **state)
{
	const char *const bad[] = { "\x80",
				    "\xbf",
				    "\xc0\x80",
				    "\xc1\xbf",
				    "\xe0\x80\x80",
				    "\xe0\x9f\xbf",
				    "\xf0\x80\x80\x80",
				    "\xf0\x8f\xbf\xbf",
				    "\xf4\x90\x80\x80",
				    "\xf5\x80\x80\x80",
				    "\xfe",
				    "\xff",
				    "\xc3(",
				    "\xe2\x82(",
				    "ok\xc3",
				    "\xed\xa0\x80",
				    "eight ascii bytes \x80",
				    "\xc3\xa9\xa9" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (utf8_is_valid(bad[i], strlen(bad[i])))
			fail_msg("number %zu", i);
	}
	assert_true(utf8_is_valid("a\0b", 3));
	assert_true(utf8_is_valid("", 0));
	assert_true(utf8_is_valid(NULL, 0));
}

static void any_split_gives_the_same_answer(void **state)
{
	const char *const texts[] = { "plain ascii that is longer than a word",
				      "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 end",
				      "bad \xf0\x9f\x98", "bad \xe2\x28\xa1 here" };

	(void)state;
	for (size_t t = 0; t < 4; t++) {
		size_t len = strlen(texts[t]);
		bool expected = utf8_is_valid(texts[t], len);

		for (size_t cut = 0; cut <= len; cut++) {
			struct utf8 utf8 = { 0 };

			utf8_feed(&utf8, texts[t], cut);
			utf8_feed(&utf8, texts[t] + cut, len - cut);
			assert_int_equal(utf8_complete(&utf8), expected);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_is_valid_and_no_surrogate_is),
		cmocka_unit_test(malformed_bytes_are_invalid),
		cmocka_unit_test(any_split_gives_the_same_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

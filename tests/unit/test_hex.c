/* SPDX-License-Identifier: MIT */
#include "lib/hex.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_byte_survives_both_cases(void **state)
{
	uint8_t bytes[256], decoded[256];
	char text[513];

	(void)state;
	for (int i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(bytes, sizeof(bytes), text);
	assert_int_equal(strlen(text), 512);
	assert_null(strpbrk(text, "ABCDEF"));
	assert_int_equal(hex_decode(text, 512, decoded), 0);
	assert_memory_equal(bytes, decoded, 256);
	for (char *at = text; *at; at++)
		*at = *at >= 'a' ? (char)(*at - 32) : *at;
	memset(decoded, 0, sizeof(decoded));
	assert_int_equal(hex_decode(text, 512, decoded), 0);
	assert_memory_equal(bytes, decoded, 256);
}

static void what_is_not_hex_is_refused(void **state)
{
	const char *const bad[] = { "0", "012", "0g", "g0", " 0", "0x", "00 ", "\xff\xff", "@0" };
	uint8_t decoded[8];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(hex_is_valid(bad[i], strlen(bad[i])));
		assert_int_equal(hex_decode(bad[i], strlen(bad[i]), decoded), -EINVAL);
	}
	assert_false(hex_is_valid("0\0", 2));
	assert_true(hex_is_valid("", 0));
	assert_int_equal(hex_decode("", 0, decoded), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_survives_both_cases),
		cmocka_unit_test(what_is_not_hex_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

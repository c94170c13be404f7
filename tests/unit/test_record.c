/* SPDX-License-Identifier: MIT */
#include "lib/record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_key_takes_either_case_and_shows_lower(void **state)
{
	char hex[KEY_HEX_MAX + 1];
	struct key key;

	(void)state;
	assert_int_equal(key_from_hex("00fFA1", 6, &key), 0);
	assert_int_equal(key.len, 3);
	key_to_hex(&key, hex);
	assert_string_equal(hex, "00ffa1");
}

static void keys_have_one_to_127_bytes(void **state)
{
	char hex[KEY_HEX_MAX + 3];
	struct key key;

	(void)state;
	memset(hex, 'a', sizeof(hex));
	assert_int_equal(key_from_hex(hex, KEY_HEX_MAX, &key), 0);
	assert_int_equal(key.len, KEY_BYTES_MAX);
	assert_int_equal(key_from_hex(hex, KEY_HEX_MAX + 2, &key), -EINVAL);
	assert_int_equal(key_from_hex(hex, 3, &key), -EINVAL);
	assert_int_equal(key_from_hex("", 0, &key), -EINVAL);
	assert_int_equal(key_from_hex("zz", 2, &key), -EINVAL);
	assert_int_equal(key_from_bytes(hex, 127, &key), 0);
	assert_int_equal(key_from_bytes(hex, 128, &key), -EINVAL);
	assert_int_equal(key_from_bytes(hex, 0, &key), -EINVAL);
}

static void keys_order_by_bytes_the_shorter_first(void **state)
{
	const char *const ordered[] = { "00", "0000", "01", "7f", "7f00", "80", "ff", "ff00" };

	(void)state;
	for (int i = 0; i < 8; i++) {
		for (int j = 0; j < 8; j++) {
			struct key a, b;
			int order;

			key_from_hex(ordered[i], strlen(ordered[i]), &a);
			key_from_hex(ordered[j], strlen(ordered[j]), &b);
			order = key_compare(&a, &b);
			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

static void versions_survive_their_etag(void **state)
{
	const uint64_t parts[] = { 0, 1, 9, 0xa, 0x10000, 0x1ffff, UINT64_MAX };

	(void)state;
	for (int i = 0; i < 7; i++) {
		for (int j = 0; j < 7; j++) {
			struct version in = { parts[i], parts[j] }, out;
			char etag[ETAG_BYTES_MAX];

			version_to_etag(in, etag);
			assert_int_equal(version_from_etag(etag, strlen(etag), &out), 0);
			assert_int_equal(version_compare(in, out), 0);
		}
	}
	assert_true(version_compare((struct version){ 1, 9 }, (struct version){ 2, 0 }) < 0);
	assert_true(version_compare((struct version){ 1, 9 }, (struct version){ 1, 8 }) > 0);
}

static void any_other_etag_is_refused(void **state)
{
	const char *const bad[] = { "",
				    "\"",
				    "\"\"",
				    "1-2",
				    "\"1-2",
				    "1-2\"",
				    "\"-2\"",
				    "\"1-\"",
				    "\"1\"",
				    "\"01-2\"",
				    "\"1-02\"",
				    "\"A-1\"",
				    "\"g-1\"",
				    "\"1-2-3\"",
				    "\"1-2\" ",
				    " \"1-2\"",
				    "W/\"1-2\"",
				    "\"11111111111111111-1\"",
				    "\"1-11111111111111111\"",
				    "\"+1-1\"",
				    "\"0x1-1\"" };
	struct version version;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (version_from_etag(bad[i], strlen(bad[i]), &version) != -EINVAL)
			fail_msg("%s", bad[i]);
	}
	assert_int_equal(version_from_etag("\"1-2\"", 4, &version), -EINVAL);
}

static void labels_keep_what_headers_can_carry(void **state)
{
	const char *const good[] = { "text/plain",         "a",   "text/plain; charset=\"utf-8\"",
				     "gr\xc3\xbc\xc3\x9f", "a b", "\xc2\xa0",
				     "\xf0\x9f\x98\x80" };
	const char *const bad[] = { " a",   "a ",       "a\tb",      "a\nb", "\x7f",
				    "\x01", "\xc2\x80", "x\xc2\x9f", "\xff", "a\xc3" };
	char longest[257];
	struct label label;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(label_set(&label, good[i], strlen(good[i])), 0);
		assert_string_equal(label.text, good[i]);
		assert_int_equal(label.len, strlen(good[i]));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (label_set(&label, bad[i], strlen(bad[i])) != -EINVAL)
			fail_msg("number %zu", i);
	}
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(label_set(&label, longest, 255), 0);
	assert_int_equal(label_set(&label, longest, 256), -EINVAL);
	assert_int_equal(label_set(&label, "", 0), -EINVAL);
	assert_int_equal(label_set(&label, "a\0b", 3), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_takes_either_case_and_shows_lower),
		cmocka_unit_test(keys_have_one_to_127_bytes),
		cmocka_unit_test(keys_order_by_bytes_the_shorter_first),
		cmocka_unit_test(versions_survive_their_etag),
		cmocka_unit_test(any_other_etag_is_refused),
		cmocka_unit_test(labels_keep_what_headers_can_carry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void the_vectors_of_the_rfc_hold(void **state)
{
	static const char *const vectors[][2] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
	};

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		struct buf out = { 0 };

		assert_int_equal(base64_encode(vectors[i][0], strlen(vectors[i][0]), &out), 0);
		assert_int_equal(out.len, strlen(vectors[i][1]));
		if (out.len)
			assert_memory_equal(out.data, vectors[i][1], out.len);
		buf_clear(&out);
		assert_int_equal(base64_decode(vectors[i][1], strlen(vectors[i][1]), &out), 0);
		assert_int_equal(out.len, strlen(vectors[i][0]));
		if (out.len)
			assert_memory_equal(out.data, vectors[i][0], out.len);
		buf_deinit(&out);
	}
}

static void bytes_of_every_length_survive(void **state)
{
	uint8_t bytes[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 250);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		struct buf text = { 0 }, back = { 0 };

		buf_append_str(&back, "before");
		assert_int_equal(base64_encode(bytes, len, &text), 0);
		assert_int_equal(base64_decode((char *)text.data, text.len, &back), 0);
		assert_int_equal(back.len, len + 6);
		assert_memory_equal(back.data + 6, bytes, len);
		buf_deinit(&text);
		buf_deinit(&back);
	}
}

static void anything_else_is_refused_and_nothing_changes(void **state)
{
	const char *const bad[] = { "Z",
				    "Zg",
				    "Zg=",
				    "Zg===",
				    "Zm8",
				    "====",
				    "=Zg=",
				    "Z===",
				    "Zh==",
				    "Zm9=",
				    "Zg==Zg==",
				    "Zm9v\n",
				    "Zm 9v===",
				    "Zm-_",
				    "Zm9v ",
				    "Zm9*",
				    "\xff\xff\xff\xff",
				    "Zm8=Zm9v",
				    "Z=g=" };
	struct buf out = { 0 };

	(void)state;
	buf_append_str(&out, "kept");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (base64_decode(bad[i], strlen(bad[i]), &out) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_int_equal(out.len, 4);
	}
	buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_vectors_of_the_rfc_hold),
		cmocka_unit_test(bytes_of_every_length_survive),
		cmocka_unit_test(anything_else_is_refused_and_nothing_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

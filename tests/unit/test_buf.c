/* SPDX-License-Identifier: MIT */
#include "lib/buf.h"

#include "lib/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void appended_bytes_stand_in_order(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	assert_int_equal(buf_append(&buf, "ab", 2), 0);
	assert_int_equal(buf_append(&buf, NULL, 0), 0);
	assert_int_equal(buf_append_str(&buf, "cd"), 0);
	assert_int_equal(buf_printf(&buf, "-%d-%s", 42, "x"), 0);
	assert_int_equal(buf.len, 9);
	assert_memory_equal(buf.data, "abcd-42-x", 9);
	buf_deinit(&buf);
	assert_null(buf.data);
}

static void integers_are_little_endian(void **state)
{
	static const uint8_t expected[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8 };
	struct buf buf = { 0 };

	(void)state;
	buf_append_u8(&buf, 1);
	buf_append_u16(&buf, 0x0203);
	buf_append_u32(&buf, 0x04050607);
	buf_append_u64(&buf, 0x08090a0b0c0d0e0f);
	assert_int_equal(buf.len, sizeof(expected));
	assert_memory_equal(buf.data, expected, sizeof(expected));
	buf_deinit(&buf);
}

static void printing_grows_past_every_boundary(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	for (int len = 0; len < 200; len++) {
		buf_clear(&buf);
		assert_int_equal(buf_printf(&buf, "%*s", len, ""), 0);
		assert_int_equal(buf_printf(&buf, "%s", "end"), 0);
		assert_int_equal(buf.len, len + 3);
		assert_memory_equal(buf.data + len, "end", 3);
	}
	buf_deinit(&buf);
}

static void consuming_moves_the_rest_to_the_front(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	buf_consume(&buf, 10);
	buf_append_str(&buf, "hello");
	buf_consume(&buf, 0);
	assert_int_equal(buf.len, 5);
	buf_consume(&buf, 2);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.data, "llo", 3);
	buf_consume(&buf, 100);
	assert_int_equal(buf.len, 0);
	buf_deinit(&buf);
}

static void an_impossible_size_is_refused_and_nothing_changes(void **state)
{
	struct buf buf = { 0 };

	(void)state;
	buf_append_str(&buf, "kept");
	assert_int_equal(buf_reserve(&buf, SIZE_MAX), -ENOMEM);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX - 8), -ENOMEM);
	assert_int_equal(buf_reserve(&buf, SIZE_MAX / 2), -ENOMEM);
	assert_int_equal(buf.len, 4);
	assert_memory_equal(buf.data, "kept", 4);
	buf_deinit(&buf);
}

static void taking_leaves_it_empty(void **state)
{
	struct buf buf = { 0 }, taken;

	(void)state;
	buf_append_str(&buf, "x");
	taken = buf_take(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.len + buf.cap, 0);
	assert_int_equal(taken.len, 1);
	buf_deinit(&taken);
	buf_deinit(&buf);
}

static void a_reader_never_passes_its_end(void **state)
{
	const uint8_t bytes[] = { 1, 2, 0, 3, 0, 0, 0, 9 };
	struct bytes_reader reader = bytes_reader(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(bytes_read_u8(&reader), 1);
	assert_int_equal(bytes_read_u16(&reader), 2);
	assert_int_equal(bytes_read_u32(&reader), 3);
	assert_int_equal(bytes_left(&reader), 1);
	assert_int_equal(bytes_read_u64(&reader), 0);
	assert_true(reader.bad);
	assert_int_equal(bytes_read_u8(&reader), 0);
	reader = bytes_reader(NULL, 0);
	assert_null(bytes_read(&reader, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appended_bytes_stand_in_order),
		cmocka_unit_test(integers_are_little_endian),
		cmocka_unit_test(printing_grows_past_every_boundary),
		cmocka_unit_test(consuming_moves_the_rest_to_the_front),
		cmocka_unit_test(an_impossible_size_is_refused_and_nothing_changes),
		cmocka_unit_test(taking_leaves_it_empty),
		cmocka_unit_test(a_reader_never_passes_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/frame.h"

#include "lib/bytes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void set_field(struct fields *fields, enum field field, const char *value)
{
	assert_int_equal(fields_set(fields, field, value, strlen(value)), 0);
}

/* A PUT with two fields and a body. */
static void encode_request(struct buf *out)
{
	struct frame frame = {
		.type = FRAME_REQUEST,
		.flags = FRAME_FLAG_BODY,
		.id = 0xdeadbeef,
		.method = METHOD_PUT,
		.deadline_ms = 5000,
		.target = "/kv/00ff?x",
		.target_len = 10,
		.body = (const uint8_t *)"value",
		.body_len = 5,
	};

	set_field(&frame.fields, FIELD_CONTENT_TYPE, "text/plain");
	set_field(&frame.fields, FIELD_SIZE, "");
	assert_int_equal(frame_encode(&frame, out), 0);
	fields_deinit(&frame.fields);
}

static void a_frame_comes_back_as_it_was(void **state)
{
	struct buf out = { 0 };
	struct frame frame;
	size_t used;

	(void)state;
	encode_request(&out);
	assert_int_equal(frame_decode(out.data, out.len, &frame, &used), 1);
	assert_int_equal(used, out.len);
	assert_int_equal(frame.type, FRAME_REQUEST);
	assert_int_equal(frame.flags, FRAME_FLAG_BODY);
	assert_int_equal(frame.id, 0xdeadbeef);
	assert_int_equal(frame.method, METHOD_PUT);
	assert_int_equal(frame.deadline_ms, 5000);
	assert_int_equal(frame.target_len, 10);
	assert_memory_equal(frame.target, "/kv/00ff?x", 10);
	assert_string_equal(fields_get(&frame.fields, FIELD_CONTENT_TYPE, NULL), "text/plain");
	assert_string_equal(fields_get(&frame.fields, FIELD_SIZE, NULL), "");
	assert_null(fields_get(&frame.fields, FIELD_ETAG, NULL));
	assert_int_equal(frame.body_len, 5);
	assert_memory_equal(frame.body, "value", 5);
	frame_deinit(&frame);
	buf_deinit(&out);
}

static void a_frame_that_is_cut_asks_for_more(void **state)
{
	struct buf out = { 0 };
	struct frame frame;
	size_t used;

	(void)state;
	encode_request(&out);
	for (size_t len = 0; len < out.len; len++) {
		/* A copy of its own shows a read past the end to the sanitizer. */
		uint8_t *copy = malloc(len ? len : 1);

		memcpy(copy, out.data, len);
		assert_int_equal(frame_decode(copy, len, &frame, &used), 0);
		free(copy);
	}
	buf_deinit(&out);
}

static void lengths_over_their_bounds_are_refused_at_once(void **state)
{
	uint8_t data[4];
	struct frame frame;
	size_t used;

	(void)state;
	put_u32(data, FRAME_SIZE_MAX - 3);
	assert_int_equal(frame_decode(data, 4, &frame, &used), -EBADMSG);
	put_u32(data, UINT32_MAX);
	assert_int_equal(frame_decode(data, 4, &frame, &used), -EBADMSG);
	put_u32(data, FRAME_HEADER_SIZE - 5);
	assert_int_equal(frame_decode(data, 4, &frame, &used), -EBADMSG);
	put_u32(data, FRAME_SIZE_MAX - 4);
	assert_int_equal(frame_decode(data, 4, &frame, &used), 0);
}

/* Sets one byte or integer of a sound request and expects a refusal. */
static void refuse_with(size_t offset, size_t width, uint32_t value)
{
	struct buf out = { 0 };
	struct frame frame;
	size_t used;

	encode_request(&out);
	if (width == 1)
		out.data[offset] = (uint8_t)value;
	else if (width == 2)
		put_u16(out.data + offset, (uint16_t)value);
	else
		put_u32(out.data + offset, value);
	assert_int_equal(frame_decode(out.data, out.len, &frame, &used), -EBADMSG);
	buf_deinit(&out);
}

static void what_contradicts_itself_is_refused(void **state)
{
	(void)state;
	refuse_with(4, 1, 0); /* type */
	refuse_with(4, 1, 6);
	refuse_with(4, 1, FRAME_PING); /* with a target and a body */
	refuse_with(4, 1, FRAME_RESPONSE); /* with a target */
	refuse_with(5, 1, 0); /* a body without its flag */
	refuse_with(6, 1, 0); /* method */
	refuse_with(6, 1, METHOD_OTHER);
	refuse_with(7, 1, 3); /* one field more than there is */
	refuse_with(7, 1, 1); /* one less */
	refuse_with(16, 2, 0); /* no target */
	refuse_with(16, 2, 11); /* a target that reaches into the fields */
	refuse_with(16, 2, 0xffff);
	refuse_with(20, 4, 0); /* no room for the fields */
	refuse_with(20, 4, 0xffffffff);
	refuse_with(FRAME_HEADER_SIZE, 1, 'k'); /* not a path */
	refuse_with(FRAME_HEADER_SIZE + 1, 1, ' ');
	refuse_with(FRAME_HEADER_SIZE + 1, 1, 0);
	refuse_with(FRAME_HEADER_SIZE + 10, 1, 0); /* tag 0 */
	refuse_with(FRAME_HEADER_SIZE + 10, 1, FIELD_SIZE); /* the same tag twice */
	refuse_with(FRAME_HEADER_SIZE + 13, 1, '\n'); /* in a value */
}

static void a_field_of_a_newer_program_is_skipped(void **state)
{
	struct buf out = { 0 };
	struct frame frame;
	size_t used;

	(void)state;
	encode_request(&out);
	out.data[FRAME_HEADER_SIZE + 10] = 200;
	assert_int_equal(frame_decode(out.data, out.len, &frame, &used), 1);
	assert_null(fields_get(&frame.fields, FIELD_CONTENT_TYPE, NULL));
	assert_string_equal(fields_get(&frame.fields, FIELD_SIZE, NULL), "");
	frame_deinit(&frame);
	buf_deinit(&out);
}

static void what_is_too_large_is_not_encoded(void **state)
{
	static uint8_t body[FRAME_BODY_MAX + 1];
	static char target[FRAME_TARGET_MAX + 2];
	struct frame frame = { .type = FRAME_RESPONSE, .status = 200, .body = body };
	struct buf out = { 0 };

	(void)state;
	frame.body_len = FRAME_BODY_MAX + 1;
	assert_int_equal(frame_encode(&frame, &out), -EMSGSIZE);
	assert_int_equal(out.len, 0);
	frame.body_len = FRAME_BODY_MAX;
	assert_int_equal(frame_encode(&frame, &out), 0);
	buf_clear(&out);
	memset(target, '/', sizeof(target) - 1);
	frame = (struct frame){
		.type = FRAME_REQUEST,
		.method = METHOD_GET,
		.target = target,
		.target_len = FRAME_TARGET_MAX + 1,
	};
	assert_int_equal(frame_encode(&frame, &out), -EMSGSIZE);
	buf_deinit(&out);
}

static void random_bytes_never_do_harm(void **state)
{
	struct buf sound = { 0 };

	(void)state;
	srand(1);
	encode_request(&sound);
	for (int round = 0; round < 20000; round++) {
		size_t len = sound.len;
		uint8_t *copy = malloc(len);
		struct frame frame;
		size_t used;

		memcpy(copy, sound.data, len);
		for (int i = rand() % 4; i >= 0; i--)
			copy[4 + (size_t)rand() % (len - 4)] = (uint8_t)rand();
		if (frame_decode(copy, len, &frame, &used) == 1)
			frame_deinit(&frame);
		free(copy);
	}
	buf_deinit(&sound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_comes_back_as_it_was),
		cmocka_unit_test(a_frame_that_is_cut_asks_for_more),
		cmocka_unit_test(lengths_over_their_bounds_are_refused_at_once),
		cmocka_unit_test(what_contradicts_itself_is_refused),
		cmocka_unit_test(a_field_of_a_newer_program_is_skipped),
		cmocka_unit_test(what_is_too_large_is_not_encoded),
		cmocka_unit_test(random_bytes_never_do_harm),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}

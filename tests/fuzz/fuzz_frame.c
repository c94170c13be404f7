/* SPDX-License-Identifier: MIT */
/* Frames as a connection sees them: one after the other, the rest left for later. What decodes must
 * encode to a frame that decodes to the same. */
#include "lib/frame.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_same(const struct frame *frame)
{
	struct buf out = { 0 };
	struct frame again;
	size_t used;

	assert(frame_encode(frame, &out) == 0);
	assert(frame_decode(out.data, out.len, &again, &used) == 1);
	assert(used == out.len && again.type == frame->type && again.id == frame->id);
	assert(again.target_len == frame->target_len && again.body_len == frame->body_len);
	assert(!frame->body_len || memcmp(again.body, frame->body, frame->body_len) == 0);
	for (enum field field = 1; field < FIELD_COUNT; field++) {
		size_t a_len = 0, b_len = 0;
		const char *a = fields_get(&frame->fields, field, &a_len);
		const char *b = fields_get(&again.fields, field, &b_len);

		assert(!a == !b && a_len == b_len && (!a || memcmp(a, b, a_len) == 0));
	}
	frame_deinit(&again);
	buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	for (;;) {
		struct frame frame = { 0 };
		size_t used = 0;
		int r = frame_decode(data, len, &frame, &used);

		if (r != 1)
			return 0;
		assert(used > 0 && used <= len);
		check_same(&frame);
		frame_deinit(&frame);
		data += used;
		len -= used;
	}
}

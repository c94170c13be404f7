/* SPDX-License-Identifier: MIT */
/*
 * docs/PROTOCOL.md, "Frames", describes the bytes. Every length is checked against its bound before
 * anything is allocated or waited for, so a connection never buffers more than FRAME_SIZE_MAX for
 * one frame.
 */
#include "lib/frame.h"

#include "lib/bytes.h"

#include <errno.h>

/* The length field counts what follows it. */
#define LENGTH_SIZE 4

static size_t fields_size(const struct fields *fields, uint8_t *ret_count)
{
	enum field field = 0;
	size_t size = 0;
	uint8_t count = 0;

	while ((field = fields_next(fields, field)) < FIELD_COUNT) {
		size += 3 + (size_t)fields->len[field];
		count++;
	}
	*ret_count = count;
	return size;
}

static int append_fields(const struct fields *fields, struct buf *out)
{
	enum field field = 0;

	while ((field = fields_next(fields, field)) < FIELD_COUNT) {
		size_t len;
		const char *value = fields_get(fields, field, &len);
		int r;

		r = buf_append_u8(out, (uint8_t)field);
		if (r == 0)
			r = buf_append_u16(out, (uint16_t)len);
		if (r == 0)
			r = buf_append(out, value, len);
		if (r < 0)
			return r;
	}
	return 0;
}

int frame_encode(const struct frame *frame, struct buf *out)
{
	uint8_t header[FRAME_HEADER_SIZE] = { 0 };
	size_t start = out->len;
	uint8_t count;
	size_t fields_len = fields_size(&frame->fields, &count);
	size_t size = FRAME_HEADER_SIZE + frame->target_len + fields_len + frame->body_len;
	int r;

	if (frame->target_len > FRAME_TARGET_MAX || fields_len > FRAME_FIELDS_MAX ||
	    frame->body_len > FRAME_BODY_MAX)
		return -EMSGSIZE;
	put_u32(header, (uint32_t)(size - LENGTH_SIZE));
	header[4] = (uint8_t)frame->type;
	header[5] = frame->flags;
	header[6] = (uint8_t)frame->method;
	header[7] = count;
	put_u32(header + 8, frame->id);
	put_u32(header + 12, frame->type == FRAME_REQUEST ? frame->deadline_ms : frame->status);
	put_u16(header + 16, (uint16_t)frame->target_len);
	put_u32(header + 20, (uint32_t)fields_len);

	/* One growth for all: from here on nothing fails half way. */
	r = buf_reserve(out, size);
	if (r < 0)
		return r;
	r = buf_append(out, header, sizeof(header));
	if (r == 0 && frame->target_len)
		r = buf_append(out, frame->target, frame->target_len);
	if (r == 0)
		r = append_fields(&frame->fields, out);
	if (r == 0 && frame->body_len)
		r = buf_append(out, frame->body, frame->body_len);
	if (r < 0)
		out->len = start;
	return r;
}

static int decode_fields(struct bytes_reader *r, unsigned count, struct fields *ret_fields)
{
	while (count-- > 0) {
		unsigned tag = bytes_read_u8(r);
		uint16_t len = bytes_read_u16(r);
		const uint8_t *value = bytes_read(r, len);
		int error;

		if (!value || tag == 0)
			return -EBADMSG;
		/* A newer program may know more fields than this one. */
		if (tag >= FIELD_COUNT)
			continue;
		if (fields_get(ret_fields, tag, NULL))
			return -EBADMSG;
		error = fields_set(ret_fields, tag, (const char *)value, len);
		if (error < 0)
			return error == -ENOMEM ? error : -EBADMSG;
	}
	return bytes_left(r) == 0 ? 0 : -EBADMSG;
}

static bool target_is_sound(const struct frame *frame)
{
	if (frame->type != FRAME_REQUEST)
		return frame->target_len == 0;
	if (frame->target_len == 0 || frame->target[0] != '/')
		return false;
	for (size_t i = 0; i < frame->target_len; i++)
		if ((uint8_t)frame->target[i] <= ' ' || frame->target[i] == 0x7f)
			return false;
	return true;
}

static bool head_is_sound(const struct frame *frame, uint32_t value)
{
	switch (frame->type) {
	case FRAME_REQUEST:
		return frame->method >= METHOD_GET && frame->method <= METHOD_POST &&
		       (frame->body_len == 0 || (frame->flags & FRAME_FLAG_BODY));
	case FRAME_RESPONSE:
		return value >= 200 && value <= 599;
	case FRAME_CANCEL:
	case FRAME_PING:
	case FRAME_PONG:
	case FRAME_GOODBYE:
		return frame->body_len == 0;
	}
	return false;
}

static int decode_frame(struct bytes_reader *r, struct frame *ret_frame)
{
	struct frame frame = { 0 };
	uint8_t count;
	uint32_t value, fields_len;
	struct bytes_reader fields;
	int error;

	frame.type = bytes_read_u8(r);
	frame.flags = bytes_read_u8(r);
	frame.method = bytes_read_u8(r);
	count = bytes_read_u8(r);
	frame.id = bytes_read_u32(r);
	value = bytes_read_u32(r);
	frame.target_len = bytes_read_u16(r);
	bytes_read_u16(r);
	fields_len = bytes_read_u32(r);
	if (r->bad || frame.target_len > FRAME_TARGET_MAX || fields_len > FRAME_FIELDS_MAX)
		return -EBADMSG;
	frame.target = (const char *)bytes_read(r, frame.target_len);
	fields.at = bytes_read(r, fields_len);
	if (r->bad || bytes_left(r) > FRAME_BODY_MAX)
		return -EBADMSG;
	fields = bytes_reader(fields.at, fields_len);
	frame.body_len = bytes_left(r);
	frame.body = r->at;
	if (!head_is_sound(&frame, value) || !target_is_sound(&frame))
		return -EBADMSG;
	if (frame.type == FRAME_REQUEST)
		frame.deadline_ms = value;
	else
		frame.status = (uint16_t)value;
	error = decode_fields(&fields, count, &frame.fields);
	if (error < 0) {
		frame_deinit(&frame);
		return error;
	}
	*ret_frame = frame;
	return 0;
}

int frame_decode(const uint8_t *data, size_t len, struct frame *ret_frame, size_t *ret_consumed)
{
	struct bytes_reader r;
	uint32_t size;
	int error;

	if (len < LENGTH_SIZE)
		return 0;
	size = get_u32(data);
	if (size < FRAME_HEADER_SIZE - LENGTH_SIZE || size > FRAME_SIZE_MAX - LENGTH_SIZE)
		return -EBADMSG;
	if (len - LENGTH_SIZE < size)
		return 0;
	r = bytes_reader(data + LENGTH_SIZE, size);
	error = decode_frame(&r, ret_frame);
	if (error < 0)
		return error;
	*ret_consumed = LENGTH_SIZE + (size_t)size;
	return 1;
}

void frame_deinit(struct frame *frame)
{
	fields_deinit(&frame->fields);
	*frame = (struct frame){ 0 };
}

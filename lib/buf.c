/* SPDX-License-Identifier: MIT */
#include "lib/buf.h"

#include "lib/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_CAP_MIN 64

static int grow(struct buf *buf, size_t cap)
{
	uint8_t *data = realloc(buf->data, cap);

	if (!data)
		return -ENOMEM;
	buf->data = data;
	buf->cap = cap;
	return 0;
}

int buf_reserve(struct buf *buf, size_t more)
{
	size_t cap = buf->cap ? buf->cap : BUF_CAP_MIN;
	size_t need;

	if (__builtin_add_overflow(buf->len, more, &need) || need > SIZE_MAX / 2)
		return -ENOMEM;
	if (need <= buf->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	return grow(buf, cap);
}

int buf_reserve_exact(struct buf *buf, size_t more)
{
	size_t need;

	if (__builtin_add_overflow(buf->len, more, &need) || need > SIZE_MAX / 2)
		return -ENOMEM;
	return need <= buf->cap ? 0 : grow(buf, need);
}

int buf_append(struct buf *buf, const void *data, size_t len)
{
	if (len == 0)
		return 0;
	if (buf_reserve(buf, len) < 0)
		return -ENOMEM;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return 0;
}

int buf_append_str(struct buf *buf, const char *str)
{
	return buf_append(buf, str, strlen(str));
}

int buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	size_t room = buf->cap - buf->len;
	int len;

	va_start(args, format);
	len = vsnprintf(buf->data ? (char *)buf->data + buf->len : NULL, room, format, args);
	va_end(args);
	if (len < 0)
		return -ENOMEM;
	if ((size_t)len >= room) {
		/* vsnprintf() wants room for its NUL too. */
		if (buf_reserve(buf, (size_t)len + 1) < 0)
			return -ENOMEM;
		va_start(args, format);
		vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, args);
		va_end(args);
	}
	buf->len += (size_t)len;
	return 0;
}

int buf_append_u8(struct buf *buf, uint8_t value)
{
	return buf_append(buf, &value, sizeof(value));
}

int buf_append_u16(struct buf *buf, uint16_t value)
{
	uint8_t bytes[2];

	put_u16(bytes, value);
	return buf_append(buf, bytes, sizeof(bytes));
}

int buf_append_u32(struct buf *buf, uint32_t value)
{
	uint8_t bytes[4];

	put_u32(bytes, value);
	return buf_append(buf, bytes, sizeof(bytes));
}

int buf_append_u64(struct buf *buf, uint64_t value)
{
	uint8_t bytes[8];

	put_u64(bytes, value);
	return buf_append(buf, bytes, sizeof(bytes));
}

void buf_consume(struct buf *buf, size_t len)
{
	if (len >= buf->len) {
		buf->len = 0;
		return;
	}
	if (len == 0)
		return;
	memmove(buf->data, buf->data + len, buf->len - len);
	buf->len -= len;
}

void buf_clear(struct buf *buf)
{
	buf->len = 0;
}

struct buf buf_take(struct buf *buf)
{
	struct buf taken = *buf;

	*buf = (struct buf){ 0 };
	return taken;
}

void buf_deinit(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){ 0 };
}

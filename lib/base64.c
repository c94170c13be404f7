/* SPDX-License-Identifier: MIT */
#include "lib/base64.h"

#include <errno.h>
#include <stdbool.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(const void *data, size_t len, struct buf *out)
{
	const uint8_t *at = data;
	uint8_t *to;

	if (len == 0)
		return 0;
	if (len > SIZE_MAX / 4 || buf_reserve(out, (len + 2) / 3 * 4) < 0)
		return -ENOMEM;
	to = out->data + out->len;
	for (; len >= 3; len -= 3, at += 3) {
		uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];

		*to++ = (uint8_t)alphabet[bits >> 18];
		*to++ = (uint8_t)alphabet[bits >> 12 & 63];
		*to++ = (uint8_t)alphabet[bits >> 6 & 63];
		*to++ = (uint8_t)alphabet[bits & 63];
	}
	if (len > 0) {
		uint32_t bits = (uint32_t)at[0] << 16 | (len == 2 ? (uint32_t)at[1] << 8 : 0);

		*to++ = (uint8_t)alphabet[bits >> 18];
		*to++ = (uint8_t)alphabet[bits >> 12 & 63];
		*to++ = len == 2 ? (uint8_t)alphabet[bits >> 6 & 63] : '=';
		*to++ = '=';
	}
	out->len = (size_t)(to - out->data);
	return 0;
}

/* 0 to 63, or 64 for what is not in the alphabet. */
static uint32_t digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint32_t)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint32_t)(c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint32_t)(c - '0' + 52);
	if (c == '+')
		return 62;
	return c == '/' ? 63 : 64;
}

/* @digits of the four are not padding. */
static bool decode_group(const char *text, unsigned digits, uint32_t *ret_bits)
{
	uint32_t bits = 0;

	for (unsigned i = 0; i < 4; i++) {
		uint32_t value = i < digits ? digit_value(text[i]) : 0;

		if (value > 63)
			return false;
		bits = bits << 6 | value;
	}
	*ret_bits = bits;
	return true;
}

int base64_decode(const char *text, size_t len, struct buf *out)
{
	size_t start = out->len;

	if (len % 4 != 0)
		return -EINVAL;
	if (buf_reserve(out, len / 4 * 3) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < len; i += 4) {
		bool last = i + 4 == len;
		unsigned digits = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 3) : 4;
		uint32_t bits;

		if (!decode_group(text + i, digits, &bits) ||
		    (digits < 4 && (bits & ((1u << (8 * (4 - digits))) - 1)) != 0)) {
			out->len = start;
			return -EINVAL;
		}
		out->data[out->len++] = (uint8_t)(bits >> 16);
		if (digits > 2)
			out->data[out->len++] = (uint8_t)(bits >> 8 & 0xff);
		if (digits > 3)
			out->data[out->len++] = (uint8_t)(bits & 0xff);
	}
	return 0;
}

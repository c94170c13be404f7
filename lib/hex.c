/* SPDX-License-Identifier: MIT */
#include "lib/hex.h"

#include <errno.h>
#include <stdint.h>

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void hex_encode(const void *data, size_t len, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*ret_text++ = digits[bytes[i] >> 4];
		*ret_text++ = digits[bytes[i] & 0xf];
	}
	*ret_text = '\0';
}

bool hex_is_valid(const char *text, size_t len)
{
	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (digit_value(text[i]) < 0)
			return false;
	}
	return true;
}

int hex_decode(const char *text, size_t len, void *ret_data)
{
	uint8_t *bytes = ret_data;

	if (!hex_is_valid(text, len))
		return -EINVAL;
	for (size_t i = 0; i < len; i += 2)
		*bytes++ = (uint8_t)(digit_value(text[i]) << 4 | digit_value(text[i + 1]));
	return 0;
}

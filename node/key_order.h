/* SPDX-License-Identifier: MIT */
/* The order of keys given as bytes: memcmp, the shorter first when one is a prefix. */
#pragma once

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline int key_order(const void *a, size_t a_len, const void *b, size_t b_len)
{
	size_t len = a_len < b_len ? a_len : b_len;
	int order = len > 0 ? memcmp(a, b, len) : 0;

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* The first 8 bytes as a number, padded with zeros: where two differ, the keys are in their order.
 */
static inline uint64_t key_prefix(const void *key, size_t len)
{
	uint64_t prefix = 0;

	if (len > 0)
		memcpy(&prefix, key, len < sizeof(prefix) ? len : sizeof(prefix));
	return be64toh(prefix);
}

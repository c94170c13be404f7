/* SPDX-License-Identifier: MIT */
/* UTF-8 validity (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Incremental: zero-initialise, feed pieces, ask at the end. A NUL byte is valid UTF-8. */
struct utf8 {
	uint8_t state;
	bool invalid;
};

void utf8_feed(struct utf8 *utf8, const void *data, size_t len);
/* True if all that was fed is valid and does not stop inside a character. */
bool utf8_complete(const struct utf8 *utf8);
bool utf8_is_valid(const void *data, size_t len);

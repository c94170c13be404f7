/* SPDX-License-Identifier: MIT */
/* Base64 of RFC 4648 section 4: the standard alphabet, padded, without line breaks. */
#pragma once

#include "lib/buf.h"

/* Appends the text. 0 or -ENOMEM. */
int base64_encode(const void *data, size_t len, struct buf *out);
/* Appends the bytes. Strict: nothing but the alphabet, the padding that is due, and zero bits
 * behind the last byte. 0, -ENOMEM, or -EINVAL with @out unchanged. */
int base64_decode(const char *text, size_t len, struct buf *out);

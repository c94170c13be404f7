/* SPDX-License-Identifier: MIT */
/* Hexadecimal text. Encoding is lower case; decoding takes either case. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Writes 2 * len digits and a NUL. */
void hex_encode(const void *data, size_t len, char *ret_text);
/* Even length (0 included) and hex digits only. */
bool hex_is_valid(const char *text, size_t len);
/* Decodes len / 2 bytes. 0, or -EINVAL if the text is not valid. */
int hex_decode(const char *text, size_t len, void *ret_data);

/* SPDX-License-Identifier: MIT */
/* The body of POST /: which key it names. */
#pragma once

#include "lib/record.h"

enum key_form { KEY_FORM_ANY, KEY_FORM_HEX, KEY_FORM_RAW };

/* "hex" or "raw", the value of ?key=. 0 or -EINVAL. */
int key_form_parse(const char *text, enum key_form *ret_form);
/* KEY_FORM_ANY: what reads as hex (even length, hex digits only) is hex, anything else the key's
 * raw bytes. 0, or -EINVAL with a sentence in @ret_why (static). */
int json_key_read(const void *body, size_t len, enum key_form form, struct key *ret_key,
		  const char **ret_why);

/* SPDX-License-Identifier: MIT */
#include "router/json_key.h"

#include "lib/hex.h"

#include <errno.h>
#include <string.h>

int key_form_parse(const char *text, enum key_form *ret_form)
{
	if (strcmp(text, "hex") == 0)
		*ret_form = KEY_FORM_HEX;
	else if (strcmp(text, "raw") == 0)
		*ret_form = KEY_FORM_RAW;
	else
		return -EINVAL;
	return 0;
}

int json_key_read(const void *body, size_t len, enum key_form form, struct key *ret_key,
		  const char **ret_why)
{
	if (len == 0) {
		*ret_why = "the body is empty; send the key, in hex or as its raw bytes";
		return -EINVAL;
	}
	if (form == KEY_FORM_ANY)
		form = hex_is_valid(body, len) ? KEY_FORM_HEX : KEY_FORM_RAW;
	if (form == KEY_FORM_HEX && !hex_is_valid(body, len)) {
		*ret_why = "the body is not a key in hex; send pairs of hex digits and nothing "
			   "else, or use ?key=raw";
		return -EINVAL;
	}
	if (form == KEY_FORM_HEX && key_from_hex(body, len, ret_key) == 0)
		return 0;
	if (form == KEY_FORM_RAW && key_from_bytes(body, len, ret_key) == 0)
		return 0;
	*ret_why = "the key is too long; a key has 1 to 127 bytes";
	return -EINVAL;
}

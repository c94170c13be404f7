/* SPDX-License-Identifier: MIT */
#include "lib/target.h"

#include "lib/hex.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

int percent_decode(const char *text, size_t len, char *ret_text, size_t size)
{
	size_t n = 0;

	if (size == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			if (len - i < 3 || hex_decode(text + i + 1, 2, &c) < 0)
				return -EINVAL;
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return -EINVAL;
		ret_text[n++] = c;
	}
	ret_text[n] = '\0';
	return (int)n;
}

int target_parse(const char *target, char *ret_path, const char **ret_query)
{
	size_t path_len;

	ret_path[0] = '\0';
	/* A request to a proxy names the host as well (RFC 9112, 3.2.2). */
	if (strncasecmp(target, "http://", 7) == 0) {
		target += 7;
		target += strcspn(target, "/?");
		if (*target != '/') {
			*ret_query = *target ? target + 1 : target;
			memcpy(ret_path, "/", 2);
			return 0;
		}
	}
	path_len = strcspn(target, "?");
	*ret_query = target[path_len] == '?' ? target + path_len + 1 : "";
	if (target[0] != '/' && strcmp(target, "*") != 0)
		return -EINVAL;
	if (percent_decode(target, path_len, ret_path, path_len + 1) >= 0)
		return 0;
	ret_path[0] = '\0';
	return -EINVAL;
}

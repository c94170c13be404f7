/* SPDX-License-Identifier: MIT */
#include "router/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The unreserved characters of RFC 3986, 2.3. */
static bool is_plain(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

int cursor_set_node(struct cursor *cursor, const char *node)
{
	size_t len = strlen(node);

	if (len > CURSOR_NODE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (!is_plain(node[i]))
			return -EINVAL;
	}
	memcpy(cursor->node, node, len + 1);
	return 0;
}

int cursor_parse(const char *text, unsigned shard_count, struct cursor *ret_cursor)
{
	const char *at = text;
	uint64_t shard = 0;

	while (is_digit(*at) && at - text < 8)
		shard = shard * 10 + (uint64_t)(*at++ - '0');
	/* One way to write a number only: no empty one, no leading zeros. */
	if (at == text || (text[0] == '0' && at - text > 1))
		return -EINVAL;
	if (*at != '.' || shard >= shard_count)
		return -EINVAL;
	ret_cursor->shard = (unsigned)shard;
	return cursor_set_node(ret_cursor, at + 1);
}

void cursor_print(const struct cursor *cursor, char ret_text[CURSOR_TEXT_MAX + 1])
{
	snprintf(ret_text, CURSOR_TEXT_MAX + 1, "%u.%s", cursor->shard, cursor->node);
}

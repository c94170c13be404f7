/* SPDX-License-Identifier: MIT */
/*
 * Where a listing over all shards goes on: a shard, in file order, and that shard's own cursor
 * (empty at its beginning). As text "SHARD.CURSOR", opaque to clients.
 */
#pragma once

#include "lib/record.h"

#define CURSOR_NODE_MAX 300
#define CURSOR_TEXT_MAX (CURSOR_NODE_MAX + 12)

struct cursor {
	unsigned shard;
	char node[CURSOR_NODE_MAX + 1]; /* URL-safe characters only */
};

/* 0, or -EINVAL for anything but what cursor_print() writes for @shard_count shards. */
int cursor_parse(const char *text, unsigned shard_count, struct cursor *ret_cursor);
void cursor_print(const struct cursor *cursor, char ret_text[CURSOR_TEXT_MAX + 1]);
/* Takes over a node's cursor. -EINVAL if it is too long or has characters that a URL escapes. */
int cursor_set_node(struct cursor *cursor, const char *node);

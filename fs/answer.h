/* SPDX-License-Identifier: MIT */
/* What a router or a node says in JSON, read: whatever it is that answers at the mount's URL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct space_figures {
	uint64_t free_bytes;
	uint64_t total_bytes;
	uint64_t records;
};

/* An answer to GET /status: the router tells the sum over all shards, a node its own store. 0 or
 * -EIO. */
int answer_figures(const void *text, size_t len, struct space_figures *ret_figures);
/* Whether the answer to a write says that it changed nothing, with a problem or by its status. */
bool answer_says_not_applied(const void *problem, size_t len, unsigned status);

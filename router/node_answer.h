/* SPDX-License-Identifier: MIT */
/* What nodes say of themselves, in JSON, read: whatever it is that answers at a node's address. */
#pragma once

#include "router/leaders.h"

#include <jansson.h>

/* An answer to GET /role. 0 or -EBADMSG. */
int node_answer_role(const void *text, size_t len, struct leaders_role *ret_role);

struct totals {
	uint64_t free_bytes, total_bytes, entries;
	const char **file_systems; /* counted already; borrowed from the nodes' answers; room for
				      one of each node */
	unsigned file_system_count;
};

/* Adds an answer to GET /status. */
void node_answer_add_totals(struct totals *totals, const json_t *node);

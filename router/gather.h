/* SPDX-License-Identifier: MIT */
/*
 * A request to a node whose answer is collected whole before anybody looks at it: metadata, pages
 * of names, and values that the JSON door holds in memory anyway.
 *
 * Ownership: embedded in its user, in place from gather_start() to done() or gather_deinit().
 * Threads: the worker's.
 */
#pragma once

#include "router/hop.h"

struct gather {
	struct hop hop;
	size_t body_max;
	/* Before that many bytes of the answer are taken into memory; false refuses it. May be
	 * NULL. */
	bool (*admit)(struct gather *, size_t bytes);
	/* A streamed upload, as in lib/call.h; NULL if there is none. */
	ssize_t (*upload)(struct gather *, void *data, size_t len);
	/* OUTCOME_OK: status, fields and body are here. TOO_LARGE: the body is over body_max;
	 * TOO_MANY_REQUESTS: admit() refused it. Otherwise as in lib/call.h. */
	void (*done)(struct gather *, enum outcome result);
	void *state; /* the caller's */

	unsigned status;
	struct fields fields;
	struct buf body;
	uint64_t length; /* of the body as announced */
};

void gather_init(struct gather *gather, struct service *service, unsigned shard,
		 enum method method);
/* Of this node and no other. */
void gather_init_node(struct gather *gather, struct service *service,
		      const struct cluster_node *node, enum method method);
/* -ENOMEM, or 0 and done() will come. */
int gather_start(struct gather *gather);
/* Cancels what is under way. */
void gather_deinit(struct gather *gather);

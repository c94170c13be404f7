/* SPDX-License-Identifier: MIT */
/*
 * A write on its way through the store, and the answer to it.
 *
 * Ownership: embedded first in what a handler allocates. Until object_write_submit() the exchange
 * owns it (through ex->state); from then on it owns itself, outlives a client that goes away, and
 * is given to free() after the answer. Threads: the worker's; only the store's done() is called in
 * the commit thread, and it does no more than post to the loop.
 */
#pragma once

#include "lib/object.h"
#include "node/request.h"

struct object_write {
	struct request request;
	struct store_write write;
	struct loop_task committed;
	void (*free)(struct object_write *);
};

void object_write_init(struct object_write *op, const struct request *request, enum write_kind kind,
		       const struct key *key, const struct object_request *wanted,
		       void (*free)(struct object_write *));
void object_write_submit(struct object_write *op);

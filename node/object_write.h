/* SPDX-License-Identifier: MIT */
/*
 * A write on its way through the store, and the answer to it.
 *
 * Ownership: embedded first in what a handler allocates. Until object_write_submit() the exchange
 * owns it (through ex->state); from then on it owns itself, outlives a client that goes away, and
 * is given to free() after the answer. Threads: the worker's; the store's done() and that of the
 * wait are called in other threads, and do no more than post to the loop.
 */
#pragma once

#include "lib/object.h"
#include "node/acks.h"
#include "node/request.h"

struct object_write {
	struct request request;
	struct store_write write;
	struct loop_task committed;
	/* Once it is committed here, until enough followers have it. */
	struct ack_wait wait;
	enum acks_result held;
	struct loop_task acknowledged;
	struct loop_timer deadline;
	void (*free)(struct object_write *);
};

void object_write_init(struct object_write *op, const struct request *request, enum write_kind kind,
		       const struct key *key, const struct object_request *wanted,
		       void (*free)(struct object_write *));
void object_write_submit(struct object_write *op);

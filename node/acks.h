/* SPDX-License-Identifier: MIT */
/*
 * Writes that wait until other nodes of the shard have them on stable storage.
 *
 * The replication core brings the news: acks_lead() when this node begins to lead, acks_passed()
 * when a follower's pull shows how far it is, acks_stop() when the node leads no longer. A write
 * waits for a point: the epoch in which it was committed here, and the sequence that a follower
 * must have passed. Between two epochs nothing can be said of a write that waited: it is lost from
 * sight, though it may be everywhere.
 *
 * Ownership: a wait is embedded in its user and stays in place until it is over. Threads:
 * everything from any thread.
 */
#pragma once

#include "lib/ack.h"
#include "lib/record.h"

#include <stdbool.h>

struct acks;

enum acks_result {
	ACKS_HELD, /* enough nodes have it */
	ACKS_LOST, /* nobody can tell any more: the node does not lead in that epoch */
	ACKS_WAITING,
};

struct ack_wait {
	struct version point;
	unsigned followers; /* that must have passed it; acks_followers() */
	/* Once, unless the wait is cancelled: with ACKS_HELD or ACKS_LOST. In the thread that
	 * brought the news, never from inside acks_wait(): must not block. */
	void (*done)(struct ack_wait *, enum acks_result);
	struct ack_wait *older, *newer; /* of the acks */
	bool waiting; /* of the acks */
};

/* How many followers must have a write besides the leader, in a shard of @nodes. */
unsigned acks_followers(enum ack ack, unsigned nodes);

/* @nodes of the shard, this one included. NULL if memory is out. */
struct acks *acks_new(unsigned nodes);
/* Nobody may wait. */
struct acks *acks_free(struct acks *acks);

/* Only ACKS_WAITING has done() called. */
enum acks_result acks_wait(struct acks *acks, struct ack_wait *wait);
/* True: it waits no longer, done() will not be called. False: done() was called, or will be at
 * once. */
bool acks_cancel(struct acks *acks, struct ack_wait *wait);
/* How many wait. */
unsigned acks_waiting(struct acks *acks);
/* How many have waited so far. */
uint64_t acks_waited(struct acks *acks);

/* The node leads in @epoch; no follower has passed anything yet. What still waits is lost. */
void acks_lead(struct acks *acks, uint64_t epoch);
/* The follower at @node (its place in the shard) has everything up to @sequence of the leader's log
 * of @epoch on stable storage. */
void acks_passed(struct acks *acks, unsigned node, uint64_t epoch, uint64_t sequence);
/* The node does not lead, or goes down. */
void acks_stop(struct acks *acks);

/* SPDX-License-Identifier: MIT */
/*
 * What a follower is given: entries of its leader, to be logged and applied as they are, and the
 * steps that mend a history that has diverged. One writer of log and tree as ever: batches go
 * through the commit thread, in the order in which they were given, after the writes that wait.
 */
#pragma once

#include "node/entry.h"
#include "node/store.h"

enum store_batch_kind {
	/* What follows the log's end: entry i has version (epoch, first_sequence + i). All these
	 * versions must be in the history. */
	BATCH_REPLICATED,
	/* Entries with versions of their own; the log's end stays. */
	BATCH_REPAIR,
	/* No entries. The log's end becomes (epoch, first_sequence), a version of the history at or
	 * before the end. Then the history is cut there, and request ids of later versions are
	 * forgotten. {0, 0}: the very beginning. */
	BATCH_RESET,
};

/*
 * Becomes one log record. Belongs to the store until done(). Keys, labels and values that the
 * entries point to, and references to the value files that they name, are the caller's; positions
 * are given by the store.
 *
 * result: 0: logged, on stable storage and applied. -EINVAL: versions or count are wrong; -EFBIG:
 * more than WAL_RECORD_BYTES_MAX; -ESTALE: it does not continue this store's log; -EPERM: this node
 * does not follow; -ESHUTDOWN: the store is closing; else why the disk or memory refused it
 * (-ENOSPC: half of what was set aside is used to come to deletes). After a failure the end of the
 * log says whether it is in there all the same (it is applied before anything that comes later
 * then), or must be given again.
 */
struct store_batch {
	enum store_batch_kind kind;
	struct entry *entries;
	size_t count;
	uint64_t epoch, first_sequence;
	int64_t time_ns; /* of the leader's record */

	int result;
	void (*done)(struct store_batch *); /* in the commit thread: must not block */
	void *state; /* the caller's */
	struct store_batch *next; /* the store's */
};

void store_apply_batch(struct store *store, struct store_batch *batch);

/* @synced is called whenever more of the log is on stable storage, by whatever thread has synced
 * it, under a lock: it must not block and not call the store. Meanwhile writes of durability
 * `memory` are synced sooner. NULL: no more, once this returns. */
void store_on_synced(struct store *store, void (*synced)(void *state), void *state);
/* Without threads: does what time brings. */
void store_tick(struct store *store);

/* SPDX-License-Identifier: MIT */
/* What commit.c and commit_room.c share. Threads: the commit thread, unless a field says else.
 * Lock order: commit.c. */
#pragma once

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/commit.h"
#include "node/group.h"

#include <errno.h>

#define COMMIT_RETRY_MS  1000
#define COMMIT_LET_GO_MS 10000 /* between attempts to free a few dead bytes */

struct commit {
	/* immutable after commit_new() */
	struct commit_options options;
	pthread_t thread;

	/* owned by the commit thread */
	struct group group;
	struct version next;
	uint64_t next_position;
	uint64_t sync_at_ms; /* unsynced memory writes are synced then; 0: there are none */
	uint64_t retry_at_ms; /* next attempt to reopen the log, apply, or find room */
	uint64_t dead_bytes; /* of value files that died since commit_let_go() */
	uint64_t dead_inline_bytes; /* of other values that were replaced or deleted */
	uint64_t let_go_at_ms; /* next commit_let_go(); 0: nothing is dead */
	uint64_t trim_at_ms; /* what commit_let_go() left in the log has its age then; 0: nothing */
	uint64_t left_at_ms; /* last commit_let_go() that left something there */
	uint64_t pressed_until_ms; /* room was short lately */
	struct buf unapplied; /* in the log, not in the tree: entries, encoded */
	bool full;
	int log_error; /* why the log could not be reopened; 0: it is good */

	struct mutex wal_lock; /* appends, syncs and reopens */
	_Atomic bool wants_reopen; /* the flush thread found the log broken */
	_Atomic bool wants_room;

	struct mutex lock;
	struct condition work;
	/* protected by lock */
	struct store_write *head, **tail;
	bool closing, stopped, busy;
	struct buf doubtful; /* ids of a failed group that a crash brings back, perhaps, until the
				log is reopened */
	struct commit_stats stats;
};

static inline uint64_t commit_now_ms(const struct commit *commit)
{
	if (commit->options.threads)
		return clock_monotonic_ms();
	return (uint64_t)(commit->options.realtime_ns() / 1000000);
}

static inline bool commit_is_no_room(int r)
{
	return r == -ENOSPC || r == -EDQUOT;
}

/* From now on puts are refused for lack of space, or no more. */
void commit_set_full(struct commit *commit, bool full);
/* Whether what is dead would give as much room as there is. */
bool commit_room_is_short(struct commit *commit);
/* Room is short, or was lately. */
bool commit_is_pressed(const struct commit *commit);
void commit_press(struct commit *commit);
bool commit_has_dead(const struct commit *commit);
/* What the group replaced or deleted is dead. */
void commit_note_dead(struct commit *commit);
/* Log and tree let go of dead value files: a new log file, so that the others can be trimmed, then
 * a flush, behind which they are, and merges. Nothing here waits for those. */
void commit_let_go(struct commit *commit);
/* What was dead long enough is freed, unless that costs too much. */
void commit_tidy_up(struct commit *commit, uint64_t now);
/* Finds out whether the disk is full, or is no more, and frees what can be. */
void commit_look_for_room(struct commit *commit);

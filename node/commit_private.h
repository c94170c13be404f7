/* SPDX-License-Identifier: MIT */
/* What node/commit*.c share. Threads: who has the turn, unless a field says else.
 * Lock order: commit.c. */
#pragma once

#include "lib/buf.h"
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/commit.h"
#include "node/group.h"

#include <errno.h>

#define COMMIT_RETRY_MS  1000
#define COLD_THREADS     4
#define COLD_BUCKETS     16384
#define COMMIT_LET_GO_MS 10000 /* between attempts to free a few dead bytes */

struct commit_call {
	commit_task_fn task;
	void *state;
	int result;
	bool done;
	struct commit_call *next;
};

/* Writes that were set aside (node/commit_cold.c). */
struct cold {
	/* owned by who has the turn */
	uint64_t aside; /* so many */
	uint32_t keys[COLD_BUCKETS]; /* and of which keys, by hash */

	pthread_t threads[COLD_THREADS];
	unsigned thread_count;

	/* protected by the commit's lock */
	struct condition work;
	struct store_write *head, **tail;
	struct store_write *unread; /* the first that no thread has begun to read for */
	bool stopping;
};

struct commit {
	/* immutable after commit_new() */
	struct commit_options options;
	pthread_t thread;

	/* owned by who has the turn */
	struct group group;
	struct version next;
	uint64_t next_position;
	uint64_t leads; /* the store began to lead so often */
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
	uint64_t returning; /* so many writes were answered together, after a sync */
	int log_error; /* why the log could not be reopened; 0: it is good */
	bool reset_pending; /* history and request ids are still to be cut at reset_point */
	struct version reset_point;

	struct cold cold;

	struct mutex wal_lock; /* appends and reopens */
	struct condition sync_work, sync_ended;
	/* protected by wal_lock */
	bool syncing; /* the log, outside wal_lock */
	bool sync_wanted, sync_stops;
	bool sync_thread_runs; /* the starter's */
	pthread_t sync_thread;

	_Atomic bool wants_reopen; /* the log was found broken; set and cleared under wal_lock */
	_Atomic bool wants_room;
	_Atomic bool eager; /* somebody waits for what is synced */

	struct mutex lock;
	struct condition work, called;
	/* protected by lock */
	struct store_write *head, **tail;
	_Atomic uint64_t waiting; /* so many are in the list of head */
	struct store_batch *batches, **batch_tail;
	struct wal_mark told; /* what options.synced() was called for */
	bool closing, stopped, busy;
	/* Who commits has the turn, and with it what the commit thread owns: that thread, or one
	 * that waits for its own write (node/commit_here.c). */
	bool taken;
	pthread_t taker;
	bool wants_turn; /* the commit thread waits for it */
	uint64_t wakes_at_ms; /* when that comes back by itself; 0: never */
	enum store_role role;
	struct store_pause *pause; /* to be told */
	struct commit_call *calls;
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

/* The log is written again as far as the tree knows it. */
int commit_reopen(struct commit *commit);
/* 0: the next record may be written. */
int commit_make_ready(struct commit *commit);
void commit_refuse(struct commit *commit, struct store_write *writes, enum outcome outcome);
/* node/commit_sync.c */
/* Who waits for what is on stable storage hears of it. From any thread, without locks. */
void commit_tell_synced(struct commit *commit);
/* wal_append() */
int commit_append_locked(struct commit *commit, const struct wal_record *record)
	REQUIRES(&commit->wal_lock);
/* wal_sync(), which lets go of wal_lock meanwhile. */
int commit_sync_locked(struct commit *commit) REQUIRES(&commit->wal_lock);
/* Before the log goes on in a new file. */
void commit_wait_for_sync(struct commit *commit) REQUIRES(&commit->wal_lock);
/* Soon the log is synced by a thread of its own. */
void commit_want_sync(struct commit *commit);
void commit_want_sync_locked(struct commit *commit) REQUIRES(&commit->wal_lock);
int commit_sync_start(struct commit *commit);
/* NULL-safe as to the thread; what was wanted is done first. */
void commit_sync_stop(struct commit *commit);
/* @entries were logged since the last call. */
void commit_note_stats(struct commit *commit, size_t entries);
/* Comes after the answers. @died: what was committed has left dead value files. */
void commit_after_group(struct commit *commit, bool died);
/* Without threads: does what waits. */
void commit_run_inline(struct commit *commit);
/* In the submitter's thread, so that the commit thread doesn't have to. Returns the last one. */
struct store_write *commit_prepare(struct store_write *writes);
/* A prepared chain from @writes to @last. */
void commit_queue(struct commit *commit, struct store_write *writes, struct store_write *last);
/* Commits the first group of *list, answers it, and moves *list behind it. False: nothing can be
 * committed, all of *list was refused. */
bool commit_some(struct commit *commit, struct store_write **list);
/* When there is something to do though no write comes; 0: never. */
uint64_t commit_next_tick(const struct commit *commit);
void commit_take_turn(struct commit *commit) REQUIRES(&commit->lock);
void commit_end_turn(struct commit *commit) REQUIRES(&commit->lock);

/* node/commit_cold.c */
int commit_cold_init(struct commit *commit);
/* None is aside any more. Again does nothing. */
void commit_cold_stop(struct commit *commit);
void commit_cold_deinit(struct commit *commit);
/* Whether @write must not overtake one that is aside, or may seem so. */
bool commit_is_behind_cold(struct commit *commit, const struct store_write *write);
void commit_set_aside(struct commit *commit, struct store_write *write);
/* From now on it counts as one that came back. */
void commit_mark_back(const struct commit *commit, struct store_write *write);
/* There are some for commit_take_cold(). */
bool commit_cold_is_back(const struct commit *commit) REQUIRES(&commit->lock);
/* Those that come back, and behind them @rest. */
struct store_write *commit_take_cold(struct commit *commit, struct store_write *rest)
	REQUIRES(&commit->lock);
/* Those of *list that were set aside before the store led as it does now. */
void commit_refuse_stale(struct commit *commit, struct store_write **list);
/* Of a list that can't be committed now those that came back are as if they had not. Returns the
 * others. */
struct store_write *commit_keep_cold(struct commit *commit, struct store_write *list)
	REQUIRES(&commit->lock);

/* node/commit_role.c: what waits for the commit thread besides writes and batches. */
bool commit_role_has_work(const struct commit *commit) REQUIRES(&commit->lock);
void commit_role_work(struct commit *commit);
/* Whether the rest of a list, what is left of it, may be committed. If not it has been refused, or
 * waits again. */
bool commit_may_write(struct commit *commit, struct store_write **list);

/* node/commit_replica.c */
void commit_run_batches(struct commit *commit, struct store_batch *list);
/* A reset is on stable storage: history and ids follow. Again does nothing. */
int commit_finish_reset(struct commit *commit);

/* From now on puts are refused for lack of space, or no more. */
void commit_set_full(struct commit *commit, bool full);
/* Of the file system; UINT64_MAX if it does not tell. */
uint64_t commit_space_free(struct commit *commit);
/* Whether what is dead would give as much room as there is. */
bool commit_room_is_short(struct commit *commit);
/* Room is short, or was lately. */
bool commit_is_pressed(const struct commit *commit);
void commit_press(struct commit *commit);
bool commit_has_dead(const struct commit *commit);
/* What the last record replaced or deleted is dead. */
void commit_note_dead(struct commit *commit, const struct dead_values *dead);
/* Log and tree let go of dead value files: a new log file, so that the others can be trimmed, then
 * a flush, behind which they are, and merges. Nothing here waits for those. */
void commit_let_go(struct commit *commit);
/* What was dead long enough is freed, unless that costs too much. */
void commit_tidy_up(struct commit *commit, uint64_t now);
/* Finds out whether the disk is full, or is no more, and frees what can be. */
void commit_look_for_room(struct commit *commit);

/* SPDX-License-Identifier: MIT */
/*
 * The commit thread: takes the writes that wait, in order, and commits them as one group: evaluate,
 * append one record to the log, sync once if one of them wants it, apply, answer.
 *
 * Threads: commit_submit(), commit_here(), commit_apply_batch(), commit_set_eager(),
 * commit_want_room(), commit_sync_log() and commit_stats() from any thread. Everything that the
 * options hand over is used by who commits alone from commit_new() to commit_free(), except for
 * what locks itself.
 */
#pragma once

#include "node/request_ids.h"
#include "node/store.h"
#include "node/store_batch.h"
#include "node/value_refs.h"
#include "node/wal.h"

struct commit;

struct commit_options {
	struct vfs *vfs;
	const char *dir;
	struct lsm *lsm;
	struct wal *wal;
	struct value_files *values;
	struct value_refs *refs;
	struct request_ids *ids;
	uint64_t ballast_bytes;
	/* Once dead value files are so many bytes, tree and log are asked to let go of them. */
	uint64_t dead_bytes_max;
	uint64_t dead_bytes; /* may be so many already: from before the opening */
	uint32_t log_retain_s, log_spare_s;
	void (*trim)(void *state, bool all); /* @all: whatever the log need not keep */
	/* More of the log is on stable storage. From any thread that syncs, without locks. */
	void (*synced)(void *state);
	bool (*in_history)(void *state, struct version version);
	/* Cuts the history, durably, and forgets the request ids of what came later; ends what
	 * set_resetting() began. */
	int (*finish_reset)(void *state, struct version point);
	/* The log is about to be reset: until the history is cut, or false is said, the log can't
	 * be understood by the history. */
	void (*set_resetting)(void *state, bool resetting);
	void *state;
	bool full; /* there was no room for the ballast */
	bool threads;
	int64_t (*realtime_ns)(void);
};

struct commit_stats {
	struct version last;
	uint64_t position;
	uint64_t syncs, records, entries;
	bool full, failed;
};

int commit_new(const struct commit_options *options, struct commit **ret_commit);
/* Answers what was submitted, then ends the thread. Later writes are refused. */
void commit_stop(struct commit *commit);
struct commit *commit_free(struct commit *commit);

/* A value had no room on the disk: whatever need not be kept goes soon. */
void commit_want_room(struct commit *commit);
/* A chain linked by next. */
void commit_submit(struct commit *commit, struct store_write *writes);
/* In the caller's thread, if nobody else commits: returns once it is answered. done and state are
 * not used. */
void commit_here(struct commit *commit, struct store_write *write);
void commit_apply_batch(struct commit *commit, struct store_batch *batch);
/* Somebody waits for what is synced: `memory` writes are synced sooner. */
void commit_set_eager(struct commit *commit, bool eager);
/* Without threads: does what time brings. */
void commit_tick(struct commit *commit);
/* For the flush: 0 once the log is on stable storage up to what has been applied. */
int commit_sync_log(struct commit *commit);

/* Runs @task in the commit thread while no group is under way, and waits for its result.
 * -ESHUTDOWN: it is stopped. From inside done() it is run at once. */
typedef int (*commit_task_fn)(struct commit *commit, void *state);
int commit_call(struct commit *commit, commit_task_fn task, void *state);
/* In a task. 0: the log is good and on stable storage, and all of it is applied. */
int commit_settle(struct commit *commit);
/* Gives back what was set aside for a full disk; puts are refused until it can be set aside again.
 */
int commit_make_room(struct commit *commit);
/* In a task: where the log stands. */
struct wal_mark commit_end(const struct commit *commit);
/* In a task: takes writes from now on, in @epoch, which is durable. */
void commit_lead(struct commit *commit, uint64_t epoch);
void commit_follow(struct commit *commit);
/* In a task, settled: the log goes on in a new file. */
int commit_rotate_log(struct commit *commit);
/* In a task, settled and flushed: wal_restart(). */
int commit_restart_log(struct commit *commit, uint64_t epoch);
void commit_pause(struct commit *commit, struct store_pause *pause);
void commit_resume(struct commit *commit);
enum store_role commit_role(struct commit *commit);
void commit_stats(struct commit *commit, struct commit_stats *ret_stats);

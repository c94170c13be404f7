/* SPDX-License-Identifier: MIT */
/*
 * The commit thread: takes the writes that wait, in order, and commits them as one group: evaluate,
 * append one record to the log, sync once if one of them wants it, apply, answer.
 *
 * Threads: commit_submit(), commit_want_room(), commit_sync_log() and commit_stats() from any
 * thread. Everything that the options hand over is used by the commit thread alone from
 * commit_new() to commit_free(), except for what locks itself.
 */
#pragma once

#include "node/request_ids.h"
#include "node/store.h"
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
	uint64_t epoch; /* durable */
	uint64_t ballast_bytes;
	/* Once dead value files are so many bytes, tree and log are asked to let go of them. */
	uint64_t dead_bytes_max;
	uint64_t dead_bytes; /* may be so many already: from before the opening */
	uint32_t log_retain_s;
	void (*trim)(void *state, bool all); /* @all: whatever the log need not keep */
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

/* A chain linked by next. */
/* A value had no room on the disk: whatever need not be kept goes soon. */
void commit_want_room(struct commit *commit);
void commit_submit(struct commit *commit, struct store_write *writes);
/* For the flush: 0 once the log is on stable storage up to what has been applied. */
int commit_sync_log(struct commit *commit);
void commit_stats(struct commit *commit, struct commit_stats *ret_stats);

/* SPDX-License-Identifier: MIT */
/*
 * What lsm.c, lsm_read.c, flush.c, compaction.c, reclaim.c and backpressure.c share.
 *
 * Locks, in the order in which they are taken: manifest_lock, lock, view_lock.
 */
#pragma once

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/mutex.h"
#include "node/lsm.h"
#include "node/manifest.h"
#include "node/merge.h"
#include "node/run_pick.h"
#include "node/view.h"

#define LSM_RUNS_SLOW        16 /* from here on writers are slowed down */
#define LSM_RUNS_HARD        24
#define LSM_SEALED_MAX       ((uint64_t)64 * 1024 * 1024)
#define LSM_SEALED_TABLES    64 /* the same bound for small memtables */
#define LSM_RETRY_MS         1000
#define LSM_PUBLISH_RETRY_US 100000
#define LSM_TOMBSTONES_SKIP  10000

DEFINE_CLEANUP(struct merge *, merge_free)
DEFINE_CLEANUP(struct view *, view_unref)
DEFINE_CLEANUP(struct segment *, segment_unref)

struct lsm {
	/* Immutable after open. */
	struct lsm_options options;
	char *dir;
	struct segment_context context;
	uint64_t first_new_id; /* file ids from here on are this process's */
	uint64_t sealed_max;

	/* Held over I/O: edits are few, and only the background threads make them. */
	struct mutex manifest_lock;
	struct manifest *manifest GUARDED_BY(manifest_lock);
	/* Segments of failed edits: not needed, but a recovery may find the edit. */
	struct buf doubtful GUARDED_BY(manifest_lock);
	_Atomic uint64_t next_file_id;

	struct mutex lock; /* changes of the view, and: */
	struct condition flush_work, compact_work, progress;
	uint64_t sealed_bytes GUARDED_BY(lock);
	uint64_t flushed GUARDED_BY(lock); /* up to here the view's segments hold everything */
	int flush_error GUARDED_BY(lock); /* of the last attempt */
	int compact_error GUARDED_BY(lock);
	uint64_t flush_failures GUARDED_BY(lock);
	bool retry_now GUARDED_BY(lock);
	bool compacting GUARDED_BY(lock); /* a compaction runs or is due */
	bool flushing GUARDED_BY(lock);
	struct lsm_stats counters GUARDED_BY(lock); /* flushes and compactions */
	struct version known GUARDED_BY(lock); /* lsm_deletions_are_known() */
	/* Dead value files (node/reclaim.c). */
	struct buf dead_noted GUARDED_BY(lock); /* by position; not yet asked for */
	bool has_dead GUARDED_BY(lock);
	bool reclaim_wanted GUARDED_BY(lock);
	bool reclaim_all GUARDED_BY(lock);
	uint64_t reclaim_room GUARDED_BY(lock);
	uint64_t reclaim_position GUARDED_BY(lock);
	uint64_t reclaim_patience GUARDED_BY(lock);

	struct mutex view_lock; /* held for the pointer only */
	struct view *view; /* changed with lock and view_lock held, read with either */

	atomic_bool stop;
	bool flush_thread_runs, compact_thread_runs;
	pthread_t flush_thread, compact_thread;

	/* The applier's. */
	struct memtable *active; /* the current view's: only the applier replaces it */
	uint64_t owed_ns; /* delay not yet taken */
	uint64_t applied_position;
	uint64_t sealed_position; /* of the last entry that is not in active */
	uint64_t dead_position; /* of the last entry that left a dead value file */
	uint64_t dead_inline_bytes; /* that entries in active have left dead elsewhere, at most */

	/* The compaction thread's. */
	uint64_t merging_run; /* the newest one of the merge that goes on */
	unsigned merges; /* that one, and those that give way to it */
	uint64_t merging_left; /* bytes that the newest one has yet to read, and may write */
	uint64_t merging_bytes; /* the same of all of these */
	uint64_t nested_at_ms; /* after one failed that was given way to, none begins before */
	struct buf dead; /* what was asked for */
	uint64_t recheck_at_ms; /* of damaged runs */
	uint64_t retry_room; /* of a merge of all that fits; 0: it is another one */
	bool dead_unknown; /* there may be others, from before the opening */
};

/* A reference to the current view. */
struct view *lsm_view(struct lsm *lsm);
/* Takes the reference to @view; the caller made it from the current one without letting go of the
 * lock. */
void lsm_install_locked(struct lsm *lsm, struct view *view) REQUIRES(lsm->lock);
/* The active memtable joins the sealed ones. Without memory it goes on growing. */
int lsm_seal(struct lsm *lsm);
/* Copies everything that @merge yields, but for tombstones of versions up to @drop, to a new
 * segment, and opens it. *ret_segment is NULL if nothing was left. @gives_way: now and then
 * lsm_give_way(). -ECANCELED: the tree is being closed. */
int lsm_write_segment(struct lsm *lsm, struct merge *merge, uint64_t entries_max,
		      struct version drop, bool gives_way, struct segment **ret_segment);
/* In a merge that is under way, and has @passed so many bytes more: to what is more urgent. Only
 * fails with -ECANCELED. */
int lsm_give_way(struct lsm *lsm, uint64_t passed);
/* Makes @edit durable. On failure @output may not be deleted yet, and is not. */
int lsm_commit_edit(struct lsm *lsm, struct manifest_edit *edit, struct segment *output)
	EXCLUDES(lsm->manifest_lock);
/* Before a segment is written: a manifest that failed is mended first, so that failures don't pile
 * up files. */
int lsm_mend_manifest(struct lsm *lsm) EXCLUDES(lsm->manifest_lock);

/* Writes all sealed memtables to one segment. 0 also if there are none. */
int lsm_flush_sealed(struct lsm *lsm);
void *lsm_flush_thread(void *lsm);
/* One compaction, if one is due. 1: done, there may be another; 0: none is due. */
int lsm_compact(struct lsm *lsm);
void *lsm_compact_thread(void *lsm);
/* How much a merge may write without taking the room that flushes need. */
uint64_t lsm_merge_room(struct lsm *lsm);
bool lsm_compaction_is_due(const struct view *view);
/* After replay. */
void lsm_suppose_dead(struct lsm *lsm);
bool lsm_reclaim_is_due_locked(const struct lsm *lsm, const struct view *view) REQUIRES(lsm->lock);
/* How many runs, from the newest on, are to be merged so that space is freed. False: none.
 * Afterwards lsm_reclaimed(). In the compaction thread. */
bool lsm_pick_reclaim(struct lsm *lsm, const struct view *view, size_t *ret_runs);
void lsm_reclaimed(struct lsm *lsm, int result);
/* Flush and compaction of a tree without threads. */
void lsm_work_inline(struct lsm *lsm);

/* Waits until there is room for more, and slows down before there is none. */
int lsm_wait_for_room(struct lsm *lsm);
/* After @bytes were applied. */
void lsm_slow_down(struct lsm *lsm, uint64_t bytes);

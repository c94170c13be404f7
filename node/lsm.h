/* SPDX-License-Identifier: MIT */
/*
 * The log-structured merge tree below the write-ahead log: memtables, segments in sorted runs, the
 * manifest, flush, compaction, and the value files they refer to. It knows nothing of requests or
 * durability: node/store feeds it with what is durable, in order of apply position.
 *
 * Threads: one thread at a time applies; any number read and list at once, and never wait for I/O
 * of others. Flush and compaction run in threads of their own. Errors: negative errno. Damage is
 * -EBADMSG (never "not found"), logged once with file and offset.
 */
#pragma once

#include "node/entry.h"
#include "node/value_file.h"
#include "node/vfs.h"

struct lsm;

enum lsm_result { LSM_NOT_FOUND = 1 };

struct lsm_options {
	struct vfs *vfs;
	const char *dir; /* holds MANIFEST, CURRENT, *.seg and value/; must exist */
	uint64_t memtable_bytes;
	uint64_t cache_bytes; /* block cache */
	bool threads; /* false: flush and compaction run inside lsm_apply(), for replayable
			 simulations */
	bool keeps_deletions; /* all tombstones, until lsm_deletions_are_known() */
	bool read_only; /* nothing on disk is changed: there must be no flush and no sweep */
	struct value_files *values;
	/* From the flush thread, before a segment that reaches up to @position is installed:
	 * returns 0 once the log is on stable storage up to there, so that segments never know
	 * more than the log. A negative errno: the flush fails, is tried again later. NULL: not
	 * asked. */
	int (*sync_log)(void *state, uint64_t position);
	/* From the flush thread: everything up to @position is in segments and installed. */
	void (*flushed)(void *state, uint64_t position);
	void *state;
};

/* An empty directory becomes an empty tree. *ret_flushed is the apply position up to which segments
 * hold everything: the log is replayed from there. */
int lsm_open(const struct lsm_options *options, struct lsm **ret_lsm, uint64_t *ret_flushed);
/* After log replay: deletes segments and temporary files that nothing refers to (value files are
 * swept by the store). */
int lsm_sweep(struct lsm *lsm);
/* Inserts @count entries of ascending position; copies them. They are visible at once. Waits
 * (backpressure) while 64 MiB of sealed memtables wait or the run count is at its hard cap; -EIO /
 * -ENOSPC if flushing is failing and memory is at its bound. */
int lsm_apply(struct lsm *lsm, const struct entry *entries, size_t count);
/* Seals the memtable and waits until all is in segments. From the thread that applies. */
int lsm_flush(struct lsm *lsm);
/* No record needs this value file of @bytes any more once the entry at @position is applied, but
 * segments may still name it. From the thread that applies. */
void lsm_note_dead(struct lsm *lsm, uint64_t file_id, uint64_t bytes, uint64_t position);
/* The same of @bytes inline. */
void lsm_note_dead_inline(struct lsm *lsm, uint64_t bytes);
/* Begins to flush and merge what keeps dead value files, if that is worth it (node/reclaim.c), and
 * does not wait. @room: the disk is short of it, so what fits into it is worth it; 0: it is not
 * short. @all: there are many dead inline values, too. From the thread that applies. */
int lsm_reclaim(struct lsm *lsm, uint64_t room, bool all);
/* There may be something to ask lsm_reclaim() for. */
bool lsm_has_dead(struct lsm *lsm);
/* With keeps_deletions: others have all up to @point, so tombstones of versions up to there may go
 * once they hide nothing. Any thread. */
void lsm_deletions_are_known(struct lsm *lsm, struct version point);
/* The part of lsm_flush() that only the thread that applies can do: the memtable is sealed, and
 * flushed soon. Any thread then waits with lsm_wait_flushed(). */
int lsm_begin_flush(struct lsm *lsm);
/* Waits until segments hold everything up to @position, which must be sealed. The flush's own
 * error if it fails meanwhile, -ETIMEDOUT after @timeout_ms, -ECANCELED if the tree is closed. */
int lsm_wait_flushed(struct lsm *lsm, uint64_t position, uint64_t timeout_ms);
/* Ends the threads. Does not flush. */
struct lsm *lsm_free(struct lsm *lsm);

/* An entry that stays valid until it is released; pins what it points into and its value file. */
struct lsm_entry {
	struct entry entry;
	void *pin;
	struct value_file *file; /* of an ENTRY_FILE, referenced */
};

/* 0; LSM_NOT_FOUND (a tombstone counts as found: the caller looks at kind); -EAGAIN with VFS_NOWAIT
 * if a disk would have to be read. */
int lsm_get(struct lsm *lsm, const void *key, size_t key_len, unsigned flags,
	    struct lsm_entry *ret_entry);
void lsm_entry_release(struct lsm_entry *entry);

/* Live records (no tombstones) in key order, from the first key > @after (its length 0: from the
 * start). Stops after @limit names, or when @found returns non-zero (1: stop, do not count this
 * one; negative: error), or when the budget of skipped tombstones is used up. The entry is valid
 * inside @found only and carries no value. *ret_more: there may be more after the last key visited;
 * *ret_last is that key (which may be a tombstone's). */
int lsm_list(struct lsm *lsm, const struct key *after, size_t limit,
	     int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	     struct key *ret_last);

/* As lsm_list(), but tombstones, as far as they are still there, count like records. */
int lsm_scan(struct lsm *lsm, const struct key *after, size_t limit,
	     int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	     struct key *ret_last);

struct lsm_stats {
	uint64_t memtable_bytes, sealed_memtables, sealed_bytes;
	uint64_t segments, runs, segment_bytes;
	uint64_t entries; /* replaced ones and tombstones included */
	uint64_t filter_bytes, index_bytes;
	uint64_t flushes, flushed_bytes, compactions, compacted_bytes;
	uint64_t cache_hits, cache_misses;
	uint64_t damaged_blocks;
	int background_error; /* last error of flush or compaction, 0 once it succeeded again */
};
void lsm_stats(struct lsm *lsm, struct lsm_stats *ret_stats);

/* Calls @found for each value file that a segment names, perhaps more than once, also for those of
 * replaced records; what it returns but 0 ends it. */
int lsm_each_value(struct lsm *lsm, int (*found)(uint64_t file_id, void *state), void *state);

/* Reads and verifies every block, filter and index of every live segment, and calls @problem for
 * each fault. 0 sound, 1 faults. */
int lsm_check(struct lsm *lsm, void (*problem)(const char *sentence, void *state), void *state);

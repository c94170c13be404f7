/* SPDX-License-Identifier: MIT */
/*
 * What really happened in a simulated shard, told by what its leaders wrote: a tree of epochs, each
 * growing out of a point of another one. A point names a path from the root, and a path a state:
 * what every node whose log ends there must hold, record for record, version for version.
 *
 * Keys are numbers here, values and patches the numbers of the writes they came from.
 *
 * Memory running out ends the process. Threads: one.
 */
#pragma once

#include "lib/object.h"

#define TRUTH_KEYS_MAX 512

/* A record; value 0: there is none. */
struct truth_cell {
	uint32_t value;
	uint32_t patch; /* 0: none since the value was put */
	struct version version;
};

struct truth_state {
	struct version end;
	struct truth_cell cells[TRUTH_KEYS_MAX];
};

/* One entry of a leader's log. */
struct truth_entry {
	bool known;
	bool is_first; /* of its write: the second of a MOVE is not */
	uint16_t key;
	uint32_t value; /* 0: tombstone */
	uint32_t patch;
	uint32_t write; /* number of the request; 0: not known */
};

struct truth_epoch {
	uint64_t epoch;
	unsigned node; /* that led in it */
	unsigned disk; /* of the node */
	unsigned lineage;
	struct version parent; /* it goes on behind this point; {0,0}: from nothing */
	struct truth_cell *renewed; /* NULL, or all that was there when its leader began its log
				       anew: the first version stands for that, and no entry has
				       it. Freed with the truth */
	uint64_t begun_us;
	uint64_t synced; /* sequence up to which its leader has had it on stable storage */
	struct truth_entry *entries; /* from parent.sequence + 1 on */
	size_t count, cap;
};

struct truth_cache {
	uint64_t used;
	struct truth_state state;
};

struct truth {
	struct truth_epoch *epochs; /* in the order they were begun */
	size_t epoch_count, epoch_cap;
	struct truth_cache cache[8];
	uint64_t uses;
};

/* False: somebody has begun it before. */
bool truth_begin(struct truth *truth, const struct truth_epoch *epoch);
/* NULL: never begun. Borrowed until the next truth_begin(). */
struct truth_epoch *truth_epoch(struct truth *truth, uint64_t epoch);

enum truth_learnt {
	TRUTH_NEW,
	TRUTH_SAME, /* as it was known */
	TRUTH_OTHER, /* the version names two things */
	TRUTH_NOWHERE, /* nobody has begun the epoch, or it lies before its start */
};
enum truth_learnt truth_learn(struct truth *truth, struct version version,
			      const struct truth_entry *entry);
/* NULL: nothing is known of it. */
const struct truth_entry *truth_entry(struct truth *truth, struct version version);

/* Whether @version lies on the path to @end; {0,0} lies on all. */
bool truth_contains(struct truth *truth, struct version end, struct version version);
/* Where two paths part. */
struct version truth_common(struct truth *truth, struct version a, struct version b);
/* Whether one on the path to @end began its log anew. */
bool truth_is_renewed(struct truth *truth, struct version end);
/* NULL: an entry on the way is not known. Borrowed until the next call. */
const struct truth_state *truth_state(struct truth *truth, struct version end);
/* Calls @entry for each entry behind @from, which lies on the path to @end, in order. A non-zero
 * return stops and is returned; -ENOENT: an entry is not known. */
int truth_walk(struct truth *truth, struct version from, struct version end,
	       int (*entry)(struct version version, const struct truth_entry *entry, void *state),
	       void *state);
void truth_deinit(struct truth *truth);

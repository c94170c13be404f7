/* SPDX-License-Identifier: MIT */
/*
 * Which neighbouring runs to merge. Two rules:
 * 1. All of them, once the newer ones together have 0.7 times the bytes of the oldest: what was
 *    overwritten in it takes no more room than that. Or once they have half as many tombstones as
 * it has entries: those are small, and yet hide room, and whoever lists has to pass them. If such a
 * merge was in vain, since they hid next to nothing, the next one waits until what it rewrites is
 * no more than 16 times what is newer.
 * 2. Once there are more than may be, those for which bytes written / (runs fewer)^3 is least. So
 *    many small runs are merged at once rather than a large one again and again with each of them.
 * An entry of N flushes is written about log(N) / log(runs allowed) times more than it was flushed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_size {
	uint64_t bytes;
	uint64_t entries, tombstones; /* those included */
	bool in_vain; /* was the merge for tombstones' sake that made it */
	bool damaged; /* left out: merging it would fail, and it may be mended from elsewhere */
};

struct run_pick {
	size_t first, count;
	bool hiding; /* for tombstones' sake */
};

/* @runs are the newest of them, newest first; @with_oldest: the last is the oldest there is. */
bool run_pick(const struct run_size *runs, size_t count, bool with_oldest, size_t runs_max,
	      struct run_pick *ret_pick);
/* Whether a merge of @read bytes to @written freed next to nothing. */
bool run_was_in_vain(uint64_t read, uint64_t written);

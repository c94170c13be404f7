/* SPDX-License-Identifier: MIT */
/*
 * Which neighbouring runs to merge. Two rules, no state:
 * 1. All of them, once the newer ones together have 0.7 times the bytes of the oldest: what was
 *    overwritten in it takes no more room than that. Or once they have half as many tombstones as
 * it has entries: those are small, and yet hide room, and whoever lists has to pass them.
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
	bool damaged; /* left out: merging it would fail, and it may be mended from elsewhere */
};

struct run_pick {
	size_t first, count;
};

/* @runs are the newest of them, newest first; @with_oldest: the last is the oldest there is. */
bool run_pick(const struct run_size *runs, size_t count, bool with_oldest, size_t runs_max,
	      struct run_pick *ret_pick);

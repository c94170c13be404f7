/* SPDX-License-Identifier: MIT */
/*
 * What a reader of the tree sees: the active memtable, the sealed ones and the runs, each newest
 * first. Immutable; a change makes a new view, and a reader keeps the one it began on.
 *
 * Ownership: reference-counted; holds references to all that it names.
 */
#pragma once

#include "node/memtable.h"
#include "node/segment.h"

#include <stdatomic.h>
#include <stdbool.h>

struct view_run {
	struct segment *segment;
	uint64_t run;
	bool in_vain; /* as in struct run_size; not known of one from before the opening */
};

struct view {
	atomic_uint references;
	struct memtable *active;
	struct memtable **sealed; /* newest first */
	size_t sealed_count;
	struct view_run *runs; /* newest first */
	size_t run_count;
};

/* Room for as many; filled by the caller with references that the view then owns. */
int view_new(size_t sealed_count, size_t run_count, struct view **ret_view);
struct view *view_ref(struct view *view);
struct view *view_unref(struct view *view);

/* Each makes a new view from @view. @active takes the place of the active memtable, which becomes
 * the newest sealed one. */
int view_seal(const struct view *view, struct memtable *active, struct view **ret_view);
/* The @count oldest sealed memtables became @run (segment NULL: nothing is left of them). */
int view_flush(const struct view *view, size_t count, struct view_run run, struct view **ret_view);
/* The runs of @first (a run number) and the @count - 1 behind it became @run (segment NULL: nothing
 * is left of them). */
int view_compact(const struct view *view, uint64_t first, size_t count, struct view_run run,
		 struct view **ret_view);
/* No memtables, and of the runs only @count from @first on. */
int view_part(const struct view *view, size_t first, size_t count, struct view **ret_view);

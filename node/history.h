/* SPDX-License-Identifier: MIT */
/*
 * The lineage of a store and its epochs, each with the sequence of its first entry, both ascending
 * (docs/FORMAT.md, "History"). A new one is durable before anything is done in its name, so no
 * version ever names two values. Two nodes find in their histories up to where they have the same.
 *
 * Errors: what changes a history makes it durable first; on failure the one in memory is as before.
 * Threads: the caller serialises.
 */
#pragma once

#include "lib/record.h"
#include "node/lineage.h"
#include "node/vfs.h"

struct history_epoch {
	uint64_t epoch;
	uint64_t first_sequence;
};

struct history {
	struct lineage lineage;
	struct history_epoch *epochs;
	size_t count;
};

/* A missing file is an empty history. -EBADMSG: damaged; -EPROTONOSUPPORT: a later format. */
int history_read(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		 struct history *ret_history);
/* Adds an epoch, later than all that are there. Epochs in which nothing was written leave no trace.
 * @if_none (NULL: none) becomes its lineage if it has none yet. */
int history_begin(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], const struct lineage *if_none, uint64_t epoch,
		  uint64_t first_sequence);
/* Replaces all of it. -EBADMSG: no history looks like this. */
int history_adopt(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], const struct lineage *lineage,
		  const struct history_epoch *epochs, size_t count);
/* Forgets what came after @point, which it contains. */
int history_cut(struct history *history, struct vfs *vfs, const char *dir,
		const uint8_t store_id[16], struct version point);

/* 0 if there is none. */
uint64_t history_last_epoch(const struct history *history);
/* Whether @version was given in one of its epochs, as far as it knows: its own end is the caller's
 * to compare with. {0, 0}, the beginning, is in every one. */
bool history_contains(const struct history *history, struct version version);
/* Up to where two nodes of a lineage have the same entries. */
struct version history_common(const struct history *mine, struct version my_end,
			      const struct history_epoch *theirs, size_t count,
			      struct version their_end);
int history_copy(const struct history *history, struct history *ret_copy);
void history_deinit(struct history *history);

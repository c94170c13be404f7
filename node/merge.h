/* SPDX-License-Identifier: MIT */
/*
 * Walks through memtables and segments together in key order: of each key the newest version.
 *
 * Ownership: borrows the memtables and segments. Threads: belongs to one thread.
 */
#pragma once

#include "node/memtable.h"
#include "node/segment.h"

struct merge;

/* Room for @sources. */
int merge_new(size_t sources, struct merge **ret_merge);
struct merge *merge_free(struct merge *merge);
/* Sources are added from the newest to the oldest, each from the first key > @after on. */
int merge_add_memtable(struct merge *merge, struct memtable *memtable, const void *after,
		       size_t after_len);
/* @cached: blocks are read through the cache. */
int merge_add_segment(struct merge *merge, struct segment *segment, bool cached, const void *after,
		      size_t after_len);
/* Once, after all sources. */
void merge_start(struct merge *merge);
bool merge_ended(const struct merge *merge);
/* What it stands at is valid until merge_next(). Key and kind: */
const struct entry *merge_key(const struct merge *merge);
/* All but the value. */
int merge_head(const struct merge *merge, struct entry *ret_entry);
int merge_encoded(struct merge *merge, const uint8_t **ret_data, size_t *ret_len);
int merge_next(struct merge *merge);
/* Bytes of entries behind which it is, those of older versions included; of a value that stands
 * apart only if it was asked for. */
uint64_t merge_passed(const struct merge *merge);

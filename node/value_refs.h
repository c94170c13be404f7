/* SPDX-License-Identifier: MIT */
/*
 * The references that the retained log holds on value files, in order of apply position: released
 * when the log is trimmed up to there. Threads: locks itself.
 */
#pragma once

#include "node/entry.h"
#include "node/value_file.h"

struct value_refs;

struct value_refs *value_refs_new(void);
/* Releases all. */
struct value_refs *value_refs_free(struct value_refs *refs);
/* Takes over @file. 0 or -ENOMEM (then @file stays the caller's). */
int value_refs_add(struct value_refs *refs, uint64_t position, struct value_file *file);
/* Each entry that names a value file lets the log refer to it, from before the record can reach the
 * disk until the log is trimmed. *ret_count: how many were added, on failure too. */
int value_refs_add_entries(struct value_refs *refs, struct value_files *values,
			   const struct entry *entries, size_t count, size_t *ret_count,
			   uint64_t *ret_bytes);
/* Takes back the last @count of value_refs_add() and releases them. */
void value_refs_cancel(struct value_refs *refs, size_t count);
void value_refs_release(struct value_refs *refs, uint64_t position);

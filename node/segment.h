/* SPDX-License-Identifier: MIT */
/*
 * An immutable sorted file, open for reading: filter, index and properties in memory, blocks
 * through the cache.
 *
 * Ownership: reference-counted; holds references to the value files that its entries name. Threads:
 * immutable after open. Errors: -EBADMSG for damage (logged with file and offset), and then
 * segment_is_damaged().
 */
#pragma once

#include "lib/buf.h"
#include "node/block_cache.h"
#include "node/entry.h"
#include "node/reaper.h"
#include "node/segment_format.h"
#include "node/value_file.h"
#include "node/vfs.h"

/* What all segments of a tree share; outlives them. */
struct segment_context {
	struct vfs *vfs;
	const char *dir;
	struct value_files *values;
	struct block_cache *cache; /* may be NULL */
	struct reaper *reaper;
	_Atomic uint64_t damaged_blocks;
};

struct segment;

/* May block. -EBADMSG damaged or missing, -ENOTSUP of a newer program. */
int segment_open(struct segment_context *context, uint64_t file_id, struct segment **ret_segment);
struct segment *segment_ref(struct segment *segment);
struct segment *segment_unref(struct segment *segment);
/* It is no longer part of the tree: its file goes with the last reference. */
void segment_obsolete(struct segment *segment);

uint64_t segment_file_id(const struct segment *segment);
uint64_t segment_bytes(const struct segment *segment); /* of the file */
uint64_t segment_filter_bytes(const struct segment *segment);
uint64_t segment_index_bytes(const struct segment *segment); /* in memory */
const struct segment_properties *segment_properties(const struct segment *segment);
bool segment_is_damaged(const struct segment *segment);
/* Reads all of one that was said to be damaged: a disk may have failed for a moment. 0: it is
 * sound, and counts so from now on; -EBADMSG, -EIO. May block for as long as that takes. */
int segment_recheck(struct segment *segment);
bool segment_names_values(const struct segment *segment);
/* Its value list, in order of ids; borrowed. */
size_t segment_values(const struct segment *segment, struct value_file *const **ret_files);
/* Borrowed; NULL if its value list does not name it. */
struct value_file *segment_value(const struct segment *segment, uint64_t file_id);

enum segment_result { SEGMENT_NOT_FOUND = 1 };

/* Begins to load what segment_get() looks at first. */
void segment_prefetch(const struct segment *segment, uint64_t hash);
/* 0 and a reference to the block that *ret_entry points into; SEGMENT_NOT_FOUND; -EAGAIN with
 * VFS_NOWAIT. @hash is XXH3-64 of the key. */
int segment_get(struct segment *segment, const void *key, size_t key_len, uint64_t hash,
		unsigned flags, struct entry *ret_entry, struct block **ret_block);

/* Zero-initialise; borrows the segment. */
struct segment_iterator {
	struct segment *segment;
	bool cached; /* blocks that are in the cache are taken from there */
	const struct rbnode *node; /* of the index; NULL: past the end */
	struct block *block; /* from the cache, or else it is in ahead */
	uint64_t block_offset;
	struct buf ahead; /* the file from ahead_offset on, not verified */
	uint64_t ahead_offset;
	struct segment_block view;
	uint32_t slot;
	struct segment_slot at;
	struct block *apart; /* the block of the entry it stands at, once it was asked for */
};

/* Stands at the first key > @after (@after_len 0: the first of all). */
int segment_iterate(struct segment_iterator *it, struct segment *segment, bool cached,
		    const void *after, size_t after_len);
int segment_next(struct segment_iterator *it);
void segment_iterator_deinit(struct segment_iterator *it);
static inline bool segment_iterator_ended(const struct segment_iterator *it)
{
	return !it->node;
}
/* Key and kind of what it stands at, valid until it moves; and all but the value. */
int segment_iterator_peek(const struct segment_iterator *it, struct entry *ret_entry);
int segment_iterator_head(const struct segment_iterator *it, struct entry *ret_entry);
/* The whole entry as it was encoded. */
int segment_iterator_encoded(struct segment_iterator *it, const uint8_t **ret_data,
			     size_t *ret_len);

/* Reads everything and calls @problem for each fault; returns how many, or a negative errno. */
int segment_check(struct segment *segment, void (*problem)(const char *sentence, void *state),
		  void *state);

/* SPDX-License-Identifier: MIT */
/*
 * Where each block of a segment is: a red-black tree by the block's separator, a key above all of
 * the blocks before it and not above any of its own.
 *
 * Threads: immutable once built.
 */
#pragma once

#include "node/rbtree.h"
#include "node/segment_format.h"

struct segment_index {
	struct rbtree tree;
	void *nodes;
	size_t bytes;
};

/* Checks that the blocks lie in order between the header and @blocks_end. -EBADMSG, -ENOMEM. */
int segment_index_build(struct segment_index *index, const void *data, size_t len, uint64_t count,
			uint64_t blocks_end);
void segment_index_deinit(struct segment_index *index);
/* The block that holds @key if any does. */
const struct rbnode *segment_index_find(const struct segment_index *index, const void *key,
					size_t key_len);
struct segment_range segment_index_range(const struct rbnode *node);

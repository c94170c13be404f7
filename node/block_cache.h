/* SPDX-License-Identifier: MIT */
/*
 * Verified blocks of segments in memory, by file id and offset. The oldest go first, but one that
 * was used since it was looked at last gets a second chance: so a hit writes to the block alone.
 *
 * Ownership: blocks are reference-counted; the cache holds one reference, each reader another.
 * Threads: everything from any thread; sharded, so that readers seldom meet.
 */
#pragma once

#include "node/pin.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct block_cache;

struct block {
	struct pin pin; /* released as pin_release(&block->pin) */
	atomic_uint references;
	uint64_t file_id;
	uint64_t offset;
	size_t len;
	struct block *chain; /* the cache's */
	struct block *newer;
	bool used;
	uint8_t data[];
};

/* One reference, @size bytes of room; NULL if memory is out. */
struct block *block_new(uint64_t file_id, uint64_t offset, size_t size);
struct block *block_unref(struct block *block);

/* *ret_cache is NULL for @bytes 0; all calls accept that. */
int block_cache_new(uint64_t bytes, struct block_cache **ret_cache);
struct block_cache *block_cache_free(struct block_cache *cache);
/* A reference, or NULL. */
struct block *block_cache_get(struct block_cache *cache, uint64_t file_id, uint64_t offset);
/* Keeps a reference of its own, unless the block is there or too large. */
void block_cache_put(struct block_cache *cache, struct block *block);
void block_cache_stats(struct block_cache *cache, uint64_t *ret_hits, uint64_t *ret_misses);

/* SPDX-License-Identifier: MIT */
/*
 * The blocks of memory that all readers share: what is on its way from the router and what nobody
 * has read yet. There are only so many, and each reader has its fair share of them.
 *
 * Ownership: a block has an owner until it is dropped, and its memory stays as it is for as long as
 * somebody holds it. Threads: pool.lock protects everything but the bytes themselves; those are
 * written by the one that loads the block, before it is READY, and by nobody after.
 */
#pragma once

#include "lib/mutex.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_CAPACITY ((size_t)1024 * 1024)

enum block_state { BLOCK_FREE, BLOCK_LOADING, BLOCK_READY, BLOCK_FAILED };

/* Embedded in whoever reads ahead. */
struct block_owner {
	const void *reader; /* whose blocks are found together */
	unsigned blocks;
	uint64_t used_ns; /* when they were of use */
};

struct block {
	enum block_state state;
	struct block_owner *owner; /* NULL: nobody finds it any more */
	unsigned holds;
	uint64_t start; /* in the value */
	size_t len;
	size_t taken; /* how much of it has been read */
	int error; /* FAILED */
	struct condition loaded;
	uint8_t *data;
};

struct block_pool {
	struct mutex lock;
	unsigned max;
	unsigned owners; /* that have blocks */
	unsigned spare; /* free ones that keep their memory */
	struct block blocks[];
};

/* -ENOMEM */
int block_pool_new(unsigned max, struct block_pool **ret_pool);
/* Nobody may own, load or hold one. Accepts NULL. */
struct block_pool *block_pool_free(struct block_pool *pool);

/* How many @owner may have of them, itself among those that have some. */
unsigned block_share_locked(const struct block_pool *pool, const struct block_owner *owner)
	REQUIRES(&pool->lock);
/* One to load, which was free or of no use for a while; NULL: there is none. */
struct block *block_take_locked(struct block_pool *pool, struct block_owner *owner)
	REQUIRES(&pool->lock);
/* The block of @reader that has the byte at @offset, LOADING or READY; NULL: none. */
struct block *block_find_locked(struct block_pool *pool, const void *reader, uint64_t offset)
	REQUIRES(&pool->lock);
/* The end of loading: @error 0 or negative. */
void block_loaded_locked(struct block_pool *pool, struct block *block, int error)
	REQUIRES(&pool->lock);
/* Its owner has no more use for it. */
void block_drop_locked(struct block_pool *pool, struct block *block) REQUIRES(&pool->lock);
/* Those of @owner that end at or before @end. */
void block_drop_before_locked(struct block_pool *pool, const struct block_owner *owner,
			      uint64_t end) REQUIRES(&pool->lock);
void block_hold_locked(struct block_pool *pool, struct block *block) REQUIRES(&pool->lock);
void block_release_locked(struct block_pool *pool, struct block *block) REQUIRES(&pool->lock);
/* While it is LOADING, somebody still waits for it or will. */
bool block_is_wanted_locked(const struct block_pool *pool, const struct block *block)
	REQUIRES(&pool->lock);

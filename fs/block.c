/* SPDX-License-Identifier: MIT */
#include "fs/block.h"

#include "fs/stats.h"
#include "lib/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Fresh memory costs more than filling it: as many as are taken at once keep theirs. */
#define SPARE_MAX 8
/* Enough to fetch one while the other is read. */
#define SHARE_MIN 3
/* After so long a reader is taken for one that has stopped. */
#define IDLE_NS UINT64_C(1000000000)

int block_pool_new(unsigned max, struct block_pool **ret_pool)
{
	struct block_pool *pool = calloc(1, sizeof(*pool) + max * sizeof(struct block));

	if (!pool)
		return -ENOMEM;
	mutex_init(&pool->lock);
	pool->max = max;
	for (unsigned i = 0; i < max; i++)
		condition_init(&pool->blocks[i].loaded);
	*ret_pool = pool;
	return 0;
}

static void free_memory(struct block *block)
{
	free(block->data);
	block->data = NULL;
	stats_gauge_add(STATS_READ_AHEAD_BLOCKS, -1);
}

struct block_pool *block_pool_free(struct block_pool *pool)
{
	if (!pool)
		return NULL;
	for (unsigned i = 0; i < pool->max; i++) {
		struct block *block = &pool->blocks[i];

		assert(block->state == BLOCK_FREE);
		condition_deinit(&block->loaded);
		if (block->data)
			free_memory(block);
	}
	mutex_deinit(&pool->lock);
	free(pool);
	return NULL;
}

/* Nobody owns, loads or holds it any more. */
static void set_free_locked(struct block_pool *pool, struct block *block) REQUIRES(&pool->lock)
{
	block->state = BLOCK_FREE;
	if (pool->spare < SPARE_MAX)
		pool->spare++;
	else
		free_memory(block);
}

static bool take_memory_locked(struct block_pool *pool, struct block *block) REQUIRES(&pool->lock)
{
	if (block->data) {
		pool->spare--;
		return true;
	}
	block->data = malloc(BLOCK_CAPACITY);
	if (block->data)
		stats_gauge_add(STATS_READ_AHEAD_BLOCKS, 1);
	return block->data;
}

unsigned block_share_locked(const struct block_pool *pool, const struct block_owner *owner)
{
	unsigned owners = pool->owners + (owner->blocks == 0);
	unsigned share = pool->max / owners;

	return share < SHARE_MIN ? SHARE_MIN : share;
}

static bool is_idle(const struct block *block, uint64_t now_ns)
{
	return block->state == BLOCK_READY && block->holds == 0 &&
	       now_ns - block->owner->used_ns > IDLE_NS;
}

static struct block *choose_locked(struct block_pool *pool) REQUIRES(&pool->lock)
{
	uint64_t now_ns = clock_monotonic_ns();
	struct block *best = NULL, *idle = NULL;

	for (unsigned i = 0; i < pool->max; i++) {
		struct block *block = &pool->blocks[i];

		if (block->state == BLOCK_FREE && block->data)
			return block;
		if (block->state == BLOCK_FREE)
			best = block;
		else if (is_idle(block, now_ns) &&
			 (!idle || block->owner->used_ns < idle->owner->used_ns))
			idle = block;
	}
	if (!best && idle)
		block_drop_locked(pool, idle);
	return best ? best : idle;
}

struct block *block_take_locked(struct block_pool *pool, struct block_owner *owner)
{
	struct block *block = choose_locked(pool);

	if (!block || !take_memory_locked(pool, block))
		return NULL;
	block->state = BLOCK_LOADING;
	block->owner = owner;
	block->taken = 0;
	if (owner->blocks++ == 0)
		pool->owners++;
	return block;
}

struct block *block_find_locked(struct block_pool *pool, const void *reader, uint64_t offset)
{
	for (unsigned i = 0; i < pool->max; i++) {
		struct block *block = &pool->blocks[i];

		if (block->owner && block->owner->reader == reader && offset >= block->start &&
		    offset - block->start < block->len)
			return block;
	}
	return NULL;
}

void block_drop_locked(struct block_pool *pool, struct block *block)
{
	if (block->owner && --block->owner->blocks == 0)
		pool->owners--;
	block->owner = NULL;
	if (block->state != BLOCK_LOADING && block->holds == 0)
		set_free_locked(pool, block);
}

void block_drop_before_locked(struct block_pool *pool, const struct block_owner *owner,
			      uint64_t end)
{
	for (unsigned i = 0; i < pool->max; i++) {
		struct block *block = &pool->blocks[i];

		if (block->owner == owner && block->start + block->len <= end)
			block_drop_locked(pool, block);
	}
}

void block_loaded_locked(struct block_pool *pool, struct block *block, int error)
{
	assert(block->state == BLOCK_LOADING);
	block->state = error < 0 ? BLOCK_FAILED : BLOCK_READY;
	block->error = error;
	condition_broadcast(&block->loaded);
	if (error < 0 || !block->owner)
		block_drop_locked(pool, block);
}

void block_hold_locked(struct block_pool *pool, struct block *block)
{
	(void)pool;
	block->holds++;
}

void block_release_locked(struct block_pool *pool, struct block *block)
{
	if (--block->holds == 0 && !block->owner && block->state != BLOCK_LOADING)
		set_free_locked(pool, block);
}

bool block_is_wanted_locked(const struct block_pool *pool, const struct block *block)
{
	(void)pool;
	return block->owner || block->holds > 0;
}

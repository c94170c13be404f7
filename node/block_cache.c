/* SPDX-License-Identifier: MIT */
#include "node/block_cache.h"

#include "lib/container_of.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdlib.h>

#define SHARDS 16

struct shard {
	struct mutex lock;
	struct block **buckets GUARDED_BY(lock);
	struct block *newest GUARDED_BY(lock);
	struct block *oldest GUARDED_BY(lock);
	uint64_t bytes GUARDED_BY(lock);
	uint64_t hits GUARDED_BY(lock);
	uint64_t misses GUARDED_BY(lock);
} __attribute__((aligned(64)));

struct block_cache {
	uint64_t shard_bytes;
	size_t bucket_mask;
	struct shard shards[SHARDS];
};

static void release_pin(struct pin *pin)
{
	block_unref(container_of(pin, struct block, pin));
}

struct block *block_new(uint64_t file_id, uint64_t offset, size_t size)
{
	struct block *block = malloc(sizeof(*block) + size);

	if (!block)
		return NULL;
	block->pin.release = release_pin;
	atomic_init(&block->references, 1);
	block->file_id = file_id;
	block->offset = offset;
	block->len = size;
	block->chain = block->newer = NULL;
	block->used = false;
	return block;
}

static struct block *block_ref(struct block *block)
{
	atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
	return block;
}

struct block *block_unref(struct block *block)
{
	if (block && atomic_fetch_sub(&block->references, 1) == 1)
		free(block);
	return NULL;
}

/* Offsets and ids are small numbers: a multiplication spreads them (Knuth, TAOCP 3, 6.4). */
static uint64_t spread(uint64_t file_id, uint64_t offset)
{
	uint64_t mixed = (file_id << 40 ^ file_id ^ offset) * UINT64_C(0x9e3779b97f4a7c15);

	return mixed ^ mixed >> 32;
}

int block_cache_new(uint64_t bytes, struct block_cache **ret_cache)
{
	struct block_cache *cache;
	size_t buckets = 16;

	if (bytes == 0) {
		*ret_cache = NULL;
		return 0;
	}
	cache = aligned_alloc(64, sizeof(*cache));
	if (!cache)
		return -ENOMEM;
	*cache = (struct block_cache){ .shard_bytes = bytes / SHARDS };
	while (buckets < cache->shard_bytes / 4096)
		buckets *= 2;
	cache->bucket_mask = buckets - 1;
	for (int i = 0; i < SHARDS; i++)
		mutex_init(&cache->shards[i].lock);
	for (int i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];
		struct block **table = calloc(buckets, sizeof(*table));

		if (!table) {
			block_cache_free(cache);
			return -ENOMEM;
		}
		mutex_lock(&shard->lock);
		shard->buckets = table;
		mutex_unlock(&shard->lock);
	}
	*ret_cache = cache;
	return 0;
}

struct block_cache *block_cache_free(struct block_cache *cache)
{
	if (!cache)
		return NULL;
	for (int i = 0; i < SHARDS; i++) {
		struct shard *shard = &cache->shards[i];

		mutex_lock(&shard->lock);
		while (shard->oldest) {
			struct block *block = shard->oldest;

			shard->oldest = block->newer;
			block_unref(block);
		}
		free(shard->buckets);
		mutex_unlock(&shard->lock);
		mutex_deinit(&shard->lock);
	}
	free(cache);
	return NULL;
}

static uint64_t charge(const struct block *block)
{
	return sizeof(*block) + block->len;
}

static void list_add(struct shard *shard, struct block *block) REQUIRES(shard->lock)
{
	block->newer = NULL;
	*(shard->newest ? &shard->newest->newer : &shard->oldest) = block;
	shard->newest = block;
}

static struct block *take_oldest(struct shard *shard) REQUIRES(shard->lock)
{
	struct block *block = shard->oldest;

	shard->oldest = block->newer;
	if (!shard->oldest)
		shard->newest = NULL;
	return block;
}

static struct block *find(struct block *block, uint64_t file_id, uint64_t offset)
{
	while (block && (block->file_id != file_id || block->offset != offset))
		block = block->chain;
	return block;
}

struct block *block_cache_get(struct block_cache *cache, uint64_t file_id, uint64_t offset)
{
	uint64_t hash = spread(file_id, offset);
	struct shard *shard;
	struct block *block;

	if (!cache)
		return NULL;
	shard = &cache->shards[hash % SHARDS];
	mutex_lock(&shard->lock);
	block = find(shard->buckets[hash / SHARDS & cache->bucket_mask], file_id, offset);
	if (block) {
		block_ref(block);
		block->used = true;
	}
	shard->hits += block != NULL;
	shard->misses += block == NULL;
	/* What is read instead will take its place. */
	if (!block)
		__builtin_prefetch(shard->oldest);
	mutex_unlock(&shard->lock);
	return block;
}

/* The oldest block that was not used since it was looked at last. */
static void evict_one(struct block_cache *cache, struct shard *shard) REQUIRES(shard->lock)
{
	struct block *block = take_oldest(shard);
	struct block **link;
	uint64_t hash;

	while (block->used) {
		block->used = false;
		list_add(shard, block);
		block = take_oldest(shard);
	}
	hash = spread(block->file_id, block->offset);
	link = &shard->buckets[hash / SHARDS & cache->bucket_mask];
	while (*link != block)
		link = &(*link)->chain;
	*link = block->chain;
	shard->bytes -= charge(block);
	block_unref(block);
}

void block_cache_put(struct block_cache *cache, struct block *block)
{
	uint64_t hash = spread(block->file_id, block->offset);
	struct shard *shard;
	struct block **bucket;

	if (!cache || charge(block) > cache->shard_bytes)
		return;
	shard = &cache->shards[hash % SHARDS];
	mutex_lock(&shard->lock);
	bucket = &shard->buckets[hash / SHARDS & cache->bucket_mask];
	if (!find(*bucket, block->file_id, block->offset)) {
		while (shard->oldest && shard->bytes + charge(block) > cache->shard_bytes)
			evict_one(cache, shard);
		block->chain = *bucket;
		*bucket = block_ref(block);
		list_add(shard, block);
		shard->bytes += charge(block);
	}
	mutex_unlock(&shard->lock);
}

void block_cache_stats(struct block_cache *cache, uint64_t *ret_hits, uint64_t *ret_misses)
{
	*ret_hits = *ret_misses = 0;
	for (int i = 0; cache && i < SHARDS; i++) {
		mutex_lock(&cache->shards[i].lock);
		*ret_hits += cache->shards[i].hits;
		*ret_misses += cache->shards[i].misses;
		mutex_unlock(&cache->shards[i].lock);
	}
}

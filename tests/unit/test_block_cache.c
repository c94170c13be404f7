/* SPDX-License-Identifier: MIT */
#include "node/block_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void put(struct block_cache *cache, uint64_t file_id, uint64_t offset, size_t size)
{
	struct block *block = block_new(file_id, offset, size);

	assert_non_null(block);
	memset(block->data, (int)(file_id + offset), size);
	block_cache_put(cache, block);
	block_unref(block);
}

static void a_block_is_found_by_file_and_offset(void **state)
{
	struct block_cache *cache;
	struct block *block;
	uint64_t hits, misses;

	(void)state;
	assert_int_equal(block_cache_new(1 << 20, &cache), 0);
	put(cache, 1, 64, 100);
	block = block_cache_get(cache, 1, 64);
	assert_non_null(block);
	assert_int_equal(block->data[99], 65);
	block_unref(block);
	assert_null(block_cache_get(cache, 1, 65));
	assert_null(block_cache_get(cache, 2, 64));
	block_cache_stats(cache, &hits, &misses);
	assert_int_equal(hits, 1);
	assert_int_equal(misses, 2);
	block_cache_free(cache);
}

static unsigned count(struct block_cache *cache, unsigned blocks)
{
	unsigned found = 0;

	for (unsigned i = 0; i < blocks; i++) {
		struct block *block = block_cache_get(cache, 7, i * 4096);

		found += block != NULL;
		block_unref(block);
	}
	return found;
}

static void memory_stays_bounded_and_used_blocks_stay(void **state)
{
	struct block_cache *cache;
	struct block *pinned;
	unsigned kept;

	(void)state;
	assert_int_equal(block_cache_new(4 << 20, &cache), 0);
	put(cache, 7, 0, 4096);
	pinned = block_cache_get(cache, 7, 0);
	for (unsigned i = 1; i < 3000; i++) {
		put(cache, 7, i * 4096, 4096);
		block_unref(block_cache_get(cache, 7, 4096));
	}
	kept = count(cache, 3000);
	assert_true(kept > 700 && kept <= 1024);
	pinned = block_unref(pinned);
	block_cache_free(cache);
}

static void what_is_larger_than_a_shard_is_not_kept(void **state)
{
	struct block_cache *cache;

	(void)state;
	assert_int_equal(block_cache_new(65536, &cache), 0);
	put(cache, 7, 0, 65536);
	assert_int_equal(count(cache, 1), 0);
	block_cache_free(cache);
}

static void no_bytes_is_no_cache(void **state)
{
	struct block_cache *cache;

	(void)state;
	assert_int_equal(block_cache_new(0, &cache), 0);
	assert_null(cache);
	put(cache, 1, 1, 10);
	assert_null(block_cache_get(cache, 1, 1));
	assert_null(block_cache_free(cache));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_is_found_by_file_and_offset),
		cmocka_unit_test(memory_stays_bounded_and_used_blocks_stay),
		cmocka_unit_test(what_is_larger_than_a_shard_is_not_kept),
		cmocka_unit_test(no_bytes_is_no_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

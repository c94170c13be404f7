/* SPDX-License-Identifier: MIT */
/* The blocks that readers share. */
#include "fs/block.h"
#include "lib/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MAX 6

static int setup(void **state)
{
	return block_pool_new(MAX, (struct block_pool **)state);
}

static int teardown(void **state)
{
	block_pool_free(*state);
	return 0;
}

static struct block *take(struct block_pool *pool, struct block_owner *owner, uint64_t start)
{
	struct block *block;

	mutex_lock(&pool->lock);
	block = block_take_locked(pool, owner);
	if (block) {
		block->start = start;
		block->len = BLOCK_CAPACITY;
		memset(block->data, 1, block->len);
	}
	mutex_unlock(&pool->lock);
	return block;
}

static void loaded(struct block_pool *pool, struct block *block, int error)
{
	mutex_lock(&pool->lock);
	block_loaded_locked(pool, block, error);
	mutex_unlock(&pool->lock);
}

static struct block *find(struct block_pool *pool, const void *reader, uint64_t offset)
{
	struct block *block;

	mutex_lock(&pool->lock);
	block = block_find_locked(pool, reader, offset);
	mutex_unlock(&pool->lock);
	return block;
}

static void drop_all(struct block_pool *pool, struct block_owner *owner)
{
	mutex_lock(&pool->lock);
	block_drop_before_locked(pool, owner, UINT64_MAX);
	mutex_unlock(&pool->lock);
	assert_int_equal(owner->blocks, 0);
}

static unsigned share(struct block_pool *pool, struct block_owner *owner)
{
	unsigned n;

	mutex_lock(&pool->lock);
	n = block_share_locked(pool, owner);
	mutex_unlock(&pool->lock);
	return n;
}

static struct block_owner owner_of(const void *reader)
{
	return (struct block_owner){ .reader = reader, .used_ns = clock_monotonic_ns() };
}

static void there_are_only_so_many_and_they_come_back(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner owner = owner_of(&owner);

	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < MAX; i++) {
			struct block *block = take(pool, &owner, i * BLOCK_CAPACITY);

			assert_non_null(block);
			loaded(pool, block, 0);
		}
		assert_null(take(pool, &owner, 0));
		drop_all(pool, &owner);
	}
}

static void each_reader_finds_its_own_by_any_byte_of_them(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner mine = owner_of(&mine), other = owner_of(&other);
	struct block *a = take(pool, &mine, BLOCK_CAPACITY);
	struct block *b = take(pool, &other, BLOCK_CAPACITY);

	assert_null(find(pool, &mine, BLOCK_CAPACITY - 1));
	assert_ptr_equal(find(pool, &mine, BLOCK_CAPACITY), a);
	assert_ptr_equal(find(pool, &mine, 2 * BLOCK_CAPACITY - 1), a);
	assert_null(find(pool, &mine, 2 * BLOCK_CAPACITY));
	assert_ptr_equal(find(pool, &other, BLOCK_CAPACITY), b);
	loaded(pool, a, 0);
	loaded(pool, b, -EIO);
	assert_ptr_equal(find(pool, &mine, BLOCK_CAPACITY), a);
	assert_null(find(pool, &other, BLOCK_CAPACITY));
	drop_all(pool, &mine);
	drop_all(pool, &other);
}

static void what_is_held_keeps_its_bytes_after_it_was_dropped(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner owner = owner_of(&owner);
	struct block *held = take(pool, &owner, 0);

	loaded(pool, held, 0);
	mutex_lock(&pool->lock);
	block_hold_locked(pool, held);
	mutex_unlock(&pool->lock);
	drop_all(pool, &owner);
	assert_null(find(pool, &owner, 0));
	for (unsigned i = 1; i < MAX; i++) {
		struct block *block = take(pool, &owner, 0);

		assert_non_null(block);
		assert_ptr_not_equal(block, held);
		loaded(pool, block, 0);
	}
	assert_null(take(pool, &owner, 0));
	assert_int_equal(held->data[0], 1);
	mutex_lock(&pool->lock);
	block_release_locked(pool, held);
	mutex_unlock(&pool->lock);
	loaded(pool, take(pool, &owner, 0), 0);
	drop_all(pool, &owner);
}

static void what_is_dropped_while_it_is_loaded_stays_until_it_is(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner owner = owner_of(&owner);
	struct block *block = take(pool, &owner, 0);

	drop_all(pool, &owner);
	mutex_lock(&pool->lock);
	assert_false(block_is_wanted_locked(pool, block));
	mutex_unlock(&pool->lock);
	assert_int_equal(block->state, BLOCK_LOADING);
	loaded(pool, block, 0);
	assert_int_equal(block->state, BLOCK_FREE);
}

static void readers_share_and_none_is_left_without(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner owners[3] = { owner_of(&owners[0]), owner_of(&owners[1]),
					 owner_of(&owners[2]) };

	assert_int_equal(share(pool, &owners[0]), MAX);
	for (unsigned i = 0; i < 2; i++)
		loaded(pool, take(pool, &owners[i], 0), 0);
	assert_int_equal(share(pool, &owners[0]), MAX / 2);
	/* No less than what it takes to go on. */
	assert_int_equal(share(pool, &owners[2]), 3);
	drop_all(pool, &owners[0]);
	assert_int_equal(share(pool, &owners[1]), MAX);
	drop_all(pool, &owners[1]);
}

static void one_that_stopped_gives_way_to_others(void **state)
{
	struct block_pool *pool = *state;
	struct block_owner stopped = owner_of(&stopped), owner = owner_of(&owner);
	struct block *block;

	for (unsigned i = 0; i < MAX; i++)
		loaded(pool, take(pool, &stopped, i * BLOCK_CAPACITY), 0);
	assert_null(take(pool, &owner, 0));
	stopped.used_ns -= UINT64_C(5000000000);
	block = take(pool, &owner, 0);
	assert_non_null(block);
	assert_int_equal(stopped.blocks, MAX - 1);
	loaded(pool, block, 0);
	drop_all(pool, &stopped);
	drop_all(pool, &owner);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(there_are_only_so_many_and_they_come_back),
		TEST(each_reader_finds_its_own_by_any_byte_of_them),
		TEST(what_is_held_keeps_its_bytes_after_it_was_dropped),
		TEST(what_is_dropped_while_it_is_loaded_stays_until_it_is),
		TEST(readers_share_and_none_is_left_without),
		TEST(one_that_stopped_gives_way_to_others),
	};

	return cmocka_run_group_tests_name("fs_block", tests, NULL, NULL);
}

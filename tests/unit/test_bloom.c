/* SPDX-License-Identifier: MIT */
#include "lib/hash.h"
#include "node/bloom.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Only keys of one slot in @shards, as a node of a cluster holds them. */
static uint64_t hash_of(uint32_t *number, const char *prefix, unsigned shards)
{
	char key[32];
	uint64_t hash;

	do {
		int len = snprintf(key, sizeof(key), "%s%u", prefix, (*number)++);

		hash = hash64(key, (size_t)len, 0);
	} while (hash % 4096 % shards != 0);
	return hash;
}

static double false_positive_rate(unsigned keys, unsigned shards)
{
	size_t size = bloom_size(keys);
	uint8_t *filter = calloc(1, size);
	uint32_t number = 0, other = 0;
	unsigned found = 0, asked = 200000;

	assert_non_null(filter);
	for (unsigned i = 0; i < keys; i++)
		bloom_add(filter, size, hash_of(&number, "key", shards));
	number = 0;
	for (unsigned i = 0; i < keys; i++)
		assert_true(bloom_may_contain(filter, size, hash_of(&number, "key", shards)));
	for (unsigned i = 0; i < asked; i++)
		found += bloom_may_contain(filter, size, hash_of(&other, "absent", shards));
	free(filter);
	return (double)found / asked;
}

static void it_never_misses_a_key_and_seldom_finds_an_absent_one(void **state)
{
	(void)state;
	assert_true(false_positive_rate(1, 1) < 0.001);
	assert_true(false_positive_rate(6000, 1) < 0.0125);
	assert_true(false_positive_rate(100000, 1) < 0.0125);
}

static void keys_of_one_shard_of_many_are_told_apart_as_well(void **state)
{
	(void)state;
	assert_true(false_positive_rate(50000, 16) < 0.0125);
}

static void an_empty_filter_holds_nothing(void **state)
{
	uint8_t line[BLOOM_LINE_BYTES] = { 0 };

	(void)state;
	assert_int_equal(bloom_size(0), BLOOM_LINE_BYTES);
	assert_false(bloom_may_contain(line, sizeof(line), UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_never_misses_a_key_and_seldom_finds_an_absent_one),
		cmocka_unit_test(keys_of_one_shard_of_many_are_told_apart_as_well),
		cmocka_unit_test(an_empty_filter_holds_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

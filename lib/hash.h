/* SPDX-License-Identifier: MIT */
/*
 * Hashes and slots, over XXH3 (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
 * Threads: all functions are pure; a hash_stream belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOT_COUNT 4096

struct hash128 {
	uint64_t low;
	uint64_t high;
};

static inline bool hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.low == b.low && a.high == b.high;
}

uint64_t hash64(const void *data, size_t len, uint64_t seed);
struct hash128 hash128(const void *data, size_t len);
/* The slot of a key: XXH3_64(key) mod SLOT_COUNT. */
unsigned hash_slot(const void *key, size_t len);

/* XXH3-128 of a value that arrives in pieces. */
struct hash_stream;
/* NULL if memory is out. */
struct hash_stream *hash_stream_new(void);
void hash_stream_update(struct hash_stream *stream, const void *data, size_t len);
struct hash128 hash_stream_digest(const struct hash_stream *stream);
struct hash_stream *hash_stream_free(struct hash_stream *stream);

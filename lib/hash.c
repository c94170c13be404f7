/* SPDX-License-Identifier: MIT */
#include "lib/hash.h"

#include <xxhash.h>

/* xxhash declares its inputs non-null. */
static const void *non_null(const void *data)
{
	return data ? data : "";
}

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(non_null(data), len, seed);
}

struct hash128 hash128(const void *data, size_t len)
{
	XXH128_hash_t hash = XXH3_128bits(non_null(data), len);

	return (struct hash128){ .low = hash.low64, .high = hash.high64 };
}

unsigned hash_slot(const void *key, size_t len)
{
	return (unsigned)(XXH3_64bits(non_null(key), len) % SLOT_COUNT);
}

/* The opaque struct is xxhash's own state under our name: never dereferenced as anything else. */
static XXH3_state_t *state_of(struct hash_stream *stream)
{
	return (XXH3_state_t *)(void *)stream;
}

struct hash_stream *hash_stream_new(void)
{
	XXH3_state_t *state = XXH3_createState();

	if (!state)
		return NULL;
	XXH3_128bits_reset(state);
	return (struct hash_stream *)(void *)state;
}

void hash_stream_update(struct hash_stream *stream, const void *data, size_t len)
{
	if (len > 0)
		XXH3_128bits_update(state_of(stream), data, len);
}

struct hash128 hash_stream_digest(const struct hash_stream *stream)
{
	XXH128_hash_t hash = XXH3_128bits_digest((const XXH3_state_t *)(const void *)stream);

	return (struct hash128){ .low = hash.low64, .high = hash.high64 };
}

struct hash_stream *hash_stream_free(struct hash_stream *stream)
{
	XXH3_freeState(state_of(stream));
	return NULL;
}

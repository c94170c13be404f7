/* SPDX-License-Identifier: MIT */
/*
 * xxhash is built for the oldest processor of its kind. Where it has variants for newer ones it
 * picks one by what it runs on, and is four times as fast: but for short inputs, which gain nothing
 * and would pay for the choice.
 */
#include "lib/hash.h"

#ifdef HEXKV_XXH_DISPATCH
#define XXH_DISPATCH_DISABLE_REPLACE
#include <xxh_x86dispatch.h>
#define LONG_64(data, len, seed)     XXH3_64bits_withSeed_dispatch(data, len, seed)
#define LONG_128(data, len)          XXH3_128bits_dispatch(data, len)
#define UPDATE_128(state, data, len) XXH3_128bits_update_dispatch(state, data, len)
#else
#include <xxhash.h>
#define LONG_64(data, len, seed)     XXH3_64bits_withSeed(data, len, seed)
#define LONG_128(data, len)          XXH3_128bits(data, len)
#define UPDATE_128(state, data, len) XXH3_128bits_update(state, data, len)
#endif

/* Up to here XXH3 has special cases, all scalar. */
#define SHORT_MAX 240

/* xxhash declares its inputs non-null. */
static const void *non_null(const void *data)
{
	return data ? data : "";
}

uint64_t hash64(const void *data, size_t len, uint64_t seed)
{
	if (len <= SHORT_MAX)
		return XXH3_64bits_withSeed(non_null(data), len, seed);
	return LONG_64(data, len, seed);
}

struct hash128 hash128(const void *data, size_t len)
{
	XXH128_hash_t hash =
		len <= SHORT_MAX ? XXH3_128bits(non_null(data), len) : LONG_128(data, len);

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
		UPDATE_128(state_of(stream), data, len);
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

#ifdef HEXKV_XXH_DISPATCH
/* xxhash looks at the processor at the first call of each kind, without a lock: let that be before
 * there are threads. */
__attribute__((constructor)) static void pick_variants(void)
{
	static const uint8_t zeros[1024];
	struct hash_stream *stream = hash_stream_new();

	hash64(zeros, sizeof(zeros), 1);
	hash128(zeros, sizeof(zeros));
	if (stream)
		hash_stream_update(stream, zeros, sizeof(zeros));
	hash_stream_free(stream);
}
#endif

/* SPDX-License-Identifier: MIT */
/*
 * A get touches one cache line a filter (Putze, Sanders, Singler, "Cache-, Hash- and
 * Space-Efficient Bloom Filters", 2007). The hash's high half picks the line; a multiplication
 * spreads the low half so that its top 54 bits hold six probes of 9 bits.
 */
#include "node/bloom.h"

#define BITS_PER_KEY 10
#define PROBES       6
#define PROBE_BITS   9 /* 512 bits a line */

size_t bloom_size(uint64_t keys)
{
	uint64_t lines = (keys * BITS_PER_KEY + BLOOM_LINE_BYTES * 8 - 1) / (BLOOM_LINE_BYTES * 8);

	/* The line is picked by 32 bits of the hash. */
	if (lines > UINT32_MAX)
		lines = UINT32_MAX;
	return (size_t)(lines > 0 ? lines : 1) * BLOOM_LINE_BYTES;
}

static size_t line_offset(size_t size, uint64_t hash)
{
	uint64_t lines = size / BLOOM_LINE_BYTES;

	return (size_t)(((hash >> 32) * lines) >> 32) * BLOOM_LINE_BYTES;
}

static uint64_t spread(uint64_t hash)
{
	/* 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4). */
	return (uint64_t)(uint32_t)hash * UINT64_C(0x9e3779b97f4a7c15);
}

void bloom_add(uint8_t *filter, size_t size, uint64_t hash)
{
	uint8_t *line = filter + line_offset(size, hash);
	uint64_t probes = spread(hash);

	for (int i = 0; i < PROBES; i++, probes <<= PROBE_BITS) {
		unsigned bit = (unsigned)(probes >> (64 - PROBE_BITS));

		line[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
}

bool bloom_may_contain(const uint8_t *filter, size_t size, uint64_t hash)
{
	const uint8_t *line = filter + line_offset(size, hash);
	uint64_t probes = spread(hash);

	for (int i = 0; i < PROBES; i++, probes <<= PROBE_BITS) {
		unsigned bit = (unsigned)(probes >> (64 - PROBE_BITS));

		if (!(line[bit / 8] >> bit % 8 & 1))
			return false;
	}
	return true;
}

void bloom_prefetch(const uint8_t *filter, size_t size, uint64_t hash)
{
	__builtin_prefetch(filter + line_offset(size, hash));
}

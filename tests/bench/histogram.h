/* SPDX-License-Identifier: MIT */
/* Counts of durations in ns, to within 2 percent. Threads: the caller serialises. */
#pragma once

#include <stdint.h>

#define HISTOGRAM_BITS    6 /* of precision */
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_BITS) << HISTOGRAM_BITS)

struct histogram {
	uint64_t counts[HISTOGRAM_BUCKETS];
	uint64_t total;
	uint64_t most;
};

static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < 1 << HISTOGRAM_BITS)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - (HISTOGRAM_BITS - 1);
	return (shift << (HISTOGRAM_BITS - 1)) + (unsigned)(value >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->counts[histogram_bucket(value)]++;
	histogram->total++;
	if (value > histogram->most)
		histogram->most = value;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *other)
{
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->counts[i] += other->counts[i];
	into->total += other->total;
	if (other->most > into->most)
		into->most = other->most;
}

/* The least value that @part of all do not exceed. */
static inline uint64_t histogram_quantile(const struct histogram *histogram, double part)
{
	uint64_t wanted = (uint64_t)(part * (double)histogram->total), seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		unsigned shift;

		seen += histogram->counts[i];
		if (seen <= wanted)
			continue;
		if (i < 1 << HISTOGRAM_BITS)
			return i;
		shift = (i >> (HISTOGRAM_BITS - 1)) - 1;
		return (((uint64_t)i - ((uint64_t)shift << (HISTOGRAM_BITS - 1)) + 1) << shift) - 1;
	}
	return histogram->most;
}

/* SPDX-License-Identifier: MIT */
#include "fs/latency.h"

#define FIRST_BITS 10 /* what takes less than 1024 ns is in the first count */

static unsigned index_of(uint64_t ns)
{
	unsigned bits, index;

	if (ns >> FIRST_BITS == 0)
		return 0;
	bits = 63 - (unsigned)__builtin_clzll(ns);
	index = 1 + 4 * (bits - FIRST_BITS) + (unsigned)(ns >> (bits - 2) & 3);
	return index < LATENCY_COUNTS ? index : LATENCY_COUNTS - 1;
}

/* What is in the count took less than this. */
static uint64_t bound_of(unsigned index)
{
	if (index == 0)
		return UINT64_C(1) << FIRST_BITS;
	index--;
	return (uint64_t)(5 + index % 4) << (FIRST_BITS + index / 4 - 2);
}

void latency_observe(struct latency *latency, uint64_t ns)
{
	atomic_fetch_add_explicit(&latency->counts[index_of(ns)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&latency->sum_ns, ns, memory_order_relaxed);
}

uint64_t latency_count(const struct latency *latency)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < LATENCY_COUNTS; i++)
		sum += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
	return sum;
}

uint64_t latency_quantile_ns(const struct latency *latency, unsigned permille)
{
	uint64_t wanted = (latency_count(latency) * permille + 999) / 1000;
	uint64_t seen = 0;

	if (wanted == 0)
		wanted = 1;
	for (unsigned i = 0; i < LATENCY_COUNTS; i++) {
		seen += atomic_load_explicit(&latency->counts[i], memory_order_relaxed);
		if (seen >= wanted)
			return bound_of(i);
	}
	return 0;
}

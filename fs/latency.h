/* SPDX-License-Identifier: MIT */
/*
 * How long something took, kept so that quantiles can be told: four counts an octave, from a
 * microsecond to a quarter of an hour, so a quantile is at most a quarter too large.
 * Threads: relaxed atomics, any.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define LATENCY_OCTAVES 30
#define LATENCY_COUNTS  (1 + 4 * LATENCY_OCTAVES)

struct latency {
	_Atomic uint64_t counts[LATENCY_COUNTS];
	_Atomic uint64_t sum_ns;
};

void latency_observe(struct latency *latency, uint64_t ns);
uint64_t latency_count(const struct latency *latency);
/* What @permille of all took at most, 0 if there are none. */
uint64_t latency_quantile_ns(const struct latency *latency, unsigned permille);

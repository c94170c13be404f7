/* SPDX-License-Identifier: MIT */
#include "fs/patience.h"

#include "lib/clock.h"

#include <stdatomic.h>

/* In which a router that is back answers. */
#define LEAST_MS 250

static _Thread_local uint64_t waits_since_ms; /* 0: it did not wait */
static atomic_uint_fast64_t renewed_at_ms;

void patience_begin(uint64_t since_ms)
{
	waits_since_ms = since_ms;
}

void patience_end(void)
{
	waits_since_ms = 0;
}

void patience_renew(void)
{
	atomic_store_explicit(&renewed_at_ms, clock_monotonic_ms(), memory_order_relaxed);
}

uint32_t patience_left_ms(uint32_t timeout_ms)
{
	uint64_t since = atomic_load_explicit(&renewed_at_ms, memory_order_relaxed);
	uint64_t now = clock_monotonic_ms(), silent, left;

	if (waits_since_ms == 0)
		return timeout_ms;
	if (since < waits_since_ms)
		since = waits_since_ms;
	silent = now > since ? now - since : 0;
	left = silent < timeout_ms ? timeout_ms - silent : 0;
	if (left >= LEAST_MS)
		return (uint32_t)left;
	return timeout_ms < LEAST_MS ? timeout_ms : LEAST_MS;
}

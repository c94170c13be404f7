/* SPDX-License-Identifier: MIT */
/* Names of records for measuring: a number's name is always the same, and names of following
 * numbers are far apart, as hashes are. */
#pragma once

#include "lib/hex.h"

#include <stdint.h>
#include <string.h>

#define BENCH_NAME_BYTES 33 /* 32 hex digits and a NUL */

/* A bijection: the finalizer of MurmurHash3. */
static inline uint64_t bench_scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static inline void bench_name(uint64_t number, char ret_name[BENCH_NAME_BYTES])
{
	uint64_t words[2] = { bench_scramble(number), bench_scramble(~number) };

	hex_encode(words, sizeof(words), ret_name);
}

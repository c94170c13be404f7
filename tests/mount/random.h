/* SPDX-License-Identifier: MIT */
/* The numbers that a seed stands for (splitmix64). Threads: the caller serialises. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 to @n - 1. */
static inline size_t random_below(struct random *random, size_t n)
{
	return n == 0 ? 0 : (size_t)(random_next(random) % n);
}

/* True once in @n times. */
static inline bool random_once_in(struct random *random, size_t n)
{
	return random_below(random, n) == 0;
}

static inline void random_fill(struct random *random, void *data, size_t len)
{
	uint8_t *p = data;

	for (size_t i = 0; i < len; i += 8) {
		uint64_t bits = random_next(random);

		for (size_t j = 0; j < 8 && i + j < len; j++)
			p[i + j] = (uint8_t)(bits >> (8 * j));
	}
}

/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_random.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct shard_random *served;

uint64_t shard_random_next(struct shard_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t shard_random_below(struct shard_random *random, uint64_t below)
{
	return below > 0 ? shard_random_next(random) % below : 0;
}

bool shard_random_percent(struct shard_random *random, unsigned percent)
{
	return shard_random_below(random, 100) < percent;
}

/* -ln(u) in sixteenths by its binary digits: no floating point, so the same everywhere. */
uint64_t shard_random_around(struct shard_random *random, uint64_t mean)
{
	uint64_t draw = shard_random_next(random) | 1;
	unsigned halvings = 0;

	while (!(draw >> 63)) {
		draw <<= 1;
		halvings++;
	}
	/* log2 is about linear between powers of two. */
	return 1 + mean * (halvings * 16 + 15 - (draw >> 59 & 15)) * 7 / 160;
}

void shard_random_serve(struct shard_random *random)
{
	served = random;
}

/* In place of the C library's. */
void arc4random_buf(void *data, size_t len)
{
	uint8_t *at = data;

	assert(served);
	while (len > 0) {
		uint64_t draw = shard_random_next(served);
		size_t part = len < sizeof(draw) ? len : sizeof(draw);

		memcpy(at, &draw, part);
		at += part;
		len -= part;
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * Chance in a simulation of a shard: every draw comes from the seed, those of the programs under
 * test too (arc4random_buf() is replaced while a simulation runs). Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shard_random {
	uint64_t state;
};

uint64_t shard_random_next(struct shard_random *random);
/* 0 .. below - 1; 0 if @below is 0. */
uint64_t shard_random_below(struct shard_random *random, uint64_t below);
bool shard_random_percent(struct shard_random *random, unsigned percent);
/* Exponential around @mean, at least 1: how long until something that happens at any time. */
uint64_t shard_random_around(struct shard_random *random, uint64_t mean);

/* What arc4random_buf() draws from until it is called with NULL. */
void shard_random_serve(struct shard_random *random);

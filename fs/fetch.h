/* SPDX-License-Identifier: MIT */
/*
 * One ranged request that fills several blocks, each of use as soon as it is whole.
 *
 * Ownership: belongs to the thread that runs it. Threads: see fs/block.h.
 */
#pragma once

#include "fs/prefetch.h"
#include "fs/remote.h"

#define FETCH_BLOCKS_MAX 8

/* What is fetched, of which version. */
struct fetch_from {
	struct remote *remote;
	const char *key;
	struct version version;
	struct pin *pin; /* NULL: none */
};

/* @pool is the one of @prefetch. @blocks are LOADING, adjacent and in order. False, and they are to
 * be given back, if there is no memory or no thread free for it. */
bool fetch_start_locked(struct prefetch *prefetch, struct block_pool *pool,
			const struct fetch_from *from, struct block *const blocks[], unsigned count)
	REQUIRES(&pool->lock);

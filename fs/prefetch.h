/* SPDX-License-Identifier: MIT */
/*
 * A few threads that fetch what will be wanted next, and the memory for it. Threads: any.
 */
#pragma once

#include "fs/block.h"

struct prefetch;

/* Embedded by its user, who keeps it until run() was called. */
struct prefetch_job {
	void (*run)(struct prefetch_job *);
	struct prefetch_job *next;
};

int prefetch_new(unsigned threads, unsigned blocks_max, struct prefetch **ret_prefetch);
/* Runs what is queued, then ends the threads. */
struct prefetch *prefetch_free(struct prefetch *prefetch);
void prefetch_submit(struct prefetch *prefetch, struct prefetch_job *job);
/* False, and nothing is done, if no thread is free to run it now. */
bool prefetch_submit_now(struct prefetch *prefetch, struct prefetch_job *job);

struct block_pool *prefetch_blocks(struct prefetch *prefetch);

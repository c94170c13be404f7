/* SPDX-License-Identifier: MIT */
/*
 * A few threads that fetch what readers will want next, and the bound on the memory of all readers.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

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

/* One more block of memory; false if all are in use. */
bool prefetch_take_block(struct prefetch *prefetch);
void prefetch_return_block(struct prefetch *prefetch);

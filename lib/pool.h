/* SPDX-License-Identifier: MIT */
/*
 * A few threads for what may block (disk reads that are not cached, streams), answering into an
 * event loop. Threads: pool_submit() from any thread.
 */
#pragma once

#include "lib/loop.h"

struct pool;

/* Embedded by its user; belongs to the pool from pool_submit() until done() runs. */
struct pool_job {
	void (*run)(struct pool_job *); /* in a pool thread */
	void (*done)(struct pool_job *); /* in the loop's thread */
	struct loop *loop;
	struct pool_job *next; /* the pool's */
	struct loop_task task; /* the pool's */
};

int pool_new(unsigned threads, struct pool **ret_pool);
/* First in, first out. */
void pool_submit(struct pool *pool, struct pool_job *job);
/* Finishes all jobs, then ends the threads. The loops must still be able to run what is posted to
 * them. */
struct pool *pool_free(struct pool *pool);

/* SPDX-License-Identifier: MIT */
#include "fs/prefetch.h"

#include "fs/stats.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct prefetch {
	atomic_uint blocks;
	unsigned blocks_max;

	struct mutex lock; /* protects what follows */
	struct condition work;
	struct prefetch_job *first;
	struct prefetch_job *last;
	bool ending;

	unsigned thread_count;
	pthread_t threads[];
};

static struct prefetch_job *next_job(struct prefetch *prefetch)
{
	struct prefetch_job *job;

	mutex_lock(&prefetch->lock);
	while (!prefetch->first && !prefetch->ending)
		condition_wait(&prefetch->work, &prefetch->lock);
	job = prefetch->first;
	if (job) {
		prefetch->first = job->next;
		if (!prefetch->first)
			prefetch->last = NULL;
	}
	mutex_unlock(&prefetch->lock);
	return job;
}

static void *prefetch_thread(void *state)
{
	struct prefetch *prefetch = state;
	struct prefetch_job *job;

	while ((job = next_job(prefetch)))
		job->run(job);
	return NULL;
}

int prefetch_new(unsigned threads, unsigned blocks_max, struct prefetch **ret_prefetch)
{
	struct prefetch *prefetch = calloc(1, sizeof(*prefetch) + threads * sizeof(pthread_t));

	if (!prefetch)
		return -ENOMEM;
	mutex_init(&prefetch->lock);
	condition_init(&prefetch->work);
	prefetch->blocks_max = blocks_max;
	for (; prefetch->thread_count < threads; prefetch->thread_count++) {
		int r = pthread_create(&prefetch->threads[prefetch->thread_count], NULL,
				       prefetch_thread, prefetch);

		if (r != 0) {
			prefetch_free(prefetch);
			return -r;
		}
	}
	*ret_prefetch = prefetch;
	return 0;
}

struct prefetch *prefetch_free(struct prefetch *prefetch)
{
	if (!prefetch)
		return NULL;
	mutex_lock(&prefetch->lock);
	prefetch->ending = true;
	condition_broadcast(&prefetch->work);
	mutex_unlock(&prefetch->lock);
	for (unsigned i = 0; i < prefetch->thread_count; i++)
		pthread_join(prefetch->threads[i], NULL);
	condition_deinit(&prefetch->work);
	mutex_deinit(&prefetch->lock);
	free(prefetch);
	return NULL;
}

void prefetch_submit(struct prefetch *prefetch, struct prefetch_job *job)
{
	job->next = NULL;
	mutex_lock(&prefetch->lock);
	*(prefetch->last ? &prefetch->last->next : &prefetch->first) = job;
	prefetch->last = job;
	condition_signal(&prefetch->work);
	mutex_unlock(&prefetch->lock);
}

bool prefetch_take_block(struct prefetch *prefetch)
{
	if (atomic_fetch_add(&prefetch->blocks, 1) < prefetch->blocks_max) {
		stats_gauge_add(STATS_READ_AHEAD_BLOCKS, 1);
		return true;
	}
	atomic_fetch_sub(&prefetch->blocks, 1);
	return false;
}

void prefetch_return_block(struct prefetch *prefetch)
{
	stats_gauge_add(STATS_READ_AHEAD_BLOCKS, -1);
	atomic_fetch_sub(&prefetch->blocks, 1);
}

/* SPDX-License-Identifier: MIT */
#include "fs/prefetch.h"

#include <errno.h>
#include <stdlib.h>

struct prefetch {
	struct block_pool *blocks;

	struct mutex lock; /* protects what follows */
	struct condition work;
	struct prefetch_job *first;
	struct prefetch_job *last;
	unsigned jobs; /* queued or running */
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

	while ((job = next_job(prefetch))) {
		job->run(job);
		mutex_lock(&prefetch->lock);
		prefetch->jobs--;
		mutex_unlock(&prefetch->lock);
	}
	return NULL;
}

int prefetch_new(unsigned threads, unsigned blocks_max, struct prefetch **ret_prefetch)
{
	struct prefetch *prefetch = calloc(1, sizeof(*prefetch) + threads * sizeof(pthread_t));
	int r;

	if (!prefetch)
		return -ENOMEM;
	mutex_init(&prefetch->lock);
	condition_init(&prefetch->work);
	r = block_pool_new(blocks_max, &prefetch->blocks);
	if (r < 0) {
		prefetch_free(prefetch);
		return r;
	}
	for (; prefetch->thread_count < threads; prefetch->thread_count++) {
		r = pthread_create(&prefetch->threads[prefetch->thread_count], NULL,
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
	block_pool_free(prefetch->blocks);
	condition_deinit(&prefetch->work);
	mutex_deinit(&prefetch->lock);
	free(prefetch);
	return NULL;
}

static void submit_locked(struct prefetch *prefetch, struct prefetch_job *job)
	REQUIRES(&prefetch->lock)
{
	job->next = NULL;
	*(prefetch->last ? &prefetch->last->next : &prefetch->first) = job;
	prefetch->last = job;
	prefetch->jobs++;
	condition_signal(&prefetch->work);
}

void prefetch_submit(struct prefetch *prefetch, struct prefetch_job *job)
{
	mutex_lock(&prefetch->lock);
	submit_locked(prefetch, job);
	mutex_unlock(&prefetch->lock);
}

bool prefetch_submit_now(struct prefetch *prefetch, struct prefetch_job *job)
{
	bool now;

	mutex_lock(&prefetch->lock);
	now = prefetch->jobs < prefetch->thread_count;
	if (now)
		submit_locked(prefetch, job);
	mutex_unlock(&prefetch->lock);
	return now;
}

struct block_pool *prefetch_blocks(struct prefetch *prefetch)
{
	return prefetch->blocks;
}

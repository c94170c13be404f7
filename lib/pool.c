/* SPDX-License-Identifier: MIT */
#include "lib/pool.h"

#include "lib/container_of.h"
#include "lib/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct pool {
	struct mutex lock;
	struct condition work;

	/* protected by lock */
	struct pool_job *first;
	struct pool_job **last_next;
	bool closing;

	/* immutable after new */
	unsigned thread_count;
	pthread_t threads[];
};

static void finish_job(struct loop_task *task)
{
	struct pool_job *job = container_of(task, struct pool_job, task);

	job->done(job);
}

/* The next job, or NULL when the pool closes and none is left. */
static struct pool_job *next_job(struct pool *pool)
{
	struct pool_job *job;

	mutex_lock(&pool->lock);
	while (!pool->first && !pool->closing)
		condition_wait(&pool->work, &pool->lock);
	job = pool->first;
	if (job) {
		pool->first = job->next;
		if (!pool->first)
			pool->last_next = &pool->first;
	}
	mutex_unlock(&pool->lock);
	return job;
}

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;
	struct pool_job *job;

	while ((job = next_job(pool))) {
		job->run(job);
		job->task.run = finish_job;
		loop_post(job->loop, &job->task);
	}
	return NULL;
}

int pool_new(unsigned threads, struct pool **ret_pool)
{
	struct pool *pool = calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

	if (!pool)
		return -ENOMEM;
	mutex_init(&pool->lock);
	condition_init(&pool->work);
	pool->last_next = &pool->first;
	while (pool->thread_count < threads) {
		int r = pthread_create(&pool->threads[pool->thread_count], NULL, pool_thread, pool);

		if (r != 0) {
			pool_free(pool);
			return -r;
		}
		pool->thread_count++;
	}
	*ret_pool = pool;
	return 0;
}

void pool_submit(struct pool *pool, struct pool_job *job)
{
	job->next = NULL;
	mutex_lock(&pool->lock);
	*pool->last_next = job;
	pool->last_next = &job->next;
	condition_signal(&pool->work);
	mutex_unlock(&pool->lock);
}

struct pool *pool_free(struct pool *pool)
{
	if (!pool)
		return NULL;
	mutex_lock(&pool->lock);
	pool->closing = true;
	condition_broadcast(&pool->work);
	mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++)
		pthread_join(pool->threads[i], NULL);
	condition_deinit(&pool->work);
	mutex_deinit(&pool->lock);
	free(pool);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "lib/mutex.h"

#include <errno.h>
#include <time.h>

void mutex_init(struct mutex *mutex)
{
	int r = pthread_mutex_init(&mutex->lock, NULL);

	assert(r == 0);
	(void)r;
}

void mutex_deinit(struct mutex *mutex)
{
	int r = pthread_mutex_destroy(&mutex->lock);

	assert(r == 0);
	(void)r;
}

void mutex_lock(struct mutex *mutex) NO_THREAD_SAFETY_ANALYSIS
{
	int r = pthread_mutex_lock(&mutex->lock);

	assert(r == 0);
	(void)r;
}

void mutex_unlock(struct mutex *mutex) NO_THREAD_SAFETY_ANALYSIS
{
	int r = pthread_mutex_unlock(&mutex->lock);

	assert(r == 0);
	(void)r;
}

void condition_init(struct condition *condition)
{
	pthread_condattr_t attr;
	int r;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = pthread_cond_init(&condition->cond, &attr);
	assert(r == 0);
	(void)r;
	pthread_condattr_destroy(&attr);
}

void condition_deinit(struct condition *condition)
{
	pthread_cond_destroy(&condition->cond);
}

void condition_wait(struct condition *condition, struct mutex *mutex)
{
	pthread_cond_wait(&condition->cond, &mutex->lock);
}

int condition_wait_until(struct condition *condition, struct mutex *mutex, uint64_t deadline_ms)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ms / 1000),
		.tv_nsec = (long)(deadline_ms % 1000) * 1000000,
	};

	return pthread_cond_timedwait(&condition->cond, &mutex->lock, &ts) == ETIMEDOUT ? -ETIMEDOUT
											: 0;
}

void condition_signal(struct condition *condition)
{
	pthread_cond_signal(&condition->cond);
}

void condition_broadcast(struct condition *condition)
{
	pthread_cond_broadcast(&condition->cond);
}

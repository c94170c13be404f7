/* SPDX-License-Identifier: MIT */
/*
 * Mutex and condition variable that clang's -Wthread-safety understands
 * (https://clang.llvm.org/docs/ThreadSafetyAnalysis.html). They never fail: misuse is an assertion.
 */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdint.h>

#if defined(__clang__)
#define THREAD_ATTRIBUTE(x) __attribute__((x))
#else
#define THREAD_ATTRIBUTE(x)
#endif
/* GUARDED_BY is for the reader: in C clang can't look up a member of the struct being declared. */
#define CAPABILITY THREAD_ATTRIBUTE(capability("mutex"))
#define GUARDED_BY(lock)
#define REQUIRES(lock)            THREAD_ATTRIBUTE(requires_capability(lock))
#define ACQUIRES(lock)            THREAD_ATTRIBUTE(acquire_capability(lock))
#define RELEASES(lock)            THREAD_ATTRIBUTE(release_capability(lock))
#define EXCLUDES(lock)            THREAD_ATTRIBUTE(locks_excluded(lock))
#define NO_THREAD_SAFETY_ANALYSIS THREAD_ATTRIBUTE(no_thread_safety_analysis)

struct CAPABILITY mutex {
	pthread_mutex_t lock;
};

struct condition {
	pthread_cond_t cond;
};

void mutex_init(struct mutex *mutex);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex) ACQUIRES(mutex);
void mutex_unlock(struct mutex *mutex) RELEASES(mutex);

/* Waits on the monotonic clock. */
void condition_init(struct condition *condition);
void condition_deinit(struct condition *condition);
void condition_wait(struct condition *condition, struct mutex *mutex) REQUIRES(mutex);
/* 0, or -ETIMEDOUT once clock_monotonic_ms() has reached @deadline_ms. */
int condition_wait_until(struct condition *condition, struct mutex *mutex, uint64_t deadline_ms)
	REQUIRES(mutex);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

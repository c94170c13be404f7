/* SPDX-License-Identifier: MIT */
#include "tests/mount/crowd.h"

#include "lib/clock.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECOVERS_WITHIN_MS 120000

const char *const crowd_names[CROWD_KEYS] = { "c0", "c1aa", "c2bbbb", "c3", "c4dd", "c5eeee" };

bool crowd_expect(struct crowd_thread *thread, const char *what, unsigned key, int error)
{
	struct crowd *crowd = thread->crowd;
	bool may = crowd->options->trouble &&
		   (error == -EIO || error == -ETIMEDOUT || error == -ECONNREFUSED ||
		    (thread->mount == CROWD_MOUNTS && error != -ENOENT));

	if (error == 0)
		return true;
	if (!may)
		report_fail("%s: %s of %s: %s", thread->who, what, crowd_names[key],
			    strerror(-error));
	atomic_fetch_add(&crowd->errors, 1);
	return false;
}

const char *crowd_path(const struct crowd_thread *thread, const char *name, char *buffer,
		       size_t size)
{
	snprintf(buffer, size, "%s/%s", thread->crowd->options->sites[thread->mount].path, name);
	return buffer;
}

static void one_operation(struct crowd_thread *thread)
{
	unsigned key = (unsigned)random_below(&thread->random, CROWD_KEYS);
	size_t choice = random_below(&thread->random, 20);

	if (choice == 0)
		(void)crowd_remove(thread, key);
	else if (choice < 7)
		(void)crowd_write(thread, key);
	else
		(void)crowd_read(thread, key);
}

static void *work(void *state)
{
	struct crowd_thread *thread = state;

	while (!atomic_load(&thread->crowd->ends))
		one_operation(thread);
	return NULL;
}

static void thread_init(struct crowd_thread *thread, struct crowd *crowd, unsigned number)
{
	thread->crowd = crowd;
	thread->number = number;
	thread->mount = number % (CROWD_MOUNTS + 1);
	thread->random.state = crowd->options->seed * 1000 + number;
	snprintf(thread->who, sizeof(thread->who), "thread %u on %s %u", number,
		 thread->mount < CROWD_MOUNTS ? "mount" : "HTTP", thread->mount);
	thread->scratch_fd = memfd_create("crowd", MFD_CLOEXEC);
	thread->data = malloc(CLAIM_BYTES_MAX);
	if (thread->scratch_fd < 0 || !thread->data)
		report_fail("out of memory");
}

static void thread_deinit(struct crowd_thread *thread)
{
	close(thread->scratch_fd);
	free(thread->data);
}

/* Whatever came, in the end each thread can write and read each key again. */
static void expect_recovery(struct crowd_thread *thread)
{
	uint64_t deadline_ms = clock_monotonic_ms() + RECOVERS_WITHIN_MS;

	for (unsigned key = 0; key < CROWD_KEYS; key++) {
		while (crowd_read(thread, key) < 0 || crowd_write(thread, key) < 0 ||
		       crowd_read(thread, key) < 0) {
			if (clock_monotonic_ms() > deadline_ms)
				report_fail("%s: %s does not work again", thread->who,
					    crowd_names[key]);
			poll(NULL, 0, 50);
		}
	}
}

static void clear(const struct crowd_options *options, const char *name)
{
	uint64_t deadline_ms = clock_monotonic_ms() + RECOVERS_WITHIN_MS;
	int r;

	do {
		r = side_delete(options->side, name);
		if (r == 0 || r == -ENOENT)
			return;
	} while (options->trouble && clock_monotonic_ms() < deadline_ms);
	report_fail("DELETE of %s: %s", name, strerror(-r));
}

void crowd_run(const struct crowd_options *options)
{
	struct crowd_thread threads[CROWD_THREADS] = { 0 };
	struct crowd crowd = { .options = options };
	pthread_t ids[CROWD_THREADS];

	for (unsigned i = 0; i < CROWD_KEYS; i++) {
		clear(options, crowd_names[i]);
		history_init(&crowd.keys[i].history, crowd_names[i]);
		mutex_init(&crowd.keys[i].in_place);
	}
	for (unsigned i = 0; i < CROWD_THREADS; i++) {
		thread_init(&threads[i], &crowd, i);
		if (pthread_create(&ids[i], NULL, work, &threads[i]) != 0)
			report_fail("no thread");
	}
	poll(NULL, 0, (int)(options->seconds * 1000));
	atomic_store(&crowd.ends, true);
	for (unsigned i = 0; i < CROWD_THREADS; i++)
		pthread_join(ids[i], NULL);
	for (unsigned i = 0; i <= CROWD_MOUNTS; i++)
		expect_recovery(&threads[i]);
	for (unsigned i = 0; i < CROWD_THREADS; i++)
		thread_deinit(&threads[i]);
	for (unsigned i = 0; i < CROWD_KEYS; i++) {
		history_deinit(&crowd.keys[i].history);
		mutex_deinit(&crowd.keys[i].in_place);
	}
	printf("seed %" PRIu64 ": %u writes, %u reads, %u errors\n", options->seed, crowd.writes,
	       crowd.reads, crowd.errors);
}

/* SPDX-License-Identifier: MIT */
/*
 * Any request may wait for the router, and only the word of the kernel that its program was
 * interrupted ends that early. So one thread always reads: when all others are busy it puts what it
 * reads aside for the next that is done, and goes on reading. An interrupted request that was put
 * aside is answered at once; how long one waited there counts against its timeout.
 */
#include "fs/workers.h"

#include "fs/patience.h"
#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What is put aside holds no more than this; the reader waits then. */
#define ASIDE_BYTES_MAX (64 * 1024 * 1024)

struct aside {
	struct aside *next;
	uint64_t since_ms;
	size_t len;
	uint64_t data[]; /* begins with a struct fuse_in_header */
};

struct worker {
	struct workers *workers;
	pthread_t thread;
	struct fuse_buf buf;
};

struct workers {
	/* immutable */
	struct fuse_session *fuse;
	unsigned count_max;
	int ended_fd; /* an event: the session is over */

	/* protected by lock */
	struct mutex lock;
	struct condition room;
	unsigned count;
	unsigned reading;
	struct aside *first, **last;
	size_t aside_bytes;
	bool ending;
	int error;

	struct worker workers[];
};

static struct aside *take_locked(struct workers *workers, struct aside **at)
	REQUIRES(&workers->lock)
{
	struct aside *aside = *at;

	*at = aside->next;
	if (workers->last == &aside->next)
		workers->last = at;
	workers->aside_bytes -= aside->len;
	condition_broadcast(&workers->room);
	return aside;
}

static uint64_t unique_of(const struct aside *aside)
{
	return ((const struct fuse_in_header *)aside->data)->unique;
}

/* False if memory is out. */
static bool put_aside_locked(struct workers *workers, const struct fuse_buf *buf)
	REQUIRES(&workers->lock)
{
	struct aside *aside = malloc(sizeof(*aside) + buf->size);

	if (!aside)
		return false;
	aside->next = NULL;
	aside->since_ms = clock_monotonic_ms();
	aside->len = buf->size;
	memcpy(aside->data, buf->mem, buf->size);
	*workers->last = aside;
	workers->last = &aside->next;
	workers->aside_bytes += aside->len;
	while (workers->aside_bytes > ASIDE_BYTES_MAX && !workers->ending)
		condition_wait(&workers->room, &workers->lock);
	return true;
}

/* True if the request that was interrupted had been put aside: it is answered. */
static bool interrupt_aside(struct workers *workers, const struct fuse_buf *buf)
{
	const struct fuse_in_header *header = buf->mem;
	const struct fuse_interrupt_in *interrupt = (const void *)(header + 1);
	struct fuse_out_header answer = { .len = sizeof(answer), .error = -EINTR };
	struct aside *aside = NULL;

	if (buf->size < sizeof(*header) + sizeof(*interrupt))
		return false;
	mutex_lock(&workers->lock);
	for (struct aside **at = &workers->first; *at && !aside; at = &(*at)->next) {
		if (unique_of(*at) != interrupt->unique)
			continue;
		aside = take_locked(workers, at);
		break;
	}
	mutex_unlock(&workers->lock);
	if (!aside)
		return false;
	answer.unique = unique_of(aside);
	/* If nobody waits for it any more, so much the better. */
	(void)!write(fuse_session_fd(workers->fuse), &answer, sizeof(answer));
	free(aside);
	return true;
}

/* These never wait for anything. */
static bool is_quick(uint32_t opcode)
{
	return opcode == FUSE_INTERRUPT || opcode == FUSE_FORGET || opcode == FUSE_BATCH_FORGET;
}

static void end_session(struct workers *workers, int error)
{
	uint64_t one = 1;

	mutex_lock(&workers->lock);
	if (error < 0 && workers->error == 0)
		workers->error = error;
	mutex_unlock(&workers->lock);
	fuse_session_exit(workers->fuse);
	(void)!write(workers->ended_fd, &one, sizeof(one));
}

static int start_worker_locked(struct workers *workers) REQUIRES(&workers->lock);

/* Whether the caller may serve what it has read: not if nobody would go on reading. */
static bool may_serve(struct workers *workers, const struct fuse_buf *buf)
{
	bool may;

	mutex_lock(&workers->lock);
	if (workers->reading == 0 && workers->count < workers->count_max)
		(void)start_worker_locked(workers);
	may = workers->reading > 0 || !put_aside_locked(workers, buf);
	mutex_unlock(&workers->lock);
	return may;
}

/* Something that was put aside, if others read; else the caller is to read. */
static struct aside *take_or_read(struct workers *workers)
{
	struct aside *aside = NULL;

	mutex_lock(&workers->lock);
	if (workers->first && workers->reading > 0)
		aside = take_locked(workers, &workers->first);
	else
		workers->reading++;
	mutex_unlock(&workers->lock);
	return aside;
}

static void serve_aside(struct workers *workers, struct aside *aside)
{
	const struct fuse_buf buf = { .size = aside->len, .mem = aside->data };

	patience_begin(aside->since_ms);
	fuse_session_process_buf(workers->fuse, &buf);
	patience_end();
	free(aside);
}

/* Reads one request and serves it or puts it aside. False at the end. */
static bool read_request(struct worker *worker)
{
	struct workers *workers = worker->workers;
	const struct fuse_in_header *header;
	int n;

	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	n = fuse_session_receive_buf(workers->fuse, &worker->buf);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	mutex_lock(&workers->lock);
	workers->reading--;
	mutex_unlock(&workers->lock);
	if (n == -EINTR)
		return true;
	if (n <= 0) {
		end_session(workers, n);
		return false;
	}
	header = worker->buf.mem;
	if (header->opcode == FUSE_INTERRUPT && interrupt_aside(workers, &worker->buf))
		return true;
	if (is_quick(header->opcode) || may_serve(workers, &worker->buf))
		fuse_session_process_buf(workers->fuse, &worker->buf);
	return true;
}

static void *work(void *state)
{
	struct worker *worker = state;
	struct workers *workers = worker->workers;
	bool more;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	more = read_request(worker);
	while (more && !fuse_session_exited(workers->fuse)) {
		struct aside *aside = take_or_read(workers);

		if (aside)
			serve_aside(workers, aside);
		else
			more = read_request(worker);
	}
	return NULL;
}

/* The new one counts as reading already. */
static int start_worker_locked(struct workers *workers)
{
	struct worker *worker = &workers->workers[workers->count];
	int r;

	if (workers->ending)
		return -ESHUTDOWN;
	worker->workers = workers;
	r = pthread_create(&worker->thread, NULL, work, worker);
	if (r != 0)
		return -r;
	workers->count++;
	workers->reading++;
	return 0;
}

static int workers_new(struct fuse_session *fuse, unsigned threads_max,
		       struct workers **ret_workers)
{
	struct workers *workers = calloc(1, sizeof(*workers) + threads_max * sizeof(struct worker));
	int r;

	if (!workers)
		return -ENOMEM;
	workers->fuse = fuse;
	workers->count_max = threads_max;
	workers->last = &workers->first;
	workers->ended_fd = eventfd(0, EFD_CLOEXEC);
	if (workers->ended_fd < 0) {
		r = -errno;
		free(workers);
		return r;
	}
	mutex_init(&workers->lock);
	condition_init(&workers->room);
	*ret_workers = workers;
	return 0;
}

/* What was put aside gets no answer: the kernel gives one when the connection is closed. */
static void workers_free(struct workers *workers)
{
	while (workers->first) {
		struct aside *next = workers->first->next;

		free(workers->first);
		workers->first = next;
	}
	for (unsigned i = 0; i < workers->count; i++)
		free(workers->workers[i].buf.mem);
	condition_deinit(&workers->room);
	mutex_deinit(&workers->lock);
	close(workers->ended_fd);
	free(workers);
}

static void end_workers(struct workers *workers)
{
	mutex_lock(&workers->lock);
	workers->ending = true;
	condition_broadcast(&workers->room);
	mutex_unlock(&workers->lock);
	for (unsigned i = 0; i < workers->count; i++)
		pthread_cancel(workers->workers[i].thread);
	for (unsigned i = 0; i < workers->count; i++)
		pthread_join(workers->workers[i].thread, NULL);
}

int workers_run(struct fuse_session *fuse, unsigned threads_max)
{
	struct workers *workers = NULL;
	sigset_t ends, before;
	int r;

	r = workers_new(fuse, threads_max, &workers);
	if (r < 0)
		return r;
	/* Signals are for this thread alone, and only while it waits. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, &ends, &before);
	mutex_lock(&workers->lock);
	r = start_worker_locked(workers);
	mutex_unlock(&workers->lock);
	while (r == 0 && !fuse_session_exited(fuse)) {
		struct pollfd ended = { .fd = workers->ended_fd, .events = POLLIN };

		(void)ppoll(&ended, 1, NULL, &before);
	}
	end_workers(workers);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		r = workers->error;
	workers_free(workers);
	fuse_session_reset(fuse);
	return r;
}

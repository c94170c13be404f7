/* SPDX-License-Identifier: MIT */
#include "fs/list_ahead.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SLICE_MS 100

enum ahead_state { AHEAD_QUEUED, AHEAD_RUNNING, AHEAD_DONE, AHEAD_UNWANTED };

struct list_ahead {
	struct prefetch_job job;
	struct remote *remote;
	char from[NAME_PAGE_CURSOR_MAX + 1];

	struct mutex lock; /* protects what follows */
	struct condition done;
	unsigned references; /* its user's and the job's */
	enum ahead_state state;
	int result;
	struct listed_page *page;
};

static void unref(struct list_ahead *ahead)
{
	bool last;

	mutex_lock(&ahead->lock);
	last = --ahead->references == 0;
	mutex_unlock(&ahead->lock);
	if (!last)
		return;
	listed_page_unref(ahead->page);
	condition_deinit(&ahead->done);
	mutex_deinit(&ahead->lock);
	free(ahead);
}

static void fetch(struct list_ahead *ahead)
{
	struct listed_page *page = NULL;
	int r = listed_page_fetch(ahead->remote, ahead->from, NULL, &page);

	mutex_lock(&ahead->lock);
	ahead->state = AHEAD_DONE;
	ahead->result = r;
	ahead->page = page;
	condition_broadcast(&ahead->done);
	mutex_unlock(&ahead->lock);
}

static void ahead_run(struct prefetch_job *job)
{
	struct list_ahead *ahead = container_of(job, struct list_ahead, job);
	bool wanted;

	mutex_lock(&ahead->lock);
	wanted = ahead->state == AHEAD_QUEUED;
	if (wanted)
		ahead->state = AHEAD_RUNNING;
	mutex_unlock(&ahead->lock);
	if (wanted)
		fetch(ahead);
	unref(ahead);
}

struct list_ahead *list_ahead_start(struct prefetch *prefetch, struct remote *remote,
				    const char *from)
{
	struct list_ahead *ahead = calloc(1, sizeof(*ahead));

	if (!ahead)
		return NULL;
	mutex_init(&ahead->lock);
	condition_init(&ahead->done);
	ahead->references = 2;
	ahead->remote = remote;
	strncpy(ahead->from, from, NAME_PAGE_CURSOR_MAX);
	ahead->job.run = ahead_run;
	prefetch_submit(prefetch, &ahead->job);
	return ahead;
}

const char *list_ahead_from(const struct list_ahead *ahead)
{
	return ahead->from;
}

int list_ahead_take(struct list_ahead *ahead, const struct interrupt *interrupt,
		    struct listed_page **ret_page)
{
	int r = 0;

	mutex_lock(&ahead->lock);
	if (ahead->state == AHEAD_QUEUED) {
		ahead->state = AHEAD_UNWANTED;
		r = -EAGAIN;
	}
	while (r == 0 && ahead->state != AHEAD_DONE) {
		if (interrupt_raised(interrupt))
			r = -EINTR;
		else
			condition_wait_until(&ahead->done, &ahead->lock,
					     clock_monotonic_ms() + WAIT_SLICE_MS);
	}
	if (r == 0)
		r = ahead->result;
	if (r == 0) {
		*ret_page = ahead->page;
		ahead->page = NULL;
	}
	mutex_unlock(&ahead->lock);
	return r;
}

struct list_ahead *list_ahead_drop(struct list_ahead *ahead)
{
	if (!ahead)
		return NULL;
	mutex_lock(&ahead->lock);
	if (ahead->state == AHEAD_QUEUED)
		ahead->state = AHEAD_UNWANTED;
	mutex_unlock(&ahead->lock);
	unref(ahead);
	return NULL;
}

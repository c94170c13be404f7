/* SPDX-License-Identifier: MIT */
#include "router/work.h"

/* About a millisecond of JSON. */
#define INLINE_MAX ((size_t)128 * 1024)

static struct work *from_job(struct pool_job *job)
{
	return (struct work *)((char *)job - offsetof(struct work, job));
}

static void run(struct pool_job *job)
{
	struct work *work = from_job(job);

	work->run(work);
}

static void done(struct pool_job *job)
{
	struct work *work = from_job(job);

	work->under_way = false;
	work->service->jobs--;
	work->done(work);
}

void work_start(struct work *work, struct service *service, size_t bytes)
{
	work->service = service;
	if (bytes <= INLINE_MAX) {
		work->run(work);
		work->done(work);
		return;
	}
	work->under_way = true;
	service->jobs++;
	work->job = (struct pool_job){ .run = run, .done = done, .loop = service->loop };
	pool_submit(service->pool, &work->job);
}

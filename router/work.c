/* SPDX-License-Identifier: MIT */
#include "router/work.h"

#include "lib/container_of.h"

/* About a millisecond of JSON. */
#define INLINE_MAX ((size_t)128 * 1024)

static void run(struct pool_job *job)
{
	struct work *work = container_of(job, struct work, job);

	work->run(work);
}

static void done(struct pool_job *job)
{
	struct work *work = container_of(job, struct work, job);

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

/* SPDX-License-Identifier: MIT */
#include "node/record_read.h"

#include "lib/container_of.h"

static struct record_read *from_job(struct pool_job *job)
{
	return container_of(job, struct record_read, job);
}

/* In a pool thread. */
static void run(struct pool_job *job)
{
	struct record_read *read = from_job(job);

	read->result =
		store_get(request_service(&read->request)->store, &read->key, 0, &read->record);
}

static void done(struct pool_job *job)
{
	struct record_read *read = from_job(job);
	struct exchange *ex = read->request.ex;

	service_job_done(read->request.worker);
	read->done(read);
	exchange_unref(ex);
}

void record_read_start(struct record_read *read)
{
	exchange_ref(read->request.ex);
	read->job.run = run;
	read->job.done = done;
	service_submit(read->request.worker, request_service(&read->request)->read_pool,
		       &read->job);
}

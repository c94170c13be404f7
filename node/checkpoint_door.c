/* SPDX-License-Identifier: MIT */
#include "node/checkpoint_door.h"

#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "node/checkpoint.h"

#include <errno.h>
#include <string.h>

struct checkpoint_request {
	struct request request;
	char name[CHECKPOINT_NAME_MAX + 1];
	int result;
	struct checkpoint_saved saved;
	struct pool_job job;
};

static struct checkpoint_request *from_job(struct pool_job *job)
{
	return container_of(job, struct checkpoint_request, job);
}

/* In a pool thread. */
static void run(struct pool_job *job)
{
	struct checkpoint_request *wanted = from_job(job);

	wanted->result = checkpoint_save(request_service(&wanted->request)->store, wanted->name,
					 &wanted->saved);
}

static void answer_saved(const struct request *request, const struct checkpoint_saved *saved)
{
	/* Whoever asks need not know where the node was started. */
	_cleanup_(freep) char *path = realpath(saved->path, NULL);
	char etag[ETAG_BYTES_MAX];

	version_to_etag(saved->version, etag);
	request_json(request, OUTCOME_CREATED,
		     json_pack("{s:s, s:s%, s:I, s:I}", "path", path ? path : saved->path,
			       "version", etag + 1, strlen(etag) - 2, "files",
			       (json_int_t)saved->files, "bytes", (json_int_t)saved->bytes));
}

static void refuse(const struct request *request, const char *name, int r)
{
	switch (r) {
	case -EEXIST:
		request_problem(
			request, OUTCOME_PRECONDITION_FAILED,
			"there is a checkpoint \"%s\"; choose another name, or remove that one",
			name);
		return;
	case -EBUSY:
		request_problem(request, OUTCOME_UNAVAILABLE,
				"another checkpoint is being made; try again when it is done");
		return;
	case -ENOSPC:
	case -EDQUOT:
		request_problem(request, OUTCOME_NO_SPACE,
				"the node's disk has no room for a checkpoint");
		return;
	case -EXDEV:
	case -EPERM:
	case -EMLINK:
	case -EOPNOTSUPP:
		request_problem(request, OUTCOME_NOT_IMPLEMENTED,
				"the node's file system makes no hard links there (%s)",
				strerror(-r));
		return;
	case -EBADMSG:
		request_problem(request, OUTCOME_INTERNAL,
				"a file of the node's store is damaged; see its log");
		return;
	case -EAGAIN:
	case -ETIMEDOUT:
	case -ECANCELED:
	case -ESHUTDOWN:
	case -ENOMEM:
		request_problem(request, OUTCOME_UNAVAILABLE,
				"the node can't make a checkpoint now (%s); try again",
				strerror(-r));
		return;
	default:
		request_problem(request, outcome_from_error(r), "no checkpoint was made: %s",
				strerror(-r));
	}
}

static void done(struct pool_job *job)
{
	struct checkpoint_request *wanted = from_job(job);
	struct exchange *ex = wanted->request.ex;

	service_job_done(wanted->request.worker);
	if (wanted->result == 0)
		answer_saved(&wanted->request, &wanted->saved);
	else
		refuse(&wanted->request, wanted->name, wanted->result);
	free(wanted->saved.path);
	free(wanted);
	exchange_unref(ex);
}

void checkpoint_door_begin(const struct request *request)
{
	struct checkpoint_request *wanted = calloc(1, sizeof(*wanted));

	if (!wanted) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	wanted->request = *request;
	if (exchange_query(request->ex, "name", wanted->name, sizeof(wanted->name)) <= 0 ||
	    !checkpoint_name_is_valid(wanted->name)) {
		request_problem(request, OUTCOME_BAD_REQUEST,
				"say ?name= and a name of at most %d letters, digits, '.', '_' and "
				"'-' that does not begin with '.'",
				CHECKPOINT_NAME_MAX);
		free(wanted);
		return;
	}
	request->ex->handler = &request_waits;
	exchange_ref(request->ex);
	wanted->job.run = run;
	wanted->job.done = done;
	service_submit(request->worker, request_service(request)->write_pool, &wanted->job);
}

/* SPDX-License-Identifier: MIT */
/*
 * Takes the message in whole, hands it to the replication thread, and answers with what comes back,
 * at once or once the log has grown. Ownership: the exchange owns a visit until the message is
 * complete; then the replication does, and the worker counts as busy until it comes back.
 */
#include "node/replica_door.h"

#include "lib/container_of.h"
#include "node/replication.h"

#include <errno.h>
#include <stdlib.h>

/* Ten times the largest: keys of a whole batch. */
#define QUESTION_BYTES_MAX (512 * 1024)

struct visit {
	struct request request;
	struct replication_question question;
};

static void visit_free(struct visit *visit)
{
	buf_deinit(&visit->question.message);
	free(visit);
}

static size_t take_body(struct exchange *ex, const void *data, size_t len)
{
	struct visit *visit = ex->state;

	if (ex->answered)
		return len;
	if (len > QUESTION_BYTES_MAX - visit->question.message.len)
		request_problem(&visit->request, OUTCOME_TOO_LARGE,
				"a message to a node has at most %d bytes", QUESTION_BYTES_MAX);
	else if (buf_append(&visit->question.message, data, len) < 0)
		request_problem(&visit->request, OUTCOME_UNAVAILABLE, "memory is out; try again");
	return len;
}

static int set_type(struct answer *answer)
{
	return fields_set(&answer->fields, FIELD_CONTENT_TYPE, "application/octet-stream", 24);
}

static void on_done(struct replication_question *question)
{
	struct visit *visit = container_of(question, struct visit, question);
	struct exchange *ex = visit->request.ex;
	struct answer answer = { .status = outcome_info(OUTCOME_OK)->status };

	service_job_done(visit->request.worker);
	if (question->message.len > 0 && set_type(&answer) == 0) {
		answer.bytes = buf_take(&question->message);
		request_respond(&visit->request, &answer);
	} else {
		request_problem(&visit->request, OUTCOME_UNAVAILABLE,
				"the node can't answer this message, or shuts down; try again");
	}
	visit_free(visit);
	exchange_unref(ex);
}

static void end(struct exchange *ex)
{
	struct visit *visit = ex->state;

	if (ex->answered)
		return;
	ex->state = NULL;
	exchange_ref(ex);
	visit->request.worker->in_flight++;
	visit->question.loop = visit->request.worker->worker->loop;
	visit->question.done = on_done;
	replication_ask(request_service(&visit->request)->replication, &visit->question);
}

static void finish(struct exchange *ex, bool answered)
{
	(void)answered;
	if (ex->state)
		visit_free(ex->state);
	ex->state = NULL;
}

static const struct exchange_handler handler = { .body = take_body, .end = end, .finish = finish };

void replica_door_begin(const struct request *request)
{
	struct visit *visit = calloc(1, sizeof(*visit));

	if (!visit) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	visit->request = *request;
	request->ex->handler = &handler;
	request->ex->state = visit;
}

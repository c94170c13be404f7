/* SPDX-License-Identifier: MIT */
#include "node/object_write.h"

#include "lib/container_of.h"

void object_write_init(struct object_write *op, const struct request *request, enum write_kind kind,
		       const struct key *key, const struct object_request *wanted,
		       void (*free)(struct object_write *))
{
	op->request = *request;
	op->write.kind = kind;
	op->write.key = *key;
	op->write.request = *wanted;
	op->free = free;
}

static int success_fields(const struct object_write *op, struct answer *answer)
{
	const struct store_write *write = &op->write;
	char id[33];
	int r = 0;

	request_id_to_hex(&write->request.request_id, id);
	/* Neither a delete nor a barrier leaves a version to speak of. */
	if (write->kind != WRITE_DELETE && write->kind != WRITE_BARRIER &&
	    write->meta.version.epoch > 0)
		r = object_fields_set(&answer->fields, &write->meta);
	if (r == 0 && write->repeated)
		r = fields_set(&answer->fields, FIELD_REPEATED, "true", 4);
	if (r < 0)
		return r;
	return fields_set(&answer->fields, FIELD_REQUEST_ID, id, 32);
}

static void respond_success(struct object_write *op)
{
	struct answer answer = { .status = outcome_info(op->write.outcome)->status };

	if (success_fields(op, &answer) < 0) {
		/* It is applied all the same: say so without the fields. */
		fields_deinit(&answer.fields);
		answer.fields = (struct fields){ 0 };
	}
	request_respond(&op->request, &answer);
}

static const char *failure_sentence(const struct object_write *op)
{
	switch (op->write.outcome) {
	case OUTCOME_NOT_FOUND:
		return "there is no record with this key";
	case OUTCOME_PRECONDITION_FAILED:
		if (op->write.kind == WRITE_MOVE && !op->write.request.overwrite)
			return "the record changed, or the destination exists and Overwrite is F";
		return "the record is not in the state that the request names; read it again";
	case OUTCOME_NO_SPACE:
		return "the node's disk is full; delete records or make room";
	case OUTCOME_UNAVAILABLE:
		return "the node is shutting down; try again";
	default:
		return "the node could not write its log; see its own log for the cause";
	}
}

static void respond(struct object_write *op)
{
	const struct store_write *write = &op->write;

	if (outcome_is_success(write->outcome))
		respond_success(op);
	else if (write->maybe_applied)
		request_problem_unknown(&op->request, write->outcome, "%s", failure_sentence(op));
	else
		request_problem(&op->request, write->outcome, "%s", failure_sentence(op));
}

static void on_committed(struct loop_task *task)
{
	struct object_write *op = container_of(task, struct object_write, committed);
	struct exchange *ex = op->request.ex;

	service_job_done(op->request.worker);
	respond(op);
	op->free(op);
	exchange_unref(ex);
}

/* In the commit thread. */
static void on_done(struct store_write *write)
{
	struct object_write *op = write->state;

	loop_post(op->request.worker->worker->loop, &op->committed);
}

void object_write_submit(struct object_write *op)
{
	exchange_ref(op->request.ex);
	op->request.ex->state = NULL;
	op->request.worker->in_flight++;
	op->committed.run = on_committed;
	op->write.done = on_done;
	op->write.state = op;
	store_submit(request_service(&op->request)->store, &op->write);
}

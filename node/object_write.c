/* SPDX-License-Identifier: MIT */
#include "node/object_write.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "node/role.h"

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
	case OUTCOME_MISDIRECTED:
		return "this node leads its shard no longer; ask its leader with the same request "
		       "id";
	case OUTCOME_UNAVAILABLE:
		return "the node is shutting down; try again";
	default:
		return "the node could not write its log; see its own log for the cause";
	}
}

static void respond(struct object_write *op)
{
	const struct store_write *write = &op->write;

	if (write->outcome == OUTCOME_MISDIRECTED && !write->maybe_applied)
		role_refuse(&op->request);
	else if (outcome_is_success(write->outcome))
		respond_success(op);
	else if (write->maybe_applied)
		request_problem_unknown(&op->request, write->outcome, "%s", failure_sentence(op));
	else
		request_problem(&op->request, write->outcome, "%s", failure_sentence(op));
}

static void answer(struct object_write *op)
{
	struct exchange *ex = op->request.ex;

	service_job_done(op->request.worker);
	respond(op);
	op->free(op);
	exchange_unref(ex);
}

/* It is applied here, and that is all that can be said. */
static void answer_unknown(struct object_write *op, enum outcome outcome, const char *sentence)
{
	struct exchange *ex = op->request.ex;

	service_job_done(op->request.worker);
	request_problem_unknown(&op->request, outcome, "%s", sentence);
	op->free(op);
	exchange_unref(ex);
}

static void answer_held(struct object_write *op, enum acks_result held)
{
	if (held == ACKS_HELD)
		answer(op);
	else
		answer_unknown(
			op, OUTCOME_TIMEOUT,
			"this node stopped leading its shard, or goes down, before enough others "
			"had the write; ask again with the same request id");
}

static void on_acknowledged(struct loop_task *task)
{
	struct object_write *op = container_of(task, struct object_write, acknowledged);

	loop_clear_timer(op->request.worker->worker->loop, &op->deadline);
	answer_held(op, op->held);
}

/* In whichever thread brought the news. */
static void on_held(struct ack_wait *wait, enum acks_result held)
{
	struct object_write *op = container_of(wait, struct object_write, wait);

	op->held = held;
	loop_post(op->request.worker->worker->loop, &op->acknowledged);
}

static void on_deadline(struct loop_timer *timer)
{
	struct object_write *op = container_of(timer, struct object_write, deadline);

	/* Otherwise the news is on its way. */
	if (acks_cancel(request_service(&op->request)->acks, &op->wait))
		answer_unknown(op, OUTCOME_TIMEOUT,
			       "the write is on the leader, and not enough other nodes said in "
			       "time that they have it; ask again with the same request id");
}

/* Only what changed something, or rests on what did, is worth waiting for; a barrier always is. */
static bool wants_copies(const struct store_write *write)
{
	if (write->kind != WRITE_BARRIER)
		return outcome_is_success(write->outcome);
	return outcome_is_success(write->outcome) || write->outcome == OUTCOME_NOT_FOUND ||
	       write->outcome == OUTCOME_PRECONDITION_FAILED;
}

static void wait_for_copies(struct object_write *op)
{
	const struct service *service = request_service(&op->request);
	struct loop *loop = op->request.worker->worker->loop;
	enum acks_result held;

	op->wait = (struct ack_wait){
		.point = op->write.point,
		.followers = acks_followers(op->write.request.ack, service->shard->node_count),
		.done = on_held,
	};
	op->acknowledged = (struct loop_task){ .run = on_acknowledged };
	op->deadline = (struct loop_timer){ .expired = on_deadline };
	held = acks_wait(service->acks, &op->wait);
	if (held != ACKS_WAITING)
		answer_held(op, held);
	else if (loop_set_timer(loop, &op->deadline,
				clock_monotonic_ms() + service->ack_timeout_ms) < 0)
		on_deadline(&op->deadline);
}

static void on_committed(struct loop_task *task)
{
	struct object_write *op = container_of(task, struct object_write, committed);

	if (op->write.request.ack != ACK_LEADER && wants_copies(&op->write))
		wait_for_copies(op);
	else
		answer(op);
}

/* In the commit thread. */
static void on_done(struct store_write *write)
{
	struct object_write *op = write->state;

	loop_post(op->request.worker->worker->loop, &op->committed);
}

void object_write_submit(struct object_write *op)
{
	const struct service *service = request_service(&op->request);

	if (!fields_get(&op->request.ex->request, FIELD_ACK, NULL))
		op->write.request.ack = service->cluster->ack;
	exchange_ref(op->request.ex);
	op->request.ex->state = NULL;
	op->request.worker->in_flight++;
	op->committed.run = on_committed;
	op->write.done = on_done;
	op->write.state = op;
	store_submit(service->store, &op->write);
}

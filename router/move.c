/* SPDX-License-Identifier: MIT */
/*
 * MOVE between two shards: copy, then delete what was copied.
 *
 * 1. GET the source from its leader: value, labels, mtime, ETag.
 * 2. PUT them at the destination, always with HexKV-Durability: disk: step 3 may reach the disk
 *    first, and a power cut would then leave neither.
 * 3. DELETE the source with If-Match of the version that was copied. 412 means that it has changed:
 *    back to 1, a bounded number of times.
 *
 * A crash between the steps leaves both records, never none. Where the move ends without having
 * happened, a destination that it created is deleted again, with If-Match of the copy so that
 * somebody else's write is not.
 *
 * Request ids make a repeated MOVE harmless. A PUT's id follows from the client's id and the
 * version copied: the same copy is repeated, another version is a new write. The first DELETE
 * carries the client's id itself: when the source is gone, asking again with it tells a move that
 * was completed from a source that never was.
 */
#include "router/move.h"

#include "lib/reply.h"
#include "router/copy.h"

#include <stdlib.h>
#include <string.h>

#define MOVE_TRIES 16

struct move {
	struct exchange *ex;
	struct service *service;
	bool overwrite;
	bool own_id;
	struct request_id id;
	unsigned tries;

	struct copy copy;
	struct gather step; /* DELETE, probe or undo */
	struct answer answer; /* what the client gets once the last step is done */
	bool created; /* the first copy found nothing at the destination */
	char copy_etag[ETAG_BYTES_MAX]; /* of the newest copy; "" while there is none */
	bool delete_doubtful; /* sent twice: it may have been applied unseen */
};

static void move_free(struct move *move)
{
	copy_deinit(&move->copy);
	gather_deinit(&move->step);
	answer_deinit(&move->answer);
	free(move);
}

static void respond(struct move *move)
{
	struct exchange *ex = move->ex;
	struct answer answer = move->answer;
	const char *id = fields_get(&ex->request, FIELD_REQUEST_ID, NULL);

	move->answer = (struct answer){ 0 };
	if (id)
		fields_setf(&answer.fields, FIELD_REQUEST_ID, "%s", id);
	exchange_respond(ex, &answer);
}

static void respond_no_memory(struct move *move)
{
	reply_problem_unknown(move->ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; look at both keys and try again");
}

/* A request for one key with If-Match, collected by move->step. */
static int step_start(struct move *move, const struct key *key, const char *if_match,
		      const struct request_id *id, void (*done)(struct gather *, enum outcome))
{
	struct service *service = move->service;
	struct fields *fields = &move->step.hop.call.fields;
	static const enum field kept[] = { FIELD_DURABILITY, FIELD_ACK };
	char hex[33];
	int r;

	gather_deinit(&move->step);
	gather_init(&move->step, service, service_shard_of(service, key), METHOD_DELETE);
	move->step.done = done;
	move->step.state = move;
	hop_target_key(&move->step.hop, key);
	request_id_to_hex(id, hex);
	r = fields_set(fields, FIELD_REQUEST_ID, hex, 32);
	if (r == 0)
		r = fields_setf(fields, FIELD_IF_MATCH, "%s", if_match);
	for (size_t i = 0; r == 0 && i < sizeof(kept) / sizeof(*kept); i++) {
		const char *value = fields_get(&move->ex->request, kept[i], NULL);

		if (value)
			r = fields_setf(fields, kept[i], "%s", value);
	}
	return r < 0 ? r : gather_start(&move->step);
}

static void undo_done(struct gather *step, enum outcome result)
{
	/* Whatever became of it, the source is whole; the client learns why the move failed. */
	(void)result;
	respond(step->state);
}

/* The move has not happened; move->answer says why. */
static void give_up(struct move *move)
{
	struct request_id id;

	if (move->created && !move->delete_doubtful) {
		request_id_generate(&id);
		if (step_start(move, &move->copy.destination, move->copy_etag, &id, undo_done) == 0)
			return;
	}
	respond(move);
}

static void give_up_with(struct move *move, unsigned status, struct fields *fields,
			 struct buf *body)
{
	answer_deinit(&move->answer);
	move->answer = (struct answer){ .status = status,
					.fields = fields_take(fields),
					.bytes = buf_take(body) };
	hop_clean_fields(&move->answer.fields);
	give_up(move);
}

static void give_up_problem(struct move *move, enum outcome outcome, const char *detail)
{
	answer_deinit(&move->answer);
	if (answer_problem(&move->answer, move->ex, outcome, APPLIED_NOT, "%s", detail) < 0)
		respond_no_memory(move);
	else
		give_up(move);
}

static void succeed(struct move *move, bool repeated)
{
	answer_deinit(&move->answer);
	move->answer = (struct answer){ .status = move->created ? 201 : 204,
					.fields = fields_take(&move->copy.put.fields) };
	fields_unset(&move->answer.fields, FIELD_CONTENT_TYPE);
	fields_unset(&move->answer.fields, FIELD_REPEATED);
	if (repeated)
		fields_set(&move->answer.fields, FIELD_REPEATED, "true", 4);
	respond(move);
}

static void copy_again(struct move *move)
{
	if (++move->tries == MOVE_TRIES) {
		give_up_problem(move, OUTCOME_UNAVAILABLE,
				"the record changes faster than it can be moved; try again later");
		return;
	}
	counter_add(&move->service->router->counters.moves_copied_again, 1);
	/* The copy that is there is ours to replace, but nobody else's record is. */
	move->copy.put_if_none = false;
	move->copy.put_if_match = move->overwrite ? NULL : move->copy_etag;
	if (copy_start(&move->copy) < 0)
		respond_no_memory(move);
}

static void delete_done(struct gather *step, enum outcome result)
{
	struct move *move = step->state;

	move->delete_doubtful |= step->hop.resent;
	if (result != OUTCOME_OK) {
		step->hop.maybe_applied = true;
		hop_reply_failure(&step->hop, move->ex, result);
		return;
	}
	if (hop_reply_refused(&step->hop, move->ex, step->status))
		return;
	/* Whatever the id stands for at the source: the copy is not to be undone. */
	if (fields_get(&step->fields, FIELD_REPEATED, NULL)) {
		succeed(move, true);
		return;
	}
	switch (step->status) {
	case 204:
		succeed(move, false);
		break;
	case 404:
	case 412:
		copy_again(move);
		break;
	default:
		give_up_with(move, step->status, &step->fields, &step->body);
	}
}

static void delete_source(struct move *move)
{
	struct request_id id = move->id;

	id.bytes[15] ^= (uint8_t)move->tries;
	if (step_start(move, &move->copy.source, move->copy.etag, &id, delete_done) < 0)
		respond_no_memory(move);
}

static void probe_done(struct gather *step, enum outcome result)
{
	struct move *move = step->state;

	if (result == OUTCOME_OK && step->status == 204)
		move->answer.status = 204;
	if (move->answer.status == 204) {
		fields_deinit(&move->answer.fields);
		buf_deinit(&move->answer.bytes);
		fields_set(&move->answer.fields, FIELD_REPEATED, "true", 4);
	}
	respond(move);
}

/* There is no source. If the client has sent this request before, its first DELETE is remembered
 * under its id and answers 204 again; a new one meets a version that never was. */
static void probe(struct move *move)
{
	struct version never = { 0, 0 };
	char etag[ETAG_BYTES_MAX];

	move->answer = (struct answer){ .status = move->copy.status,
					.fields = fields_take(&move->copy.fields),
					.bytes = buf_take(&move->copy.whole) };
	version_to_etag(never, etag);
	if (step_start(move, &move->copy.source, etag, &move->id, probe_done) < 0)
		respond(move);
}

static void source_says(struct move *move)
{
	struct copy *copy = &move->copy;

	if (hop_reply_refused(&copy->get, move->ex, copy->status))
		return;
	if (copy->status == 404 && move->delete_doubtful) {
		/* The DELETE that was sent twice must have been applied the first time. */
		move->answer = (struct answer){ .status = move->created ? 201 : 204 };
		respond(move);
		return;
	}
	if (copy->status == 404 && move->own_id && move->tries == 0)
		probe(move);
	else if (copy->status == 304)
		give_up_problem(move, OUTCOME_PRECONDITION_FAILED,
				"the source has the version that If-None-Match excludes");
	else
		give_up_with(move, copy->status, &copy->fields, &copy->whole);
}

static void destination_says(struct move *move)
{
	struct gather *put = &move->copy.put;

	if (hop_reply_refused(&put->hop, move->ex, put->status))
		return;
	/* What is there now is not our copy. */
	if (put->status == 412)
		move->created = false;
	if (put->status == 412 && !move->overwrite)
		give_up_problem(move, OUTCOME_PRECONDITION_FAILED,
				"the destination exists and Overwrite is F");
	else
		give_up_with(move, put->status, &put->fields, &put->body);
}

static void copied(struct move *move)
{
	struct gather *put = &move->copy.put;
	const char *etag = fields_get(&put->fields, FIELD_ETAG, NULL);

	if (!etag || strlen(etag) >= ETAG_BYTES_MAX) {
		put->hop.maybe_applied = true;
		hop_reply_failure(&put->hop, move->ex, OUTCOME_BAD_GATEWAY);
		return;
	}
	if (move->copy_etag[0] == '\0')
		move->created = put->status == 201;
	strcpy(move->copy_etag, etag);
	delete_source(move);
}

static void copy_done(struct copy *copy, enum copy_result result)
{
	struct move *move = copy->state;

	switch (result) {
	case COPY_DONE:
		copied(move);
		break;
	case COPY_SOURCE_SAYS:
		source_says(move);
		break;
	case COPY_DESTINATION_SAYS:
		destination_says(move);
		break;
	case COPY_FAILED:
		if (move->copy_etag[0] != '\0')
			copy->failed_hop->maybe_applied = true;
		hop_reply_failure(copy->failed_hop, move->ex, copy->failure);
		break;
	}
}

static void exchange_end(struct exchange *ex)
{
	(void)ex;
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	(void)answered;
	move_free(ex->state);
	ex->state = NULL;
}

static const struct exchange_handler exchange_handler = {
	.end = exchange_end,
	.finish = exchange_finish,
};

void move_begin(struct exchange *ex, struct service *service, const struct key *source,
		const struct object_request *request, bool own_id)
{
	struct move *move = calloc(1, sizeof(*move));

	if (!move) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
		return;
	}
	move->ex = ex;
	move->service = service;
	move->overwrite = request->overwrite;
	move->own_id = own_id;
	move->id = request->request_id;
	move->copy = (struct copy){ .service = service,
				    .ex = ex,
				    .source = *source,
				    .destination = request->destination,
				    .request = &ex->request,
				    .id = request->request_id,
				    .put_if_none = !request->overwrite,
				    .done = copy_done,
				    .state = move };
	ex->state = move;
	ex->handler = &exchange_handler;
	counter_add(&service->router->counters.moves_across, 1);
	if (copy_start(&move->copy) < 0)
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
}

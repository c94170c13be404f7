/* SPDX-License-Identifier: MIT */
/*
 * PUT: checks what can be refused before a large body is taken in, collects the value
 * (node/value_upload), and gives it to the store, which checks again and decides.
 *
 * Ownership: the exchange owns a put until the store has it. While the early check reads in a pool
 * thread, that owns it too: whoever is last frees it.
 */
#include "node/object_door.h"
#include "node/object_write.h"
#include "node/record_read.h"
#include "node/value_upload.h"

#include "lib/container_of.h"

#include <errno.h>
#include <string.h>

enum put_state {
	PUT_COLLECTING,
	PUT_CHECKING, /* the body waits for the early check */
	PUT_CHECKING_ENDED, /* the body was empty, its end waits */
	PUT_CHECKING_GONE, /* the exchange has finished meanwhile */
};

struct put {
	struct object_write op;
	enum put_state state;
	struct value_upload *upload;
	struct record_read check;
};

static void put_free(struct object_write *op)
{
	struct put *put = (struct put *)op;

	value_upload_free(put->upload);
	free(put);
}

static void submit(struct put *put)
{
	struct value_upload_result result = value_upload_result(put->upload);
	struct store_write *write = &put->op.write;

	write->value = result.value;
	write->value_len = result.value_len;
	write->file = result.file;
	write->file_size = result.file_size;
	write->file_hash = result.file_hash;
	write->file_utf8 = result.file_utf8;
	object_write_submit(&put->op);
}

static size_t put_body(struct exchange *ex, const void *data, size_t len)
{
	struct put *put = ex->state;

	if (ex->answered || !put)
		return len;
	if (put->state != PUT_COLLECTING)
		return 0;
	return value_upload_take(put->upload, data, len);
}

/* What the sender knew only at the end. False if that was refused; the exchange still owns the
 * put. */
static bool take_trailer(struct put *put)
{
	struct exchange *ex = put->op.request.ex;
	struct object_request *wanted = &put->op.write.request;
	const char *why;
	int r;

	/* A proxy that sends the body on with a length has dropped what followed it. */
	if (ex->content_length >= 0 && !fields_get(&ex->request, FIELD_TRAILER, NULL))
		return true;
	r = object_trailer_apply(&ex->trailer, &ex->request, &why);
	if (r == 0)
		r = object_request_parse(&ex->request, wanted, &why);
	if (r < 0)
		request_problem(&put->op.request,
				r == -EINVAL ? OUTCOME_BAD_REQUEST : outcome_from_error(r), "%s",
				r == -EINVAL ? why : "memory is out; try again");
	return r == 0;
}

static void put_end(struct exchange *ex)
{
	struct put *put = ex->state;

	if (ex->answered || !put)
		return;
	if (put->state == PUT_CHECKING)
		put->state = PUT_CHECKING_ENDED;
	else if (take_trailer(put) && value_upload_end(put->upload))
		submit(put);
}

static void put_finish(struct exchange *ex, bool answered)
{
	struct put *put = ex->state;

	(void)answered;
	ex->state = NULL;
	if (!put)
		return;
	if (put->state == PUT_COLLECTING)
		put_free(&put->op);
	else
		put->state = PUT_CHECKING_GONE;
}

static const struct exchange_handler put_handler = {
	.body = put_body,
	.end = put_end,
	.finish = put_finish,
};

static void on_room(void *state)
{
	struct put *put = state;

	exchange_resume_body(put->op.request.ex);
}

static void on_complete(void *state, int error)
{
	struct put *put = state;
	enum outcome outcome = error < 0 ? outcome_from_error(error) : OUTCOME_OK;

	if (outcome == OUTCOME_NO_SPACE)
		store_want_room(request_service(&put->op.request)->store);

	if (put->op.request.ex->answered)
		return;
	if (error >= 0)
		submit(put);
	else
		request_problem(&put->op.request, outcome,
				outcome == OUTCOME_NO_SPACE
					? "the node's disk is full; delete records or make room"
					: "the value could not be written; see the node's log");
}

static const struct value_upload_events upload_events = {
	.room = on_room,
	.complete = on_complete,
};

/* Whether the body is too large to be taken in for nothing. */
static bool is_large(const struct request *request)
{
	const struct exchange *ex = request->ex;

	return ex->content_length < 0 ||
	       (uint64_t)ex->content_length > request_service(request)->inline_bytes;
}

/* False if there is no room for the value, and 507 has been answered. */
static bool has_space(const struct request *request)
{
	int64_t expected = request->ex->content_length;
	struct store_stats stats;

	store_stats(request_service(request)->store, &stats);
	if (!stats.full && (expected < 0 || (uint64_t)expected < stats.space_free))
		return true;
	if (expected < 0 || (uint64_t)expected < stats.space_total)
		store_want_room(request_service(request)->store);
	request_problem(request, OUTCOME_NO_SPACE,
			"the node's disk has no room for the value; delete records or make room");
	return false;
}

/* Looked up after the record: a request that was applied before is told its first answer, not what
 * holds now. */
static bool is_repeated(const struct request *request, const struct key *key,
			const struct object_request *wanted)
{
	return store_knows_request(request_service(request)->store, &wanted->request_id, key);
}

static bool precondition_holds(const struct put *put, int found, const struct store_record *record)
{
	const struct request *request = &put->op.request;
	const struct store_write *write = &put->op.write;
	const struct record_meta *current = found == 0 ? &record->meta : NULL;

	if (precondition_evaluate(&write->request.pre, current, false) == OUTCOME_OK ||
	    is_repeated(request, &write->key, &write->request))
		return true;
	request_problem(request, OUTCOME_PRECONDITION_FAILED,
			"the record is not in the state that the request names; read it again");
	return false;
}

static void check_done(struct record_read *check)
{
	struct put *put = container_of(check, struct put, check);
	const struct request *request = &put->op.request;
	enum put_state state = put->state;
	bool holds = true;

	put->state = PUT_COLLECTING;
	/* What can't be read now is the store's to judge. */
	if (state != PUT_CHECKING_GONE && check->result >= 0)
		holds = precondition_holds(put, check->result, &check->record);
	if (check->result == 0)
		store_record_release(&check->record);
	if (state == PUT_CHECKING_GONE)
		put_free(&put->op);
	else if (holds && state == PUT_CHECKING_ENDED)
		put_end(request->ex);
	else
		exchange_resume_body(request->ex);
}

/* False if it was refused. May leave the body waiting. */
static bool check_early(struct put *put)
{
	const struct request *request = &put->op.request;
	struct store *store = request_service(request)->store;
	struct store_record record;
	bool holds;
	int r;

	r = store_get(store, &put->op.write.key, VFS_NOWAIT, &record);
	if (r == -EAGAIN) {
		put->state = PUT_CHECKING;
		put->check.request = *request;
		put->check.key = put->op.write.key;
		put->check.done = check_done;
		record_read_start(&put->check);
		return true;
	}
	if (r < 0)
		return true;
	holds = precondition_holds(put, r, &record);
	if (r == 0)
		store_record_release(&record);
	return holds;
}

static int put_new(const struct request *request, const struct key *key,
		   const struct object_request *wanted, struct put **ret_put)
{
	struct put *put;
	int r;

	put = calloc(1, sizeof(*put));
	if (!put)
		return -ENOMEM;
	object_write_init(&put->op, request, WRITE_PUT, key, wanted, put_free);
	r = value_upload_new(request->worker, request->ex->content_length, &upload_events, put,
			     &put->upload);
	if (r < 0) {
		put_free(&put->op);
		return r;
	}
	*ret_put = put;
	return 0;
}

void object_put_begin(const struct request *request, const struct key *key,
		      const struct object_request *wanted)
{
	bool large = is_large(request);
	struct put *put;
	int r;

	if (fields_get(&request->ex->request, FIELD_CONTENT_RANGE, NULL)) {
		request_problem(request, OUTCOME_BAD_REQUEST,
				"a record is replaced whole; send it without Content-Range");
		return;
	}
	if (large && !is_repeated(request, key, wanted) && !has_space(request))
		return;
	r = put_new(request, key, wanted, &put);
	if (r < 0) {
		if (r == -EBUSY)
			request_problem(request, OUTCOME_TOO_MANY_REQUESTS,
					"too many large values are being written at once; try "
					"again");
		else
			request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	request->ex->handler = &put_handler;
	request->ex->state = put;
	if (large && !precondition_is_empty(&wanted->pre) && !check_early(put)) {
		request->ex->state = NULL;
		put_free(&put->op);
	}
}

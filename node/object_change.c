/* SPDX-License-Identifier: MIT */
/* DELETE, MOVE and PATCH: writes that carry no value. */
#include "node/object_door.h"
#include "node/object_patch.h"
#include "node/object_write.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>

#define PATCH_BYTES_MAX (16 * 1024)

struct change {
	struct object_write op;
	struct buf patch;
};

static void change_free(struct object_write *op)
{
	struct change *change = (struct change *)op;

	buf_deinit(&change->patch);
	free(change);
}

static struct change *change_new(const struct request *request, enum write_kind kind,
				 const struct key *key, const struct object_request *wanted)
{
	struct change *change;

	change = calloc(1, sizeof(*change));
	if (!change) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return NULL;
	}
	object_write_init(&change->op, request, kind, key, wanted, change_free);
	return change;
}

void object_delete_begin(const struct request *request, const struct key *key,
			 const struct object_request *wanted)
{
	struct change *change = change_new(request, WRITE_DELETE, key, wanted);

	if (!change)
		return;
	request->ex->handler = &request_waits;
	object_write_submit(&change->op);
}

void object_move_begin(const struct request *request, const struct key *key,
		       const struct object_request *wanted)
{
	struct change *change;

	if (!wanted->has_destination) {
		request_problem(request, OUTCOME_BAD_REQUEST,
				"MOVE needs a Destination: /kv/ and the new key in hex");
		return;
	}
	if (key_compare(key, &wanted->destination) == 0) {
		request_problem(request, OUTCOME_FORBIDDEN,
				"source and destination are the same record");
		return;
	}
	if (!object_door_owns(request, &wanted->destination))
		return;
	change = change_new(request, WRITE_MOVE, key, wanted);
	if (!change)
		return;
	request->ex->handler = &request_waits;
	object_write_submit(&change->op);
}

static bool changes_nothing(const struct object_request *wanted)
{
	return !wanted->has_content_type && !wanted->has_encoding && !wanted->has_mtime;
}

static void refuse_patch_size(const struct request *request)
{
	request_problem(request, OUTCOME_TOO_LARGE, "a patch has at most %d bytes",
			PATCH_BYTES_MAX);
}

static size_t patch_body(struct exchange *ex, const void *data, size_t len)
{
	struct change *change = ex->state;

	if (ex->answered)
		return len;
	if (len > PATCH_BYTES_MAX - change->patch.len)
		refuse_patch_size(&change->op.request);
	else if (buf_append(&change->patch, data, len) < 0)
		request_problem(&change->op.request, OUTCOME_UNAVAILABLE,
				"memory is out; try again");
	return len;
}

static void patch_end(struct exchange *ex)
{
	struct change *change = ex->state;
	struct store_write *write = &change->op.write;
	const char *why;

	if (ex->answered)
		return;
	why = object_patch_parse(change->patch.data, change->patch.len, &write->request);
	if (why) {
		request_problem(&change->op.request, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	/* An empty patch changes nothing and is still a promise: what was acknowledged before it
	 * is on stable storage. */
	if (changes_nothing(&write->request))
		write->kind = WRITE_BARRIER;
	object_write_submit(&change->op);
}

static void patch_finish(struct exchange *ex, bool answered)
{
	(void)answered;
	if (ex->state)
		change_free(ex->state);
	ex->state = NULL;
}

static const struct exchange_handler patch_handler = {
	.body = patch_body,
	.end = patch_end,
	.finish = patch_finish,
};

void object_patch_begin(const struct request *request, const struct key *key,
			const struct object_request *wanted)
{
	struct change *change;

	if (request->ex->content_length > PATCH_BYTES_MAX) {
		refuse_patch_size(request);
		return;
	}
	change = change_new(request, WRITE_PATCH, key, wanted);
	if (!change)
		return;
	request->ex->handler = &patch_handler;
	request->ex->state = change;
}

/* SPDX-License-Identifier: MIT */
/*
 * Every answer to the client is the last thing that a callback does: the exchange may finish
 * inside, and finish frees the forward. An answer of up to FRAME_BODY_MAX is collected first, so
 * that a node which breaks off inside it can still be asked again or be reported properly; a
 * longer one is passed on as it arrives.
 */
#include "router/forward.h"

#include "lib/frame.h"
#include "lib/object.h"
#include "lib/range.h"
#include "lib/reply.h"
#include "router/download.h"
#include "router/hop.h"
#include "router/upload.h"

#include <errno.h>
#include <stdlib.h>

#define ANSWER_MAX ((size_t)1 << 20) /* of an answer that did not announce its length */

enum forward_body { BODY_NONE, BODY_COLLECTED, BODY_STREAMED, BODY_DISCARDED };

struct forward {
	struct hop hop;
	struct exchange *ex;

	enum forward_body body;
	struct buf whole;
	struct upload upload;

	unsigned status;
	struct fields fields;
	int64_t length;
	struct buf answer;
	struct download *download; /* a streamed answer that has begun */
};

static struct forward *forward_free(struct forward *forward)
{
	hop_deinit(&forward->hop);
	buf_deinit(&forward->whole);
	upload_deinit(&forward->upload);
	fields_deinit(&forward->fields);
	buf_deinit(&forward->answer);
	download_release(forward->download);
	free(forward);
	return NULL;
}

static void reply_no_memory(struct exchange *ex)
{
	reply_problem(ex, OUTCOME_UNAVAILABLE, "the router is out of memory; try again later");
}

static void answer_collected(struct forward *forward)
{
	struct exchange *ex = forward->ex;
	struct answer answer = { .status = forward->status,
				 .fields = fields_take(&forward->fields),
				 .bytes = buf_take(&forward->answer) };

	if (ex->method == METHOD_HEAD && forward->length > 0)
		answer.stream_bytes = (uint64_t)forward->length;
	exchange_respond(ex, &answer);
}

static void answer_streamed(struct forward *forward)
{
	struct exchange *ex = forward->ex;
	struct answer answer = { .status = forward->status };

	if (download_new(ex, &forward->hop.call, &forward->download) < 0) {
		call_cancel(&forward->hop.call);
		hop_ended(&forward->hop, OUTCOME_OK, false);
		reply_no_memory(ex);
		return;
	}
	answer.fields = fields_take(&forward->fields);
	download_attach(forward->download, &answer, (uint64_t)forward->length);
	exchange_respond(ex, &answer);
}

static void forward_head(struct call *call, unsigned status, struct fields *fields,
			 int64_t content_length)
{
	struct forward *forward = call->state;
	const char *id;

	fields_deinit(&forward->fields);
	buf_clear(&forward->answer);
	forward->status = status;
	forward->fields = fields_take(fields);
	hop_head(&forward->hop, status, &forward->fields);
	forward->length = content_length;
	hop_clean_fields(&forward->fields);
	id = fields_get(&forward->ex->request, FIELD_REQUEST_ID, NULL);
	if (id && method_is_write(call->method))
		fields_setf(&forward->fields, FIELD_REQUEST_ID, "%s", id);
	if (call->method == METHOD_GET && content_length > FRAME_BODY_MAX)
		answer_streamed(forward);
}

static size_t forward_body(struct call *call, const void *data, size_t len)
{
	struct forward *forward = call->state;

	if (forward->download)
		return download_push(forward->download, data, len);
	if (forward->answer.len + len <= ANSWER_MAX && buf_append(&forward->answer, data, len) == 0)
		return len;
	call_cancel(call);
	hop_ended(&forward->hop, OUTCOME_OK, true);
	hop_reply_failure(&forward->hop, forward->ex, OUTCOME_BAD_GATEWAY);
	return len;
}

static ssize_t forward_upload(struct call *call, void *data, size_t len)
{
	struct forward *forward = call->state;

	return upload_pull(&forward->upload, data, len);
}

static void forward_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct forward *forward = call->state;

	hop_ended(&forward->hop, result, maybe_applied);
	/* Whatever else the client sends is no longer wanted. */
	if (forward->body == BODY_STREAMED)
		forward->body = BODY_DISCARDED;
	if (forward->download) {
		download_end(forward->download);
		return;
	}
	if (hop_again(&forward->hop, result))
		return;
	if (result != OUTCOME_OK) {
		hop_reply_failure(&forward->hop, forward->ex, result);
		return;
	}
	if (!hop_reply_refused(&forward->hop, forward->ex, forward->status))
		answer_collected(forward);
}

static const struct call_handler whole_handler = {
	.head = forward_head,
	.body = forward_body,
	.done = forward_done,
};

static const struct call_handler upload_handler = {
	.head = forward_head,
	.body = forward_body,
	.upload = forward_upload,
	.done = forward_done,
};

static void start(struct forward *forward)
{
	int r = hop_start(&forward->hop);

	if (r < 0) {
		forward->body = BODY_DISCARDED;
		hop_reply_not_sent(&forward->hop, forward->ex, r);
	}
}

static int start_streaming(struct forward *forward)
{
	struct call *call = &forward->hop.call;
	int r;

	r = upload_init(&forward->upload, forward->ex, call);
	if (r < 0)
		return r;
	/* What was collected fits: the pipe is larger than what is ever collected. */
	upload_push(&forward->upload, forward->whole.data, forward->whole.len);
	buf_deinit(&forward->whole);
	call->handler = &upload_handler;
	call->streaming = true;
	call->has_body = true;
	call->upload_len = forward->ex->content_length;
	forward->body = BODY_STREAMED;
	return hop_start(&forward->hop);
}

static size_t exchange_body(struct exchange *ex, const void *data, size_t len)
{
	struct forward *forward = ex->state;

	if (forward->body == BODY_STREAMED)
		return upload_push(&forward->upload, data, len);
	if (forward->body != BODY_COLLECTED)
		return len;
	if (len <= ROUTER_WHOLE_MAX - forward->whole.len) {
		if (buf_append(&forward->whole, data, len) == 0)
			return len;
		forward->body = BODY_DISCARDED;
		reply_no_memory(ex);
		return len;
	}
	if (ex->method != METHOD_PUT) {
		forward->body = BODY_DISCARDED;
		reply_problem(ex, OUTCOME_TOO_LARGE,
			      "the body of %s is over %d bytes; send only what changes",
			      method_name(ex->method), ROUTER_WHOLE_MAX);
		return len;
	}
	if (start_streaming(forward) < 0) {
		forward->body = BODY_DISCARDED;
		reply_no_memory(ex);
		return len;
	}
	return upload_push(&forward->upload, data, len);
}

static void exchange_end(struct exchange *ex)
{
	struct forward *forward = ex->state;
	struct call *call = &forward->hop.call;

	const char *why;
	int r;

	if (forward->body == BODY_STREAMED) {
		/* The node judges it. */
		call->trailer = fields_take(&ex->trailer);
		upload_end(&forward->upload);
	}
	if (forward->body != BODY_COLLECTED)
		return;
	r = ex->content_length < 0 ? object_trailer_apply(&ex->trailer, &call->fields, &why) : 0;
	if (r < 0) {
		forward->body = BODY_DISCARDED;
		reply_problem(ex, r == -ENOMEM ? OUTCOME_UNAVAILABLE : OUTCOME_BAD_REQUEST, "%s",
			      why);
		return;
	}
	call->has_body = true;
	call->body = forward->whole.data;
	call->body_len = forward->whole.len;
	start(forward);
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	(void)answered;
	forward_free(ex->state);
	ex->state = NULL;
}

static const struct exchange_handler exchange_handler = {
	.body = exchange_body,
	.end = exchange_end,
	.finish = exchange_finish,
};

static int prepare(struct forward *forward, struct service *service, const struct key *key)
{
	struct exchange *ex = forward->ex;

	hop_init(&forward->hop, service, service_shard_of(service, key), ex->method, &whole_handler,
		 forward);
	hop_target_key(&forward->hop, key);
	if (ex->method == METHOD_PUT || ex->method == METHOD_PATCH)
		forward->body = BODY_COLLECTED;
	/* What surely fits no frame need not be asked for by one first. */
	forward->hop.call.streaming =
		ex->method == METHOD_GET && range_is_longer(&ex->request, FRAME_BODY_MAX);
	return hop_copy_fields(&forward->hop, &ex->request);
}

void forward_begin(struct exchange *ex, struct service *service, const struct key *key)
{
	struct forward *forward = calloc(1, sizeof(*forward));

	if (!forward) {
		reply_no_memory(ex);
		return;
	}
	forward->ex = ex;
	ex->state = forward;
	ex->handler = &exchange_handler;
	if (prepare(forward, service, key) < 0) {
		forward->body = BODY_DISCARDED;
		reply_no_memory(ex);
		return;
	}
	if (forward->body == BODY_NONE) {
		start(forward);
		return;
	}
	if (ex->method != METHOD_PUT || ex->content_length <= ROUTER_WHOLE_MAX)
		return;
	if (start_streaming(forward) < 0) {
		forward->body = BODY_DISCARDED;
		reply_no_memory(ex);
	}
}

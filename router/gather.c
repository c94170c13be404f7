/* SPDX-License-Identifier: MIT */
#include "router/gather.h"

/* Ends the call early; nothing of it is seen afterwards. */
static void refuse(struct gather *gather, enum outcome why)
{
	call_cancel(&gather->hop.call);
	hop_ended(&gather->hop, OUTCOME_OK, false);
	gather->done(gather, why);
}

static bool admit(struct gather *gather, size_t bytes)
{
	return !gather->admit || gather->admit(gather, bytes);
}

static void gather_head(struct call *call, unsigned status, struct fields *fields,
			int64_t content_length)
{
	struct gather *gather = call->state;

	gather->status = status;
	fields_deinit(&gather->fields);
	gather->fields = fields_take(fields);
	hop_head(&gather->hop, status, &gather->fields);
	gather->length = content_length > 0 ? (uint64_t)content_length : 0;
	buf_clear(&gather->body);
	if (call->method == METHOD_HEAD)
		return;
	if (gather->length > gather->body_max) {
		refuse(gather, OUTCOME_TOO_LARGE);
		return;
	}
	if (gather->length == 0)
		return;
	if (!admit(gather, gather->length) || buf_reserve(&gather->body, gather->length) < 0)
		refuse(gather, OUTCOME_TOO_MANY_REQUESTS);
}

static size_t gather_body(struct call *call, const void *data, size_t len)
{
	struct gather *gather = call->state;

	if (len > gather->body_max - gather->body.len)
		refuse(gather, OUTCOME_TOO_LARGE);
	else if (!admit(gather, gather->body.len + len) || buf_append(&gather->body, data, len) < 0)
		refuse(gather, OUTCOME_TOO_MANY_REQUESTS);
	return len;
}

static ssize_t gather_upload(struct call *call, void *data, size_t len)
{
	struct gather *gather = call->state;

	return gather->upload(gather, data, len);
}

static void gather_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct gather *gather = call->state;

	hop_ended(&gather->hop, result, maybe_applied);
	if (hop_again(&gather->hop, result))
		return;
	gather->done(gather, result);
}

static const struct call_handler whole_handler = {
	.head = gather_head,
	.body = gather_body,
	.done = gather_done,
};

static const struct call_handler upload_handler = {
	.head = gather_head,
	.body = gather_body,
	.upload = gather_upload,
	.done = gather_done,
};

void gather_init(struct gather *gather, struct service *service, unsigned shard, enum method method)
{
	*gather = (struct gather){ .body_max = 1 << 20 };
	hop_init(&gather->hop, service, shard, method, &whole_handler, gather);
}

void gather_init_node(struct gather *gather, struct service *service,
		      const struct cluster_node *node, enum method method)
{
	*gather = (struct gather){ .body_max = 1 << 20 };
	hop_init_node(&gather->hop, service, node, method, &whole_handler, gather);
}

int gather_start(struct gather *gather)
{
	if (gather->upload)
		gather->hop.call.handler = &upload_handler;
	return hop_start(&gather->hop);
}

void gather_deinit(struct gather *gather)
{
	hop_deinit(&gather->hop);
	fields_deinit(&gather->fields);
	buf_deinit(&gather->body);
}

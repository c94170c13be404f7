/* SPDX-License-Identifier: MIT */
/*
 * PUT /: collect the body, parse it, write the record at its node, answer with the record. What the
 * client has sent is charged to the budget as it arrives, not as it is announced, so that nobody
 * can hold the budget by announcing alone.
 */
#include "lib/container_of.h"
#include "lib/reply.h"
#include "router/json_door.h"
#include "router/object_door.h"

#include <errno.h>
#include <stdlib.h>

#define CHARGE_STEP ((size_t)64 * 1024)

struct json_put {
	struct service *service;
	struct exchange *ex; /* NULL once finished */
	struct budget_share share;
	struct buf body;
	bool refused; /* answered: the rest of the body is not wanted */

	struct work work;
	int result; /* of the work */
	char why[JSON_WHY_MAX];
	struct json_record record;
	struct gather put;
	struct buf printed;
};

static void json_put_free(struct json_put *put)
{
	gather_deinit(&put->put);
	json_record_deinit(&put->record);
	buf_deinit(&put->body);
	buf_deinit(&put->printed);
	budget_share_shrink(&put->share, 0);
	free(put);
}

static void print_run(struct work *work)
{
	struct json_put *put = container_of(work, struct json_put, work);
	const struct json_record *record = &put->record;

	put->result =
		json_record_print(&record->key, record->content_type.text, record->encoding.text,
				  record->value, record->value_len, SIZE_MAX, &put->printed);
}

static void print_done(struct work *work)
{
	struct json_put *put = container_of(work, struct json_put, work);

	if (!put->ex) {
		json_put_free(put);
		return;
	}
	if (put->result < 0) {
		reply_problem_unknown(put->ex, OUTCOME_UNAVAILABLE,
				      "the record was written, but the router has no memory to "
				      "show it");
		return;
	}
	json_reply_record(put->ex, put->put.status == 201 ? 201 : 200, &put->record.key,
			  &put->put.fields, &put->printed);
}

static void put_done(struct gather *gather, enum outcome result)
{
	struct json_put *put = gather->state;

	if (result != OUTCOME_OK) {
		hop_reply_failure(&gather->hop, put->ex, result);
		return;
	}
	if (hop_reply_refused(&gather->hop, put->ex, gather->status))
		return;
	if (gather->status != 201 && gather->status != 204) {
		json_reply_node(put->ex, gather);
		return;
	}
	put->work.run = print_run;
	put->work.done = print_done;
	work_start(&put->work, put->service, put->record.value_len);
}

static void write_record(struct json_put *put)
{
	struct service *service = put->service;
	struct json_record *record = &put->record;
	struct call *call = &put->put.hop.call;
	int r;

	gather_init(&put->put, service, service_shard_of(service, &record->key), METHOD_PUT);
	put->put.done = put_done;
	put->put.state = put;
	hop_target_key(&put->put.hop, &record->key);
	r = hop_copy_fields(&put->put.hop, &put->ex->request);
	if (r == 0)
		r = fields_set(&call->fields, FIELD_CONTENT_TYPE, record->content_type.text,
			       record->content_type.len);
	if (r == 0)
		r = fields_set(&call->fields, FIELD_ENCODING, record->encoding.text,
			       record->encoding.len);
	call->has_body = true;
	call->body = record->value;
	call->body_len = record->value_len;
	call->streaming = record->value_len > ROUTER_WHOLE_MAX;
	if (r == 0)
		r = gather_start(&put->put);
	if (r < 0)
		hop_reply_not_sent(&put->put.hop, put->ex, r);
}

static void parse_run(struct work *work)
{
	struct json_put *put = container_of(work, struct json_put, work);

	put->result = json_record_parse((const char *)put->body.data, put->body.len, &put->record,
					put->why);
	buf_deinit(&put->body);
}

static void parse_done(struct work *work)
{
	struct json_put *put = container_of(work, struct json_put, work);

	if (!put->ex) {
		json_put_free(put);
		return;
	}
	if (put->result == -EINVAL)
		reply_problem(put->ex, OUTCOME_BAD_REQUEST, "%s", put->why);
	else if (put->result < 0)
		json_reply_busy(put->ex, put->service);
	else
		write_record(put);
}

static void reply_too_large(struct exchange *ex)
{
	reply_problem(ex, OUTCOME_TOO_LARGE,
		      "the body is over %u MiB; send a larger value with PUT /kv/{hex}, which "
		      "streams",
		      ROUTER_JSON_BODY_MAX >> 20);
}

static size_t exchange_body(struct exchange *ex, const void *data, size_t len)
{
	struct json_put *put = ex->state;
	size_t total = put->body.len + len;
	size_t announced = ex->content_length > 0 ? (size_t)ex->content_length : 0;

	if (put->refused)
		return len;
	/* Untouched memory costs nothing, and what is not moved is not held twice. */
	if (put->body.len == 0)
		(void)buf_reserve(&put->body, announced);
	if (total > ROUTER_JSON_BODY_MAX) {
		put->refused = true;
		reply_too_large(ex);
	} else if (!budget_share_grow(&put->share,
				      (total + CHARGE_STEP - 1) & ~(CHARGE_STEP - 1)) ||
		   buf_append(&put->body, data, len) < 0) {
		put->refused = true;
		json_reply_busy(ex, put->service);
	}
	return len;
}

static void exchange_end(struct exchange *ex)
{
	struct json_put *put = ex->state;

	if (put->refused)
		return;
	put->work.run = parse_run;
	put->work.done = parse_done;
	work_start(&put->work, put->service, put->body.len);
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	struct json_put *put = ex->state;

	(void)answered;
	ex->state = NULL;
	put->ex = NULL;
	if (!put->work.under_way)
		json_put_free(put);
}

static const struct exchange_handler exchange_handler = {
	.body = exchange_body,
	.end = exchange_end,
	.finish = exchange_finish,
};

void json_put_begin(struct exchange *ex, struct service *service)
{
	struct object_request request;
	struct json_put *put;
	const char *why = "";

	/* These describe the JSON; the record's own stand inside it. */
	fields_unset(&ex->request, FIELD_CONTENT_TYPE);
	fields_unset(&ex->request, FIELD_ENCODING);
	if (object_request_parse(&ex->request, &request, &why) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	if (ex->content_length > ROUTER_JSON_BODY_MAX) {
		reply_too_large(ex);
		return;
	}
	put = calloc(1, sizeof(*put));
	if (!put || object_door_ensure_request_id(ex, &request) < 0) {
		free(put);
		json_reply_busy(ex, service);
		return;
	}
	put->service = service;
	put->ex = ex;
	put->share.budget = &service->router->json;
	ex->state = put;
	ex->handler = &exchange_handler;
}

/* SPDX-License-Identifier: MIT */
#include "router/copy.h"

#include <string.h>

static void end(struct copy *copy, enum copy_result result)
{
	copy->done(copy, result);
}

static void fail(struct copy *copy, struct hop *hop, enum outcome why)
{
	copy->failed_hop = hop;
	copy->failure = why;
	end(copy, COPY_FAILED);
}

static int copy_field(const struct fields *from, enum field field, struct fields *to)
{
	size_t len;
	const char *value = fields_get(from, field, &len);

	return value ? fields_set(to, field, value, len) : 0;
}

static int set_put_id(struct copy *copy, struct fields *fields)
{
	struct request_id id = request_id_of_copy(&copy->id, copy->etag, &copy->destination);
	char hex[33];

	request_id_to_hex(&id, hex);
	return fields_set(fields, FIELD_REQUEST_ID, hex, 32);
}

static int set_put_fields(struct copy *copy)
{
	static const enum field kept[] = { FIELD_CONTENT_TYPE, FIELD_ENCODING, FIELD_MTIME };
	struct fields *fields = &copy->put.hop.call.fields;
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(kept) / sizeof(*kept); i++)
		r = copy_field(&copy->fields, kept[i], fields);
	if (r == 0)
		r = copy_field(copy->request, FIELD_ACK, fields);
	if (r == 0)
		r = fields_setf(fields, FIELD_DURABILITY, "disk");
	if (r == 0 && copy->put_if_none)
		r = fields_setf(fields, FIELD_IF_NONE_MATCH, "*");
	if (r == 0 && copy->put_if_match)
		r = fields_setf(fields, FIELD_IF_MATCH, "%s", copy->put_if_match);
	return r == 0 ? set_put_id(copy, fields) : r;
}

static ssize_t put_upload(struct gather *put, void *data, size_t len)
{
	struct copy *copy = put->state;
	size_t n = pipe_read(&copy->pipe, data, len);

	if (copy->get_waits && pipe_is_low(&copy->pipe)) {
		copy->get_waits = false;
		call_resume(&copy->get.call);
	}
	if (n == 0)
		copy->put_waits = true;
	return (ssize_t)n;
}

static void put_done(struct gather *put, enum outcome result)
{
	struct copy *copy = put->state;

	/* The destination answered before it had all: what is left of the source is not wanted. */
	if (copy->get.under_way) {
		call_cancel(&copy->get.call);
		hop_ended(&copy->get, OUTCOME_OK, false);
	}
	if (result != OUTCOME_OK)
		fail(copy, &put->hop, result);
	else if (put->status == 201 || put->status == 204)
		end(copy, COPY_DONE);
	else
		end(copy, COPY_DESTINATION_SAYS);
}

static int start_put(struct copy *copy, int64_t length)
{
	struct service *service = copy->service;
	struct gather *put = &copy->put;
	struct call *call = &put->hop.call;
	int r;

	gather_init(put, service, service_shard_of(service, &copy->destination), METHOD_PUT);
	hop_target_key(&put->hop, &copy->destination);
	put->done = put_done;
	put->state = copy;
	r = set_put_fields(copy);
	if (r < 0)
		return r;
	call->has_body = true;
	if (copy->streaming) {
		put->upload = put_upload;
		call->streaming = true;
		call->upload_len = length;
	} else {
		call->body = copy->whole.data;
		call->body_len = copy->whole.len;
	}
	return gather_start(put);
}

/* The source's answer can't be used any further. */
static void break_off(struct copy *copy, enum outcome why)
{
	call_cancel(&copy->get.call);
	hop_ended(&copy->get, OUTCOME_OK, false);
	fail(copy, &copy->get, why);
}

static void get_head(struct call *call, unsigned status, struct fields *fields,
		     int64_t content_length)
{
	struct copy *copy = call->state;
	size_t len;
	const char *etag;

	copy->status = status;
	fields_deinit(&copy->fields);
	copy->fields = fields_take(fields);
	hop_head(&copy->get, status, &copy->fields);
	buf_clear(&copy->whole);
	if (status != 200)
		return;
	etag = fields_get(&copy->fields, FIELD_ETAG, &len);
	if (!etag || len >= ETAG_BYTES_MAX || content_length < 0) {
		break_off(copy, OUTCOME_BAD_GATEWAY);
		return;
	}
	memcpy(copy->etag, etag, len + 1);
	if (content_length <= ROUTER_WHOLE_MAX)
		return;
	copy->streaming = true;
	if (pipe_init(&copy->pipe) < 0 || start_put(copy, content_length) < 0)
		break_off(copy, OUTCOME_UNAVAILABLE);
}

static size_t get_body(struct call *call, const void *data, size_t len)
{
	struct copy *copy = call->state;
	size_t taken;

	if (!copy->streaming) {
		if (copy->whole.len + len > ROUTER_WHOLE_MAX ||
		    buf_append(&copy->whole, data, len) < 0)
			break_off(copy, OUTCOME_BAD_GATEWAY);
		return len;
	}
	taken = pipe_write(&copy->pipe, data, len);
	exchange_moving(copy->ex);
	copy->get_waits = taken < len;
	if (copy->put_waits) {
		copy->put_waits = false;
		call_resume(&copy->put.hop.call);
	}
	return taken;
}

static void get_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct copy *copy = call->state;

	hop_ended(&copy->get, result, maybe_applied);
	if (copy->streaming) {
		/* An upload that is cancelled is incomplete for the node, which forgets it. */
		if (result != OUTCOME_OK) {
			gather_deinit(&copy->put);
			fail(copy, &copy->get, result);
		}
		return;
	}
	if (hop_again(&copy->get, result))
		return;
	if (result != OUTCOME_OK) {
		fail(copy, &copy->get, result);
		return;
	}
	if (copy->status != 200)
		end(copy, COPY_SOURCE_SAYS);
	else if (start_put(copy, 0) < 0)
		fail(copy, &copy->get, OUTCOME_UNAVAILABLE);
}

static const struct call_handler get_handler = {
	.head = get_head,
	.body = get_body,
	.done = get_done,
};

int copy_start(struct copy *copy)
{
	static const enum field asked[] = { FIELD_IF_MATCH, FIELD_IF_NONE_MATCH,
					    FIELD_IF_UNMODIFIED_SINCE };
	struct service *service = copy->service;
	int r = 0;

	copy_deinit(copy);
	hop_init(&copy->get, service, service_shard_of(service, &copy->source), METHOD_GET,
		 &get_handler, copy);
	hop_target_key(&copy->get, &copy->source);
	for (size_t i = 0; r == 0 && i < sizeof(asked) / sizeof(*asked); i++)
		r = copy_field(copy->request, asked[i], &copy->get.call.fields);
	/* Only the leader knows the version that the DELETE will meet. */
	if (r == 0)
		r = fields_setf(&copy->get.call.fields, FIELD_READ, "leader");
	return r < 0 ? r : hop_start(&copy->get);
}

void copy_deinit(struct copy *copy)
{
	/* Not yet initialised hops are all zero, which is safe here. */
	hop_deinit(&copy->get);
	gather_deinit(&copy->put);
	fields_deinit(&copy->fields);
	buf_deinit(&copy->whole);
	pipe_deinit(&copy->pipe);
	copy->streaming = false;
	copy->get_waits = false;
	copy->put_waits = false;
}

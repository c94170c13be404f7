/* SPDX-License-Identifier: MIT */
#include "router/json_door.h"

#include "lib/reply.h"

void json_door_begin(struct exchange *ex, struct service *service)
{
	switch (ex->method) {
	case METHOD_PUT:
		json_put_begin(ex, service);
		break;
	case METHOD_POST:
		json_post_begin(ex, service);
		break;
	default:
		reply_method_not_allowed(
			ex, "PUT, POST",
			"PUT / with a record as JSON writes it, POST / with a key as the body "
			"reads "
			"one; there is no request for all data: names are listed page by page by "
			"GET /keys, one value is read by GET /kv/{hex}");
	}
}

void json_reply_busy(struct exchange *ex, struct service *service)
{
	counter_add(&service->router->counters.json_refused, 1);
	reply_problem(ex, OUTCOME_UNAVAILABLE,
		      "other requests use all memory that the JSON door may; try again in a moment "
		      "or use /kv/{hex}, which streams");
}

void json_reply_record(struct exchange *ex, unsigned status, const struct key *key,
		       const struct fields *from, struct buf *body)
{
	static const enum field kept[] = { FIELD_ETAG, FIELD_LAST_MODIFIED, FIELD_MTIME,
					   FIELD_STALE, FIELD_STALENESS_MS };
	struct answer answer = { .status = status, .bytes = buf_take(body) };
	char hex[KEY_HEX_MAX + 1];
	const char *id;

	key_to_hex(key, hex);
	fields_setf(&answer.fields, FIELD_CONTENT_TYPE, "application/json");
	fields_setf(&answer.fields, FIELD_CONTENT_LOCATION, "/kv/%s", hex);
	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
		const char *value = fields_get(from, kept[i], NULL);

		if (value)
			fields_setf(&answer.fields, kept[i], "%s", value);
	}
	id = fields_get(&ex->request, FIELD_REQUEST_ID, NULL);
	if (id && ex->method == METHOD_PUT)
		fields_setf(&answer.fields, FIELD_REQUEST_ID, "%s", id);
	exchange_respond(ex, &answer);
}

void json_reply_node(struct exchange *ex, struct gather *gather)
{
	struct answer answer = { .status = gather->status,
				 .fields = fields_take(&gather->fields),
				 .bytes = buf_take(&gather->body) };

	hop_clean_fields(&answer.fields);
	exchange_respond(ex, &answer);
}

/* SPDX-License-Identifier: MIT */
#include "router/object_door.h"

#include "lib/reply.h"
#include "router/forward.h"
#include "router/hop.h"
#include "router/move.h"

static bool method_is_served(enum method method)
{
	return method >= METHOD_GET && method <= METHOD_MOVE;
}

int object_door_ensure_request_id(struct exchange *ex, struct object_request *request)
{
	char hex[33];

	if (request_id_is_set(&request->request_id))
		return 0;
	request_id_generate(&request->request_id);
	request_id_to_hex(&request->request_id, hex);
	return fields_set(&ex->request, FIELD_REQUEST_ID, hex, 32);
}

static void begin_write(struct exchange *ex, struct service *service, const struct key *key,
			struct object_request *request)
{
	bool own_id = request_id_is_set(&request->request_id);

	if (object_door_ensure_request_id(ex, request) < 0) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
		return;
	}
	if (ex->method == METHOD_MOVE &&
	    service_shard_of(service, key) != service_shard_of(service, &request->destination))
		move_begin(ex, service, key, request, own_id);
	else
		forward_begin(ex, service, key);
}

void object_door_begin(struct exchange *ex, struct service *service)
{
	struct object_request request;
	const char *why = "";
	struct key key;

	if (!method_is_served(ex->method)) {
		reply_method_not_allowed(ex, "GET, HEAD, PUT, DELETE, PATCH, MOVE",
					 "a record is read with GET or HEAD and changed with PUT, "
					 "PATCH, DELETE or MOVE");
		return;
	}
	if (object_path_parse(ex->path, &key) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "this is not a key; write 1 to %d bytes as pairs of hex digits after "
			      "/kv/",
			      KEY_BYTES_MAX);
		return;
	}
	if (object_request_parse(&ex->request, &request, &why) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST, "%s", why);
		return;
	}
	if (ex->method == METHOD_MOVE && !request.has_destination) {
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "MOVE needs a Destination; name the new key as /kv/{hex}");
		return;
	}
	if (method_is_write(ex->method))
		begin_write(ex, service, &key, &request);
	else
		forward_begin(ex, service, &key);
}

/* SPDX-License-Identifier: MIT */
#include "node/object_door.h"

#include "node/role.h"

#include <errno.h>
#include <string.h>

#define ALLOW "GET, HEAD, PUT, DELETE, PATCH, MOVE"

typedef void object_method(const struct request *, const struct key *,
			   const struct object_request *);

static object_method *find_method(enum method method)
{
	switch (method) {
	case METHOD_GET:
	case METHOD_HEAD:
		return object_get_begin;
	case METHOD_PUT:
		return object_put_begin;
	case METHOD_DELETE:
		return object_delete_begin;
	case METHOD_PATCH:
		return object_patch_begin;
	case METHOD_MOVE:
		return object_move_begin;
	default:
		return NULL;
	}
}

bool object_door_owns(const struct request *request, const struct key *key)
{
	const struct service *service = request_service(request);
	unsigned index = cluster_shard_of(service->cluster, key->bytes, key->len);
	const struct cluster_shard *shard = &service->cluster->shards[index];
	const struct cluster_node *leader = &shard->nodes[shard->leader];

	if (shard == service->shard)
		return true;
	request_problem_with(request, OUTCOME_MISDIRECTED, FIELD_LEADER, leader->url,
			     "slot %u belongs to shard %s, which was led by %s at %s at first; ask "
			     "there",
			     hash_slot(key->bytes, key->len), shard->name, leader->name,
			     leader->url);
	return false;
}

/* A path of more than one step below /kv, or one that steps up. */
static bool leads_elsewhere(const char *path)
{
	const char *name = path + strlen("/kv/");

	return strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_write(enum method method)
{
	return method != METHOD_GET && method != METHOD_HEAD;
}

void object_door_begin(const struct request *request)
{
	struct exchange *ex = request->ex;
	object_method *begin = find_method(ex->method);
	struct request judged = *request;
	struct object_request wanted;
	struct key key;
	const char *why;
	int r;

	if (!begin) {
		request_problem_with(request, OUTCOME_METHOD_NOT_ALLOWED, FIELD_ALLOW, ALLOW,
				     "a record knows %s", ALLOW);
		return;
	}
	if (leads_elsewhere(ex->path)) {
		request_problem(request, OUTCOME_NOT_FOUND, "there is nothing below a record");
		return;
	}
	if (object_path_parse(ex->path, &key) < 0) {
		request_problem(request, OUTCOME_BAD_REQUEST,
				"the path must be /kv/ and a key of 1 to %d bytes in hex",
				KEY_BYTES_MAX);
		return;
	}
	if (is_write(ex->method))
		request_identify(request);
	r = object_request_parse(&ex->request, &wanted, &why);
	if (r < 0) {
		request_problem(request, r == -EINVAL ? OUTCOME_BAD_REQUEST : outcome_from_error(r),
				"%s", r == -EINVAL ? why : "memory is out; try again");
		return;
	}
	if (!object_door_owns(request, &key))
		return;
	if (is_write(ex->method) ? role_may_write(request) : role_may_read(&judged, wanted.read))
		begin(&judged, &key, &wanted);
}

/* SPDX-License-Identifier: MIT */
#include "node/routes.h"

#include "lib/clock.h"
#include "node/admin.h"
#include "node/checkpoint_door.h"
#include "node/keys.h"
#include "node/object_door.h"
#include "node/replica_door.h"
#include "node/role.h"

#include <string.h>

struct route {
	const char *path;
	void (*begin)(const struct request *request);
	bool posts; /* otherwise read only */
};

/* Everything but /kv/. */
static const struct route routes[] = {
	{ "/keys", keys_begin, false },
	{ "/health/live", admin_live, false },
	{ "/health/ready", admin_ready, false },
	{ "/status", admin_status, false },
	{ "/role", role_begin, false },
	{ "/topology", admin_topology, false },
	{ "/metrics", admin_metrics, false },
	{ "/replica", replica_door_begin, true },
	{ "/admin/promote", role_promote_begin, true },
	{ "/admin/checkpoint", checkpoint_door_begin, true },
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, path) == 0)
			return &routes[i];
	}
	return NULL;
}

static bool allows(const struct route *route, enum method method)
{
	if (route->posts)
		return method == METHOD_POST;
	return method == METHOD_GET || method == METHOD_HEAD;
}

void routes_begin(struct exchange *ex, struct worker *worker)
{
	struct request request = {
		.ex = ex,
		.worker = worker->state,
		.begun_ns = clock_monotonic_ns(),
	};
	const struct route *route;

	if (strncmp(ex->path, "/kv/", 4) == 0) {
		object_door_begin(&request);
		return;
	}
	route = find_route(ex->path);
	if (!route) {
		request_problem(&request, OUTCOME_NOT_FOUND,
				"there is nothing here; records are at /kv/{key in hex}");
		return;
	}
	if (allows(route, ex->method)) {
		route->begin(&request);
		return;
	}
	if (route->posts)
		request_problem_with(&request, OUTCOME_METHOD_NOT_ALLOWED, FIELD_ALLOW, "POST",
				     "%s is asked with POST", route->path);
	else
		request_problem_with(&request, OUTCOME_METHOD_NOT_ALLOWED, FIELD_ALLOW, "GET, HEAD",
				     "%s can only be read; use GET", route->path);
}

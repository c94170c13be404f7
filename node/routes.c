/* SPDX-License-Identifier: MIT */
#include "node/routes.h"

#include "lib/clock.h"
#include "node/admin.h"
#include "node/keys.h"
#include "node/object_door.h"

#include <string.h>

struct route {
	const char *path;
	void (*begin)(const struct request *request);
};

/* Everything but /kv/: read only. */
static const struct route routes[] = {
	{ "/keys", keys_begin },          { "/health/live", admin_live },
	{ "/health/ready", admin_ready }, { "/status", admin_status },
	{ "/topology", admin_topology },  { "/metrics", admin_metrics },
};

static const struct route *find_route(const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(routes[i].path, path) == 0)
			return &routes[i];
	}
	return NULL;
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
	if (ex->method != METHOD_GET && ex->method != METHOD_HEAD) {
		request_problem_with(&request, OUTCOME_METHOD_NOT_ALLOWED, FIELD_ALLOW, "GET, HEAD",
				     "%s can only be read; use GET", route->path);
		return;
	}
	route->begin(&request);
}

/* SPDX-License-Identifier: MIT */
#include "router/service.h"

#include "lib/log.h"
#include "lib/reply.h"
#include "router/admin.h"
#include "router/hop.h"
#include "router/json_door.h"
#include "router/keys.h"
#include "router/object_door.h"
#include "router/prober.h"
#include "router/status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 2000
#define IN_FLIGHT_MAX      4096 /* frames to one node that wait for an answer */

static void service_free(struct service *service)
{
	/* First what may still post to the loop, then what its jobs refer to. */
	pool_free(service->pool);
	prober_free(service->prober);
	loop_clear_timer(service->loop, &service->hop_timer);
	for (unsigned i = 0; service->peers && i < service->router->node_count; i++)
		peer_free(service->peers[i]);
	http_client_free(service->http);
	free(service->peers);
	free(service->reported_down);
	free(service);
}

static int add_peers(struct service *service)
{
	const struct router *router = service->router;

	for (unsigned s = 0; s < router->cluster->shard_count; s++) {
		const struct cluster_shard *shard = &router->cluster->shards[s];

		for (unsigned n = 0; n < shard->node_count; n++) {
			struct peer_options options = {
				.url = shard->nodes[n].url,
				.token = router->token,
				.connect_timeout_ms = router->node_timeout_ms < CONNECT_TIMEOUT_MS
							      ? router->node_timeout_ms
							      : CONNECT_TIMEOUT_MS,
				.in_flight_max = IN_FLIGHT_MAX,
			};
			int r = peer_new(service->loop, service->http, &options,
					 &service->peers[shard->nodes[n].index - 1]);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int open_service(struct service *service)
{
	int r;

	service->peers = calloc(service->router->node_count, sizeof(*service->peers));
	service->reported_down =
		calloc(service->router->node_count, sizeof(*service->reported_down));
	if (!service->peers || !service->reported_down)
		return -ENOMEM;
	r = pool_new(1, &service->pool);
	if (r < 0)
		return r;
	r = http_client_new(service->loop, &service->http);
	if (r < 0)
		return r;
	r = add_peers(service);
	if (r == 0 && service->worker->index == 0)
		r = prober_new(service, &service->prober);
	return r;
}

static int service_start(struct worker *worker, void *program)
{
	struct service *service = calloc(1, sizeof(*service));
	int r;

	if (!service)
		return -ENOMEM;
	service->router = program;
	service->worker = worker;
	service->loop = worker->loop;
	service->hop_timer.expired = hop_look;
	r = open_service(service);
	if (r < 0) {
		log_error("worker can't start", "worker=%u error=\"%s\"", worker->index,
			  strerror(-r));
		service_free(service);
		return r;
	}
	worker->state = service;
	return 0;
}

static void service_stop(struct worker *worker)
{
	service_free(worker->state);
	worker->state = NULL;
}

static bool service_busy(struct worker *worker)
{
	const struct service *service = worker->state;

	return service->jobs > 0;
}

struct route {
	const char *path;
	enum door door;
	void (*begin)(struct exchange *, struct service *);
	bool any_method; /* the door looks at the method itself; otherwise GET and HEAD */
};

static const struct route routes[] = {
	{ "/", DOOR_JSON, json_door_begin, true },
	{ "/keys", DOOR_KEYS, keys_begin, false },
	{ "/health/live", DOOR_ADMIN, admin_live, false },
	{ "/health/ready", DOOR_ADMIN, status_ready_begin, false },
	{ "/status", DOOR_ADMIN, status_begin, false },
	{ "/topology", DOOR_ADMIN, admin_topology, false },
	{ "/metrics", DOOR_ADMIN, admin_metrics, false },
};

static const struct route object_route = { "/kv/", DOOR_OBJECT, object_door_begin, true };

static const struct route *find_route(const char *path)
{
	size_t prefix = strlen(object_route.path);

	if (strncmp(path, object_route.path, prefix) == 0 && path[prefix] &&
	    !strchr(path + prefix, '/'))
		return &object_route;
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if (strcmp(path, routes[i].path) == 0)
			return &routes[i];
	}
	return NULL;
}

static void service_begin(struct exchange *ex, struct worker *worker)
{
	struct service *service = worker->state;
	const struct route *route = find_route(ex->path);

	counters_request(&service->router->counters, route ? route->door : DOOR_NONE, ex->method);
	if (!route)
		reply_problem(ex, OUTCOME_NOT_FOUND,
			      "there is nothing here; records are at /kv/{key in hex}, and / takes "
			      "JSON");
	else if (!route->any_method && ex->method != METHOD_GET && ex->method != METHOD_HEAD)
		reply_method_not_allowed(ex, "GET, HEAD", "this can only be read");
	else
		route->begin(ex, service);
}

const struct server_service router_service = {
	.start = service_start,
	.stop = service_stop,
	.busy = service_busy,
	.begin = service_begin,
};

/* SPDX-License-Identifier: MIT */
/*
 * One worker of the router: its connections to every node, and the table of routes.
 * Threads: everything in the worker's thread.
 */
#pragma once

#include "lib/object.h"
#include "lib/peer.h"
#include "lib/pool.h"
#include "lib/server.h"
#include "router/router.h"

struct service {
	struct router *router;
	struct worker *worker;
	struct loop *loop;
	struct http_client *http;
	struct peer **peers; /* by node index - 1 */
	bool *reported_down; /* by node index - 1: its failure has been logged */
	struct pool *pool; /* for large JSON: what would hold the loop for milliseconds */
	unsigned jobs; /* of the pool that are not done */
};

/* The table that lib/server calls; its program is a struct router. */
extern const struct server_service router_service;

static inline const struct cluster_node *service_leader(const struct service *service,
							unsigned shard)
{
	const struct cluster_shard *s = &service->router->cluster->shards[shard];

	return &s->nodes[s->leader];
}

static inline unsigned service_shard_of(const struct service *service, const struct key *key)
{
	return cluster_shard_of(service->router->cluster, key->bytes, key->len);
}

static inline struct peer *service_peer(const struct service *service,
					const struct cluster_node *node)
{
	return service->peers[node->index - 1];
}

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
	struct prober *prober; /* of the first worker only */
	/* Hops that wait for a leader or may have to go to another node (router/hop_wait.c). */
	struct hop *first_hop, *last_hop;
	uint64_t hops_seen; /* leaders_generation() when they were looked at */
	struct loop_timer hop_timer;
};

/* The table that lib/server calls; its program is a struct router. */
extern const struct server_service router_service;

static inline unsigned service_shard_of(const struct service *service, const struct key *key)
{
	return cluster_shard_of(service->router->cluster, key->bytes, key->len);
}

static inline struct peer *service_peer(const struct service *service,
					const struct cluster_node *node)
{
	return service->peers[node->index - 1];
}

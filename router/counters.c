/* SPDX-License-Identifier: MIT */
#include "router/counters.h"

#include "lib/cleanup.h"
#include "router/router.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const door_names[DOOR_COUNT] = {
	[DOOR_JSON] = "json",   [DOOR_OBJECT] = "object", [DOOR_KEYS] = "keys",
	[DOOR_ADMIN] = "admin", [DOOR_NONE] = "none",
};

int counters_init(struct counters *counters, unsigned nodes)
{
	counters->nodes = calloc(nodes, sizeof(*counters->nodes));
	return counters->nodes ? 0 : -ENOMEM;
}

void counters_deinit(struct counters *counters)
{
	free(counters->nodes);
	counters->nodes = NULL;
}

void counters_request(struct counters *counters, enum door door, enum method method)
{
	counter_add(&counters->requests[door][method <= METHOD_POST ? method : 0], 1);
}

static uint64_t load(_Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static int print_requests(struct counters *counters, struct buf *out)
{
	char labels[64];
	int r;

	r = metrics_family(out, "hexkv_router_requests", "counter", "Requests by door and method.");
	for (unsigned door = 0; r >= 0 && door < DOOR_COUNT; door++) {
		for (unsigned method = 0; r >= 0 && method <= METHOD_POST; method++) {
			uint64_t count = load(&counters->requests[door][method]);

			if (count == 0)
				continue;
			snprintf(labels, sizeof(labels), "door=\"%s\",method=\"%s\"",
				 door_names[door], method ? method_name(method) : "other");
			r = metrics_sample_u64(out, "hexkv_router_requests", "_total", labels,
					       count);
		}
	}
	return r;
}

static int print_node_family(struct router *router, struct buf *out)
{
	static const char *const results[] = { "answered", "broke-off", "timed-out", "unavailable",
					       "resent" };
	char labels[128];
	int r;

	r = metrics_family(out, "hexkv_router_node_requests", "counter",
			   "Requests to nodes by what became of them.");
	for (unsigned s = 0; s < router->cluster->shard_count; s++) {
		struct cluster_shard *shard = &router->cluster->shards[s];

		for (unsigned n = 0; n < shard->node_count; n++) {
			struct cluster_node *node = &shard->nodes[n];
			struct node_counters *c = &router->counters.nodes[node->index - 1];
			uint64_t counts[] = { load(&c->answered), load(&c->broke_off),
					      load(&c->timed_out), load(&c->unavailable),
					      load(&c->resent) };

			for (unsigned i = 0; r >= 0 && i < 5; i++) {
				snprintf(labels, sizeof(labels), "node=\"%s\",result=\"%s\"",
					 node->name, results[i]);
				r = metrics_sample_u64(out, "hexkv_router_node_requests", "_total",
						       labels, counts[i]);
			}
		}
	}
	return r;
}

static int print_single(struct buf *out, const char *name, const char *type, const char *help,
			uint64_t value)
{
	int r = metrics_family(out, name, type, help);

	if (r < 0)
		return r;
	return metrics_sample_u64(out, name, type[0] == 'c' ? "_total" : "", "", value);
}

int counters_print(struct router *router, struct buf *out)
{
	struct counters *c = &router->counters;
	int r;

	r = print_requests(c, out);
	if (r >= 0)
		r = print_node_family(router, out);
	if (r >= 0)
		r = metrics_family(out, "hexkv_router_node_seconds", "histogram",
				   "Time from a request to a node to the end of its answer.");
	if (r >= 0)
		r = metrics_histogram(out, "hexkv_router_node_seconds", "", &c->hop);
	if (r >= 0)
		r = print_single(out, "hexkv_router_json_bytes", "gauge",
				 "Bytes that requests of the JSON door hold now.",
				 atomic_load(&router->json.used));
	if (r >= 0)
		r = print_single(out, "hexkv_router_json_refused", "counter",
				 "Requests of the JSON door refused because its memory was in use.",
				 load(&c->json_refused));
	if (r >= 0)
		r = print_single(out, "hexkv_router_leader_changes", "counter",
				 "Shards that got another leader.",
				 leaders_changes(router->leaders));
	if (r >= 0)
		r = print_single(out, "hexkv_router_stale_reads", "counter",
				 "Reads of followers because there was no leader.",
				 load(&c->stale_reads));
	if (r >= 0)
		r = print_single(out, "hexkv_router_moved_on", "counter",
				 "Requests that went on to another node, because the first one did "
				 "not lead or stood still.",
				 load(&c->moved_on));
	if (r >= 0)
		r = print_single(out, "hexkv_router_moves_across", "counter",
				 "MOVE requests from one shard to another.",
				 load(&c->moves_across));
	if (r >= 0)
		r = print_single(out, "hexkv_router_moves_copied_again", "counter",
				 "Copies made again because the source changed while it was moved.",
				 load(&c->moves_copied_again));
	return r;
}

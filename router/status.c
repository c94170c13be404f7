/* SPDX-License-Identifier: MIT */
#include "router/status.h"

#include "lib/clock.h"
#include "lib/reply.h"
#include "router/gather.h"

#include <stdlib.h>
#include <string.h>

/* The mount asks for statfs: a stuck node must not hold that up for long. */
#define WAIT_MS 2000

struct status {
	struct service *service;
	struct exchange *ex;
	unsigned waiting;
	struct gather nodes[]; /* by node index - 1 */
};

struct totals {
	uint64_t free_bytes, total_bytes, entries;
};

static void add_totals(struct totals *totals, const json_t *node)
{
	const json_t *store = json_object_get(node, "store");
	const json_t *tree = json_object_get(store, "tree");

	totals->free_bytes += (uint64_t)json_integer_value(json_object_get(store, "space_free"));
	totals->total_bytes += (uint64_t)json_integer_value(json_object_get(store, "space_total"));
	totals->entries += (uint64_t)json_integer_value(json_object_get(tree, "entries"));
}

/* The node's own status, NULL if it gave none. */
static json_t *node_answer(const struct gather *gather)
{
	if (gather->status != 200)
		return NULL;
	return json_loadb((const char *)gather->body.data, gather->body.len, 0, NULL);
}

static json_t *node_to_json(struct status *status, const struct cluster_node *node,
			    struct totals *totals)
{
	json_t *answer = node_answer(&status->nodes[node->index - 1]);
	json_t *json;

	if (answer && totals)
		add_totals(totals, answer);
	json = json_pack("{s:s, s:s, s:b, s:o}", "name", node->name, "url", node->url, "answers",
			 answer != NULL, "status", answer ? answer : json_null());
	return json;
}

static json_t *shard_to_json(struct status *status, const struct cluster_shard *shard,
			     struct totals *totals)
{
	json_t *nodes = json_array();

	for (unsigned n = 0; n < shard->node_count; n++) {
		/* Followers hold the same records: only the leader's count. */
		struct totals *counted = n == shard->leader ? totals : NULL;

		if (json_array_append_new(nodes, node_to_json(status, &shard->nodes[n], counted)) <
		    0) {
			json_decref(nodes);
			return NULL;
		}
	}
	return json_pack("{s:s, s:i, s:s, s:o}", "name", shard->name, "slots",
			 (int)shard->slot_count, "leader", shard->nodes[shard->leader].name,
			 "nodes", nodes);
}

static json_t *status_to_json(struct status *status)
{
	const struct cluster *cluster = status->service->router->cluster;
	struct totals totals = { 0 };
	json_t *shards = json_array();

	for (unsigned s = 0; s < cluster->shard_count; s++) {
		if (json_array_append_new(
			    shards, shard_to_json(status, &cluster->shards[s], &totals)) < 0) {
			json_decref(shards);
			return NULL;
		}
	}
	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:{s:I, s:I}, s:I, s:o}", "program",
			 "hexkv-router", "version", HEXKV_VERSION, "cluster", cluster->name,
			 "ready", server_is_ready(status->service->worker->server), "uptime_ms",
			 (json_int_t)(clock_monotonic_ms() - status->service->router->started_ms),
			 "space", "free_bytes", (json_int_t)totals.free_bytes, "total_bytes",
			 (json_int_t)totals.total_bytes, "entries", (json_int_t)totals.entries,
			 "shards", shards);
}

static void node_done(struct gather *gather, enum outcome result)
{
	struct status *status = gather->state;

	if (result != OUTCOME_OK)
		gather->status = 0;
	if (--status->waiting == 0)
		reply_json(status->ex, OUTCOME_OK, status_to_json(status));
}

static void ask(struct status *status, const struct cluster_node *node)
{
	struct gather *gather = &status->nodes[node->index - 1];
	struct call *call = &gather->hop.call;

	gather_init(gather, status->service, node, METHOD_GET);
	gather->done = node_done;
	gather->state = status;
	if (call->timeout_ms > WAIT_MS)
		call->timeout_ms = WAIT_MS;
	strcpy(gather->hop.target, "/status");
	if (gather_start(gather) == 0)
		status->waiting++;
}

static void exchange_end(struct exchange *ex)
{
	(void)ex;
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	struct status *status = ex->state;

	(void)answered;
	for (unsigned i = 0; i < status->service->router->node_count; i++)
		gather_deinit(&status->nodes[i]);
	free(status);
	ex->state = NULL;
}

static const struct exchange_handler exchange_handler = {
	.end = exchange_end,
	.finish = exchange_finish,
};

void status_begin(struct exchange *ex, struct service *service)
{
	const struct cluster *cluster = service->router->cluster;
	unsigned count = service->router->node_count;
	struct status *status = calloc(1, sizeof(*status) + count * sizeof(status->nodes[0]));

	if (!status) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
		return;
	}
	status->service = service;
	status->ex = ex;
	ex->state = status;
	ex->handler = &exchange_handler;
	for (unsigned s = 0; s < cluster->shard_count; s++) {
		for (unsigned n = 0; n < cluster->shards[s].node_count; n++)
			ask(status, &cluster->shards[s].nodes[n]);
	}
	if (status->waiting == 0)
		reply_json(ex, OUTCOME_OK, status_to_json(status));
}

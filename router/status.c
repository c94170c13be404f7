/* SPDX-License-Identifier: MIT */
#include "router/status.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/reply.h"
#include "router/node_answer.h"
#include "router/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The node's own status, NULL if it gave none. */
static json_t *node_answer(const struct gather *gather)
{
	if (gather->status != 200)
		return NULL;
	return json_loadb((const char *)gather->body.data, gather->body.len, 0, NULL);
}

static json_t *epoch_to_json(uint64_t epoch)
{
	char text[20];

	snprintf(text, sizeof(text), "%" PRIx64, epoch);
	return epoch > 0 ? json_string(text) : json_null();
}

/* What is known of the node; @answer is its own status, or NULL. */
static json_t *node_to_json(struct survey *survey, const struct cluster_node *node, json_t *answer)
{
	struct leaders_view view;
	const char *role;

	leaders_view(survey->service->router->leaders, node, &view);
	role = view.heard && *view.role.role ? view.role.role : NULL;
	return json_pack("{s:s, s:s, s:b, s:s?, s:o, s:b, s:o, s:o}", "name", node->name, "url",
			 node->url, "answers", answer != NULL, "role", role, "epoch",
			 epoch_to_json(view.heard ? view.role.epoch : 0), "reads",
			 view.heard && view.role.reads, "staleness_ms",
			 view.heard && view.role.staleness_ms >= 0
				 ? json_integer(view.role.staleness_ms)
				 : json_null(),
			 "status", answer ? answer : json_null());
}

/* Followers hold the same records: only one node of a shard counts, the leader if it answers. */
static unsigned counted_place(struct survey *survey, const struct cluster_shard *shard)
{
	bool leads;
	const struct cluster_node *leader =
		leaders_leader(survey->service->router->leaders, shard->nodes[0].shard, &leads);

	if (survey->nodes[leader->index - 1].status == 200)
		return (unsigned)(leader - shard->nodes);
	for (unsigned n = 0; n < shard->node_count; n++)
		if (survey->nodes[shard->nodes[n].index - 1].status == 200)
			return n;
	return 0;
}

static json_t *shard_to_json(struct survey *survey, const struct cluster_shard *shard,
			     struct totals *totals)
{
	struct leaders *leaders = survey->service->router->leaders;
	unsigned index = shard->nodes[0].shard, counted = counted_place(survey, shard);
	const struct cluster_node *leader;
	json_t *nodes = json_array();
	bool leads;

	for (unsigned n = 0; n < shard->node_count; n++) {
		const struct cluster_node *node = &shard->nodes[n];
		json_t *answer = node_answer(&survey->nodes[node->index - 1]);

		if (answer && n == counted)
			node_answer_add_totals(totals, answer);
		if (json_array_append_new(nodes, node_to_json(survey, node, answer)) < 0) {
			json_decref(nodes);
			return NULL;
		}
	}
	leader = leaders_leader(leaders, index, &leads);
	return json_pack("{s:s, s:i, s:s, s:b, s:o, s:o}", "name", shard->name, "slots",
			 (int)shard->slot_count, "leader", leader->name, "leads", leads, "epoch",
			 epoch_to_json(leaders_epoch(leaders, index)), "nodes", nodes);
}

static json_t *status_to_json(struct survey *survey)
{
	const struct cluster *cluster = survey->service->router->cluster;
	_cleanup_(freep) const char **file_systems =
		calloc(survey->service->router->node_count, sizeof(*file_systems));
	struct totals totals = { .file_systems = file_systems };
	json_t *shards = file_systems ? json_array() : NULL;

	if (!shards)
		return NULL;
	for (unsigned s = 0; s < cluster->shard_count; s++) {
		if (json_array_append_new(
			    shards, shard_to_json(survey, &cluster->shards[s], &totals)) < 0) {
			json_decref(shards);
			return NULL;
		}
	}
	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:{s:I, s:I}, s:I, s:o}", "program",
			 "hexkv-router", "version", HEXKV_VERSION, "cluster", cluster->name,
			 "ready", server_is_ready(survey->service->worker->server), "uptime_ms",
			 (json_int_t)(clock_monotonic_ms() - survey->service->router->started_ms),
			 "space", "free_bytes", (json_int_t)totals.free_bytes, "total_bytes",
			 (json_int_t)totals.total_bytes, "entries", (json_int_t)totals.entries,
			 "shards", shards);
}

static void status_done(struct survey *survey)
{
	reply_json(survey->ex, OUTCOME_OK, status_to_json(survey));
}

void status_begin(struct exchange *ex, struct service *service)
{
	survey_start(ex, service, "/status", false, status_done);
}

/* Ready to serve any key: the router itself, and the leader of every shard. */
static void ready_done(struct survey *survey)
{
	const struct cluster *cluster = survey->service->router->cluster;
	struct leaders *leaders = survey->service->router->leaders;

	for (unsigned s = 0; s < cluster->shard_count; s++) {
		bool leads;
		const struct cluster_node *node = leaders_leader(leaders, s, &leads);
		const char *reads = "";

		if (leads && survey->nodes[node->index - 1].status == 200)
			continue;
		if (leaders_reader(leaders, s, false))
			reads = "; its followers answer reads";
		reply_problem(survey->ex, OUTCOME_UNAVAILABLE,
			      "node %s, the leader of shard %s, is not ready%s; the other shards "
			      "are served",
			      node->name, cluster->shards[s].name, reads);
		return;
	}
	reply_json(survey->ex, OUTCOME_OK, json_pack("{s:s}", "status", "ready"));
}

void status_ready_begin(struct exchange *ex, struct service *service)
{
	if (server_is_ready(service->worker->server))
		survey_start(ex, service, "/health/ready", true, ready_done);
	else
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is starting or shutting down; try again");
}

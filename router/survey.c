/* SPDX-License-Identifier: MIT */
#include "router/survey.h"

#include "lib/reply.h"

#include <stdio.h>
#include <stdlib.h>

/* Who asks is waited for himself: the mount's statfs, a script's readiness loop. A stuck node must
 * not hold that up for long. */
#define WAIT_MS 2000

static void node_done(struct gather *gather, enum outcome result)
{
	struct survey *survey = gather->state;

	if (result != OUTCOME_OK)
		gather->status = 0;
	if (--survey->waiting == 0)
		survey->done(survey);
}

static void ask(struct survey *survey, const struct cluster_node *node, const char *target)
{
	struct gather *gather = &survey->nodes[node->index - 1];
	struct call *call = &gather->hop.call;

	gather_init_node(gather, survey->service, node, METHOD_GET);
	gather->done = node_done;
	gather->state = survey;
	if (call->timeout_ms > WAIT_MS)
		call->timeout_ms = WAIT_MS;
	snprintf(gather->hop.target, sizeof(gather->hop.target), "%s", target);
	if (gather_start(gather) == 0)
		survey->waiting++;
}

static void exchange_end(struct exchange *ex)
{
	(void)ex;
}

static void exchange_finish(struct exchange *ex, bool answered)
{
	struct survey *survey = ex->state;

	(void)answered;
	for (unsigned i = 0; i < survey->service->router->node_count; i++)
		gather_deinit(&survey->nodes[i]);
	free(survey);
	ex->state = NULL;
}

static const struct exchange_handler exchange_handler = {
	.end = exchange_end,
	.finish = exchange_finish,
};

void survey_start(struct exchange *ex, struct service *service, const char *target,
		  bool leaders_only, void (*done)(struct survey *))
{
	const struct cluster *cluster = service->router->cluster;
	unsigned count = service->router->node_count;
	bool leads;
	struct survey *survey = calloc(1, sizeof(*survey) + count * sizeof(survey->nodes[0]));

	if (!survey) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
		return;
	}
	survey->service = service;
	survey->ex = ex;
	survey->done = done;
	ex->state = survey;
	ex->handler = &exchange_handler;
	for (unsigned s = 0; s < cluster->shard_count; s++) {
		const struct cluster_shard *shard = &cluster->shards[s];
		const struct cluster_node *leader =
			leaders_leader(service->router->leaders, s, &leads);

		for (unsigned n = 0; n < shard->node_count; n++) {
			if (!leaders_only || &shard->nodes[n] == leader)
				ask(survey, &shard->nodes[n], target);
		}
	}
	if (survey->waiting == 0)
		done(survey);
}

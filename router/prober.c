/* SPDX-License-Identifier: MIT */
#include "router/prober.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"
#include "router/node_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_MS       250
#define PROBE_HURRY_MS 50 /* while requests wait for a leader */
/* A node that stands still is noticed after both together at the latest. */
#define ANSWER_MS 600
/* Between two looks at whether somebody doubts. */
#define LOOK_MS  25
#define BODY_MAX 4096

struct probe {
	struct prober *prober;
	const struct cluster_node *node;
	struct call call;
	struct buf body;
	unsigned status;
	bool under_way;
};

struct prober {
	struct service *service;
	struct loop_timer timer;
	uint64_t asked_ms;
	unsigned count;
	struct probe probes[]; /* by node index - 1 */
};

static void probe_head(struct call *call, unsigned status, struct fields *fields,
		       int64_t content_length)
{
	struct probe *probe = call->state;

	(void)fields;
	(void)content_length;
	probe->status = status;
	buf_clear(&probe->body);
}

static size_t probe_body(struct call *call, const void *data, size_t len)
{
	struct probe *probe = call->state;

	/* What is too long is cut, and is no JSON then. */
	if (probe->body.len < BODY_MAX)
		(void)buf_append(&probe->body, data, len);
	return len;
}

static void probe_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct probe *probe = call->state;
	struct leaders *leaders = probe->prober->service->router->leaders;
	struct leaders_role role;

	(void)maybe_applied;
	probe->under_way = false;
	if (result != OUTCOME_OK)
		leaders_lost(leaders, probe->node);
	else if (probe->status == 200 &&
		 node_answer_role(probe->body.data, probe->body.len, &role) == 0)
		leaders_heard(leaders, probe->node, &role);
	else
		leaders_heard_nothing(leaders, probe->node);
}

static const struct call_handler probe_handler = {
	.head = probe_head,
	.body = probe_body,
	.done = probe_done,
};

static void ask(struct probe *probe)
{
	if (probe->under_way)
		return;
	probe->call = (struct call){
		.method = METHOD_GET,
		.target = "/role",
		.timeout_ms = ANSWER_MS,
		.handler = &probe_handler,
		.state = probe,
	};
	probe->under_way =
		peer_call(service_peer(probe->prober->service, probe->node), &probe->call) == 0;
}

static void look(struct loop_timer *timer)
{
	struct prober *prober = container_of(timer, struct prober, timer);
	struct leaders *leaders = prober->service->router->leaders;
	uint64_t now = clock_monotonic_ms();

	uint64_t every = leaders_is_waited_for(leaders) ? PROBE_HURRY_MS : PROBE_MS;

	if (leaders_take_doubt(leaders) || now - prober->asked_ms >= every) {
		prober->asked_ms = now;
		for (unsigned i = 0; i < prober->count; i++)
			ask(&prober->probes[i]);
	}
	(void)loop_set_timer(prober->service->loop, timer, now + LOOK_MS);
}

int prober_new(struct service *service, struct prober **ret_prober)
{
	const struct cluster *cluster = service->router->cluster;
	unsigned count = service->router->node_count;
	struct prober *prober = calloc(1, sizeof(*prober) + count * sizeof(prober->probes[0]));
	int r;

	if (!prober)
		return -ENOMEM;
	prober->service = service;
	prober->count = count;
	prober->timer.expired = look;
	for (unsigned s = 0; s < cluster->shard_count; s++) {
		for (unsigned n = 0; n < cluster->shards[s].node_count; n++) {
			const struct cluster_node *node = &cluster->shards[s].nodes[n];

			prober->probes[node->index - 1] =
				(struct probe){ .prober = prober, .node = node };
		}
	}
	r = loop_set_timer(service->loop, &prober->timer, clock_monotonic_ms());
	if (r < 0) {
		free(prober);
		return r;
	}
	*ret_prober = prober;
	return 0;
}

struct prober *prober_free(struct prober *prober)
{
	if (!prober)
		return NULL;
	loop_clear_timer(prober->service->loop, &prober->timer);
	for (unsigned i = 0; i < prober->count; i++) {
		struct probe *probe = &prober->probes[i];

		if (probe->under_way)
			call_cancel(&probe->call);
		buf_deinit(&probe->body);
	}
	free(prober);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "node/role.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "node/replication.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *role_name(enum replica_role role)
{
	static const char *const names[REPLICA_ROLE_COUNT] = {
		[REPLICA_STARTING] = "starting",           [REPLICA_LEADER] = "leader",
		[REPLICA_FOLLOWER] = "follower",           [REPLICA_REPAIRING] = "repairing",
		[REPLICA_BOOTSTRAPPING] = "bootstrapping", [REPLICA_RECOVERING] = "recovering",
	};

	return names[role];
}

static const struct cluster_node *node_at(const struct service *service, int place)
{
	return place < 0 ? NULL : &service->shard->nodes[place];
}

const struct cluster_node *role_leader(const struct service *service)
{
	return node_at(service, replication_role(service->replication).leader);
}

void role_refuse(const struct request *request)
{
	const struct service *service = request_service(request);
	const struct cluster_node *leader = role_leader(service);

	if (leader && leader != service->node)
		request_problem_with(request, OUTCOME_MISDIRECTED, FIELD_LEADER, leader->url,
				     "shard %s is led by %s at %s; ask there", service->shard->name,
				     leader->name, leader->url);
	else
		/* With the field, so that a router tells it from other reasons for a 503. */
		request_problem_with(request, OUTCOME_UNAVAILABLE, FIELD_LEADER, "unknown",
				     "the nodes of shard %s find out which of them leads; try "
				     "again",
				     service->shard->name);
}

bool role_may_write(const struct request *request)
{
	if (replication_role(request_service(request)->replication).role == REPLICA_LEADER)
		return true;
	role_refuse(request);
	return false;
}

bool role_may_read(struct request *request, enum read_from from)
{
	struct replication_role role = replication_role(request_service(request)->replication);

	if (from == READ_ANY) {
		request->shows_staleness = true;
		request->is_leader = role.role == REPLICA_LEADER;
		request->fresh_ms = role.fresh_ms;
	}
	if (role.role == REPLICA_LEADER)
		return true;
	if (from != READ_ANY) {
		role_refuse(request);
		return false;
	}
	if (role.reads)
		return true;
	request->shows_staleness = false;
	request_problem(request, OUTCOME_UNAVAILABLE,
			"this node has not caught up with its shard yet; ask another one");
	return false;
}

/* GET /role */

json_t *role_staleness(const struct replica_view *view)
{
	uint64_t now = clock_monotonic_ms();

	if (view->role == REPLICA_LEADER)
		return json_integer(0);
	if (view->fresh_ms == 0)
		return json_null();
	return json_integer(now > view->fresh_ms ? (json_int_t)(now - view->fresh_ms) : 0);
}

json_t *role_epoch(uint64_t epoch)
{
	char text[20];

	snprintf(text, sizeof(text), "%" PRIx64, epoch);
	return json_string(text);
}

void role_begin(const struct request *request)
{
	const struct service *service = request_service(request);
	const struct cluster_node *leader;
	struct replica_view view;

	replication_view(service->replication, &view);
	leader = node_at(service, view.leader);
	request_json(request, OUTCOME_OK,
		     json_pack("{s:s, s:o, s:o, s:o, s:b, s:o}", "role", role_name(view.role),
			       "epoch", role_epoch(view.epoch), "promise", role_epoch(view.promise),
			       "leader", leader ? json_string(leader->name) : json_null(), "reads",
			       view.reads, "staleness_ms", role_staleness(&view)));
}

/* POST /admin/promote */

struct candidacy {
	struct request request;
	struct replication_promotion promotion;
};

static const char *sentence_of(const struct replication_promotion *promotion)
{
	return promotion->sentence.len > 1 ? (const char *)promotion->sentence.data : NULL;
}

static void answer_promoted(const struct candidacy *candidacy)
{
	const char *sentence = sentence_of(&candidacy->promotion);
	const struct service *service = request_service(&candidacy->request);
	struct replica_view view;

	replication_view(service->replication, &view);
	request_json(&candidacy->request, OUTCOME_OK,
		     json_pack("{s:s, s:s, s:o, s:o}", "shard", service->shard->name, "leader",
			       service->node->name, "epoch", role_epoch(view.epoch), "detail",
			       sentence ? json_string(sentence) : json_null()));
}

static void on_promoted(struct replication_promotion *promotion)
{
	struct candidacy *candidacy = container_of(promotion, struct candidacy, promotion);
	const struct request *request = &candidacy->request;
	struct exchange *ex = request->ex;
	const char *sentence = sentence_of(promotion);

	service_job_done(request->worker);
	if (outcome_is_success(promotion->outcome))
		answer_promoted(candidacy);
	else
		request_problem_unknown(request, promotion->outcome, "%s",
					sentence ? sentence
						 : "the node does not lead; see its log");
	buf_deinit(&promotion->sentence);
	free(candidacy);
	exchange_unref(ex);
}

void role_promote_begin(const struct request *request)
{
	struct candidacy *candidacy;
	char force[8] = "0";
	int r;

	r = exchange_query(request->ex, "force", force, sizeof(force));
	if (r < 0 || (strcmp(force, "0") != 0 && strcmp(force, "1") != 0)) {
		request_problem(request, OUTCOME_BAD_REQUEST, "force is 0 or 1");
		return;
	}
	candidacy = calloc(1, sizeof(*candidacy));
	if (!candidacy) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	candidacy->request = *request;
	candidacy->promotion.loop = request->worker->worker->loop;
	candidacy->promotion.force = force[0] == '1';
	candidacy->promotion.done = on_promoted;
	request->ex->handler = &request_waits;
	exchange_ref(request->ex);
	request->worker->in_flight++;
	replication_promote(request_service(request)->replication, &candidacy->promotion);
}

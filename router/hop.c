/* SPDX-License-Identifier: MIT */
#include "router/hop.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/reply.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOP_TRIES_MAX 5

static void init(struct hop *hop, struct service *service, const struct cluster_node *node,
		 enum method method, const struct call_handler *handler, void *state)
{
	*hop = (struct hop){
		.service = service,
		.node = node,
		.shard = node->shard,
		.call = { .method = method,
			  .handler = handler,
			  .state = state,
			  .timeout_ms = service->router->node_timeout_ms },
	};
	hop->call.target = hop->target;
}

void hop_init_node(struct hop *hop, struct service *service, const struct cluster_node *node,
		   enum method method, const struct call_handler *handler, void *state)
{
	init(hop, service, node, method, handler, state);
	hop->way = HOP_NODE;
}

void hop_init(struct hop *hop, struct service *service, unsigned shard, enum method method,
	      const struct call_handler *handler, void *state)
{
	bool leads;

	init(hop, service, leaders_leader(service->router->leaders, shard, &leads), method, handler,
	     state);
	hop->way = method_is_write(method) ? HOP_WRITE : HOP_READ;
}

void hop_target_key(struct hop *hop, const struct key *key)
{
	static const char prefix[] = "/kv/";

	static_assert(sizeof(prefix) + KEY_HEX_MAX <= HOP_TARGET_MAX, "a key fits");
	memcpy(hop->target, prefix, sizeof(prefix));
	key_to_hex(key, hop->target + sizeof(prefix) - 1);
}

int hop_copy_fields(struct hop *hop, const struct fields *from)
{
	int r = fields_copy(from, &hop->call.fields);

	fields_unset(&hop->call.fields, FIELD_AUTHORIZATION);
	return r;
}

bool hop_read_is_understood(const struct fields *request)
{
	const char *read = fields_get(request, FIELD_READ, NULL);

	return !read || strcmp(read, "leader") == 0 || strcmp(read, "any") == 0;
}

/* What the client asks for; the node is told what it needs to know. */
static void choose_way(struct hop *hop)
{
	const char *read = fields_get(&hop->call.fields, FIELD_READ, NULL);

	if (hop->way != HOP_READ || !read)
		return;
	hop->way = strcmp(read, "any") == 0 ? HOP_READ_ANY : HOP_READ_LEADER;
}

/* Whom to ask now; NULL: there is nobody. */
static const struct cluster_node *choose_node(struct hop *hop)
{
	struct leaders *leaders = hop->service->router->leaders;
	const struct cluster_node *leader;
	bool leads;

	hop->stale = false;
	if (hop->way == HOP_NODE)
		return hop->node;
	if (hop->way == HOP_READ_ANY)
		return leaders_reader(leaders, hop->shard, true);
	leader = leaders_leader(leaders, hop->shard, &leads);
	if (leads)
		return leader;
	if (hop->way != HOP_READ)
		return NULL;
	leader = leaders_reader(leaders, hop->shard, false);
	hop->stale = leader != NULL;
	return leader;
}

static int tell_reader(struct hop *hop)
{
	if (hop->way != HOP_READ)
		return 0;
	if (hop->stale)
		return fields_setf(&hop->call.fields, FIELD_READ, "any");
	fields_unset(&hop->call.fields, FIELD_READ);
	return 0;
}

int hop_go(struct hop *hop)
{
	uint64_t now = clock_monotonic_ms();
	const struct cluster_node *node = choose_node(hop);
	int r;

	assert(!hop->under_way);
	if (!node)
		return hop_wait(hop);
	if (node != hop->node)
		hop->refusals = 0;
	hop->refused = false;
	hop->node = node;
	hop->call.timeout_ms = hop->deadline_ms > now ? (uint32_t)(hop->deadline_ms - now) : 1;
	r = tell_reader(hop);
	if (r == 0)
		r = peer_call(service_peer(hop->service, node), &hop->call);
	hop->under_way = r == 0;
	if (r == 0 && (hop->way == HOP_READ || hop->way == HOP_READ_ANY))
		hop_watch(hop);
	return r;
}

int hop_start(struct hop *hop)
{
	hop->started_ns = clock_monotonic_ns();
	hop->deadline_ms = hop->started_ns / 1000000 + hop->call.timeout_ms;
	choose_way(hop);
	return hop_go(hop);
}

void hop_head(struct hop *hop, unsigned status, struct fields *fields)
{
	hop_unlink(hop);
	hop->refused = status == 421 || (status == 503 && fields_get(fields, FIELD_LEADER, NULL));
	hop->refusals = status == 421 ? hop->refusals + 1 : 0;
	if (!hop->stale)
		return;
	counter_add(&hop->service->router->counters.stale_reads, 1);
	/* Without memory for it there will be none for the answer. */
	(void)fields_setf(fields, FIELD_STALE, "true");
}

static struct node_counters *node_counters(const struct hop *hop)
{
	return &hop->service->router->counters.nodes[hop->node->index - 1];
}

static void count(const struct hop *hop, enum outcome result)
{
	struct node_counters *counters = node_counters(hop);

	switch (result) {
	case OUTCOME_OK:
		histogram_observe(&hop->service->router->counters.hop,
				  clock_monotonic_ns() - hop->started_ns);
		counter_add(&counters->answered, 1);
		break;
	case OUTCOME_TIMEOUT:
		counter_add(&counters->timed_out, 1);
		break;
	case OUTCOME_UNAVAILABLE:
		counter_add(&counters->unavailable, 1);
		break;
	default:
		counter_add(&counters->broke_off, 1);
	}
}

/* One line when a node begins to fail and one when it answers again, however many requests see it.
 */
static void report(const struct hop *hop, enum outcome result)
{
	bool *reported = &hop->service->reported_down[hop->node->index - 1];
	bool down = result != OUTCOME_OK;

	if (down == *reported)
		return;
	*reported = down;
	if (down)
		log_warn("node fails", "node=%s url=%s reason=%s worker=%u", hop->node->name,
			 hop->node->url, outcome_info(result)->slug, hop->service->worker->index);
	else
		log_info("node answers again", "node=%s url=%s worker=%u", hop->node->name,
			 hop->node->url, hop->service->worker->index);
}

/* What it says about who leads. */
static void tell_leaders(struct hop *hop, enum outcome result)
{
	struct leaders *leaders = hop->service->router->leaders;

	if (result == OUTCOME_UNAVAILABLE && !hop->nobody)
		leaders_lost(leaders, hop->node);
	else if (result == OUTCOME_BAD_GATEWAY || result == OUTCOME_TIMEOUT)
		leaders_doubt(leaders);
}

void hop_ended(struct hop *hop, enum outcome result, bool maybe_applied)
{
	hop->under_way = false;
	hop_unlink(hop);
	if (method_is_write(hop->call.method) && maybe_applied)
		hop->maybe_applied = true;
	tell_leaders(hop, result);
	if (hop->nobody)
		return;
	count(hop, result);
	report(hop, result);
}

/* The node says that it does not lead: if it says so again it is not about who leads. */
static bool may_move(struct hop *hop)
{
	leaders_refused(hop->service->router->leaders, hop->node);
	return hop->refusals < 2;
}

/* Whether the try that failed may have been applied, and it may be sent all the same. */
static bool may_repeat(struct hop *hop)
{
	if (hop->resent)
		return false;
	if (method_is_write(hop->call.method) &&
	    !fields_get(&hop->call.fields, FIELD_REQUEST_ID, NULL))
		return false;
	hop->resent = true;
	return true;
}

bool hop_again(struct hop *hop, enum outcome result)
{
	struct router *router = hop->service->router;
	bool refused = result == OUTCOME_OK && hop->refused && hop->way != HOP_NODE;
	bool may = false;

	if (refused)
		may = may_move(hop);
	else if (result == OUTCOME_UNAVAILABLE)
		may = hop->way != HOP_NODE && !hop->nobody;
	else if (result == OUTCOME_BAD_GATEWAY)
		may = may_repeat(hop);
	if (!may || hop->call.handler->upload || ++hop->tries > HOP_TRIES_MAX ||
	    clock_monotonic_ms() >= hop->deadline_ms)
		return false;
	counter_add(&node_counters(hop)->resent, 1);
	if (refused)
		counter_add(&router->counters.moved_on, 1);
	return hop_go(hop) == 0;
}

void hop_deinit(struct hop *hop)
{
	hop_unlink(hop);
	if (hop->under_way)
		call_cancel(&hop->call);
	hop->under_way = false;
	fields_deinit(&hop->call.fields);
	fields_deinit(&hop->call.trailer);
}

void hop_reply_not_sent(const struct hop *hop, struct exchange *ex, int error)
{
	if (error == -EBUSY)
		reply_problem(ex, OUTCOME_TOO_MANY_REQUESTS,
			      "too many requests wait for node %s; try again in a moment",
			      hop->node->name);
	else
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "the router is out of memory; try again later");
}

void hop_reply_failure(const struct hop *hop, struct exchange *ex, enum outcome result)
{
	const char *name = hop->node->name;

	if (hop->nobody && !hop->maybe_applied) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "shard %s has no leader at the moment, node %s was the last; try "
			      "again later",
			      hop->service->router->cluster->shards[hop->shard].name, name);
		return;
	}
	if (result == OUTCOME_UNAVAILABLE && !hop->maybe_applied) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "node %s can not be reached; try again in a moment", name);
		return;
	}
	if (result == OUTCOME_UNAVAILABLE)
		result = hop->nobody ? OUTCOME_TIMEOUT : OUTCOME_BAD_GATEWAY;
	if (hop->maybe_applied)
		reply_problem_unknown(ex, result,
				      "node %s %s; the write may have been applied: send it again "
				      "with the same HexKV-Request-Id to find out",
				      name,
				      result == OUTCOME_TIMEOUT ? "did not answer in time"
								: "broke off before it answered");
	else
		reply_problem(ex, result, "node %s %s; try again", name,
			      result == OUTCOME_TIMEOUT ? "did not answer in time"
							: "broke off before it answered");
}

bool hop_reply_refused(const struct hop *hop, struct exchange *ex, unsigned status)
{
	if (status == 421 && hop->refusals < 2) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "node %s does not lead its shard any more; send it again",
			      hop->node->name);
		return true;
	}
	if (status == 421) {
		log_error("node does not own the slot",
			  "node=%s target=%s hint=\"give router and nodes the same cluster file\"",
			  hop->node->name, hop->target);
		reply_problem(ex, OUTCOME_BAD_GATEWAY,
			      "node %s does not own this key's slot; give router and nodes the "
			      "same cluster file",
			      hop->node->name);
		return true;
	}
	if (status == 401) {
		log_error("node refuses the router's token",
			  "node=%s hint=\"give router and nodes the same token file\"",
			  hop->node->name);
		reply_problem(ex, OUTCOME_BAD_GATEWAY,
			      "node %s refuses the router's token; give router and nodes the same "
			      "token file",
			      hop->node->name);
		return true;
	}
	return false;
}

void hop_clean_fields(struct fields *fields)
{
	fields_unset(fields, FIELD_LEADER);
	fields_unset(fields, FIELD_WWW_AUTHENTICATE);
	fields_unset(fields, FIELD_AUTHORIZATION);
}

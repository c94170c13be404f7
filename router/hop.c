/* SPDX-License-Identifier: MIT */
#include "router/hop.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/reply.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

void hop_init(struct hop *hop, struct service *service, const struct cluster_node *node,
	      enum method method, const struct call_handler *handler, void *state)
{
	*hop = (struct hop){
		.service = service,
		.node = node,
		.call = { .method = method,
			  .handler = handler,
			  .state = state,
			  .timeout_ms = service->router->node_timeout_ms },
	};
	hop->call.target = hop->target;
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

int hop_start(struct hop *hop)
{
	int r;

	assert(!hop->under_way);
	hop->started_ns = clock_monotonic_ns();
	r = peer_call(service_peer(hop->service, hop->node), &hop->call);
	hop->under_way = r == 0;
	return r;
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

void hop_ended(struct hop *hop, enum outcome result, bool maybe_applied)
{
	hop->under_way = false;
	if (method_is_write(hop->call.method) && maybe_applied)
		hop->maybe_applied = true;
	count(hop, result);
	report(hop, result);
}

bool hop_resend(struct hop *hop, enum outcome result)
{
	uint64_t spent_ms = (clock_monotonic_ns() - hop->started_ns) / 1000000;

	if (result != OUTCOME_BAD_GATEWAY || hop->resent || hop->call.handler->upload)
		return false;
	if (method_is_write(hop->call.method) &&
	    !fields_get(&hop->call.fields, FIELD_REQUEST_ID, NULL))
		return false;
	/* Both tries together have the time that the client was promised. */
	if (spent_ms >= hop->call.timeout_ms)
		return false;
	hop->call.timeout_ms -= (uint32_t)spent_ms;
	hop->resent = true;
	counter_add(&node_counters(hop)->resent, 1);
	return hop_start(hop) == 0;
}

void hop_deinit(struct hop *hop)
{
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

	if (result == OUTCOME_UNAVAILABLE && !hop->maybe_applied) {
		reply_problem(ex, OUTCOME_UNAVAILABLE,
			      "node %s can not be reached; try again in a moment", name);
		return;
	}
	if (result == OUTCOME_UNAVAILABLE)
		result = OUTCOME_BAD_GATEWAY;
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

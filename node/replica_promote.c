/* SPDX-License-Identifier: MIT */
/*
 * How this node comes to lead though another did. By hand, planned: it asks the leader to hand over
 * (node/replica_handover), and pulls meanwhile, until the leader's promise names it; that promise
 * may come with the answer or with any other message. By hand, forced, or to recover what it led
 * before:
 *
 *	1. find out who is there, and the highest promise among them;
 *	2. promise a new generation, durably;
 *	3. tell it to all: from then on they follow nobody below it;
 *	4. lead.
 *
 * Somebody with a higher promise means that 1 missed it: again. A recovery, which nobody asked for,
 * wants one peer at least that has made the new promise durable: else a node that is wiped twice
 * could begin the same epoch twice.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>

#define PLANNED_MS   10000
#define ASK_AGAIN_MS 20
#define TRIES_MAX    3

#define GIVES_WAY "its data give way to that of an older lineage"

void replica_promotion_end(struct replica *replica, enum outcome outcome, const char *sentence)
{
	struct replica_promotion ended = replica->promotion;

	if (ended.phase == PROMOTION_NONE)
		return;
	replica->promotion = (struct replica_promotion){ 0 };
	if (outcome != OUTCOME_OK)
		log_warn("promotion failed", "force=%d", ended.force);
	if (ended.done)
		ended.done(ended.state, outcome, sentence);
}

/* Planned */

static void ask_handover(struct replica *replica)
{
	struct replica_promotion *promotion = &replica->promotion;
	struct replica_message message = replica_request(replica, REPLICA_HANDOVER);
	int leader = replica_leader(replica);

	if (leader < 0 || leader == (int)replica->options.self) {
		replica_promotion_end(replica, OUTCOME_UNAVAILABLE,
				      "nobody leads who could hand over; use force=1");
		return;
	}
	message.end = replica_standing(replica).synced;
	replica->asked_handover_under = replica->promise;
	promotion->at_ms = 0;
	promotion->call = replica_send(replica, (unsigned)leader, &message, ASK_TIMEOUT_MS);
	if (promotion->call == 0)
		promotion->at_ms = replica_now(replica) + BACKOFF_FIRST_MS;
}

static void handover_answered(struct replica *replica, int error,
			      const struct replica_message *message)
{
	struct replica_promotion *promotion = &replica->promotion;
	uint64_t wait_ms = ASK_AGAIN_MS;

	if (error == 0 && message->kind == REPLICA_HANDOVER && message->status == REPLICA_REFUSED) {
		char sentence[256];

		snprintf(sentence, sizeof(sentence), "the leader refuses: %.*s",
			 (int)message->bytes_len, (const char *)message->bytes);
		replica->asked_handover_under = UINT64_MAX;
		replica_promotion_end(replica, OUTCOME_UNAVAILABLE, sentence);
		return;
	}
	if (error < 0)
		wait_ms = BACKOFF_FIRST_MS;
	promotion->at_ms = replica_now(replica) + wait_ms;
}

/* Forced */

static void fence(struct replica *replica)
{
	struct replica_promotion *promotion = &replica->promotion;
	struct replica_message message;
	uint64_t promise = epoch_after_promotion(replica->promise, replica->id);

	if (replica->promise == 0) {
		if (!lineage_is_set(&replica->lineage))
			lineage_begin(replica->options.realtime_ns(), &replica->lineage);
		promise = epoch_first(&replica->lineage, replica->id);
	}
	if (promise == 0 || store_promise(replica->options.store, promise) < 0) {
		replica_promotion_end(replica, OUTCOME_INTERNAL, "the promise can't be written");
		return;
	}
	replica->promise = promotion->promise = promise;
	replica->must_recover = true;
	/* From here on it is this node's data that count: no copy may take their place. */
	replica_job_reset(replica);
	replica->recovering = false;
	promotion->phase = PROMOTION_FENCING;
	promotion->until_ms = replica_now(replica) + PROBE_TIMEOUT_MS;
	promotion->tries++;
	message = replica_request(replica, REPLICA_FENCE);
	message.id = promise;
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		peer->fence_call = replica_send(replica, peer->place, &message, PROBE_TIMEOUT_MS);
		peer->fence = peer->fence_call > 0 ? FENCE_ASKED : FENCE_UNREACHED;
	}
}

static unsigned count_fences(const struct replica *replica, enum replica_fence fence)
{
	unsigned count = 0;

	for (unsigned i = 0; i < replica->peer_count; i++)
		count += replica->peers[i].fence == fence;
	return count;
}

static void describe(const struct replica *replica, struct buf *out)
{
	buf_append_str(out, "fenced:");
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].fence == FENCE_ACCEPTED)
			buf_printf(out, " %s", replica->peers[i].name);
	buf_append_str(out, count_fences(replica, FENCE_ACCEPTED) > 0 ? "; not reached:"
								      : " nobody; not reached:");
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].fence != FENCE_ACCEPTED)
			buf_printf(out, " %s", replica->peers[i].name);
	if (count_fences(replica, FENCE_ACCEPTED) == replica->peer_count)
		buf_append_str(out, " nobody");
	buf_append(out, "", 1);
}

static void lead(struct replica *replica)
{
	_cleanup_(buf_deinit) struct buf sentence = { 0 };
	uint64_t promise = replica->promotion.promise;

	if (!replica->promotion.done && count_fences(replica, FENCE_ACCEPTED) == 0) {
		replica_promotion_end(replica, OUTCOME_UNAVAILABLE, "nobody was told");
		replica_choose(replica);
		return;
	}
	describe(replica, &sentence);
	if (replica_lead(replica, promise) < 0) {
		replica_promotion_end(replica, OUTCOME_INTERNAL, "the store can't be led");
		replica_choose(replica);
		return;
	}
	replica_promotion_end(replica, OUTCOME_OK,
			      sentence.data ? (const char *)sentence.data : "");
}

static void fence_answered(struct replica *replica, struct replica_node *peer, int error,
			   const struct replica_message *message)
{
	bool is_answer =
		error == 0 && message->kind == REPLICA_FENCE && message->head.node == peer->id;

	peer->fence_call = 0;
	if (!is_answer)
		peer->fence = FENCE_UNREACHED;
	else if (message->status == REPLICA_OK && message->id == replica->promotion.promise)
		peer->fence = FENCE_ACCEPTED;
	else
		peer->fence = FENCE_REFUSED;
}

void replica_fence_asked(struct replica *replica, uint64_t request,
			 const struct replica_message *message)
{
	/* What it says was learnt from its head. */
	struct replica_message answer = replica_reply(replica, REPLICA_FENCE, REPLICA_OK);

	answer.id = answer.head.promise;
	if (answer.head.promise != message->id || !lineage_is_set(&answer.head.lineage))
		answer.status = REPLICA_REFUSED;
	replica_answer(replica, request, &answer);
}

void replica_recovery_fence(struct replica *replica)
{
	replica->promotion = (struct replica_promotion){
		.phase = PROMOTION_FENCING,
		.force = true,
	};
	fence(replica);
}

/* Both */

void replica_promote(struct replica *replica, bool force, replica_promoted_fn done, void *state)
{
	struct store_standing standing = replica_standing(replica);
	uint64_t now = replica_now(replica);

	if (replica->role == REPLICA_LEADER) {
		done(state, OUTCOME_OK, "it leads already");
		return;
	}
	if (replica->promotion.phase != PROMOTION_NONE) {
		done(state, OUTCOME_UNAVAILABLE, "a change of leader is under way");
		return;
	}
	if (lineage_is_set(&replica->foreign)) {
		done(state, OUTCOME_FORBIDDEN, "its data give way to that of an older lineage");
		return;
	}
	if (!force && (replica->role != REPLICA_FOLLOWER || !standing.whole)) {
		done(state, OUTCOME_FORBIDDEN,
		     "it has not caught up with its leader yet; ask again when it has");
		return;
	}
	replica->promotion = (struct replica_promotion){
		.phase = force ? PROMOTION_PROBING : PROMOTION_ASKING,
		.force = force,
		.done = done,
		.state = state,
		.until_ms = now + (force ? PROBE_TIMEOUT_MS : PLANNED_MS),
	};
	log_info("promotion begins", "force=%d", force);
	if (force) {
		replica_probe_anew(replica);
		replica_probe_tick(replica);
	} else {
		ask_handover(replica);
	}
	replica->transport->wake(replica->options.state);
}

bool replica_promotion_answered(struct replica *replica, uint64_t call, int error,
				const struct replica_message *message)
{
	struct replica_promotion *promotion = &replica->promotion;

	if (promotion->call > 0 && promotion->call == call) {
		promotion->call = 0;
		handover_answered(replica, error, message);
		return true;
	}
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (peer->fence_call > 0 && peer->fence_call == call) {
			fence_answered(replica, peer, error, message);
			replica_promotion_tick(replica);
			return true;
		}
	}
	return false;
}

static bool have_all_tried(const struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].probe_call > 0)
			return false;
	return true;
}

static bool is_of_lineage(const struct replica *replica, const struct replica_node *peer)
{
	return lineage_equal(&peer->head.lineage, &replica->lineage);
}

/* A whole copy that can be reached is to lead, not a part of one. And one that has some records as
 * they are further on in a log that it has not would lead as a mixture of both, which its followers
 * would not come to have: only if it is sure that there is nothing better. What is of a younger
 * lineage gives way, whole or not. */
static bool would_lose(struct replica *replica)
{
	struct store_standing standing = replica_standing(replica);

	if (standing.whole)
		return false;
	if (lineage_is_set(&replica->lineage) && !lineage_is_set(&standing.lineage))
		return true;
	for (unsigned i = 0; i < replica->peer_count; i++) {
		const struct replica_node *peer = &replica->peers[i];

		if (peer->state_ms == 0
			    ? standing.ahead.sequence > 0
			    : (peer->flags & REPLICA_WHOLE) && is_of_lineage(replica, peer))
			return true;
	}
	return false;
}

static void tick_probing(struct replica *replica)
{
	if (!have_all_tried(replica) && replica_now(replica) < replica->promotion.until_ms)
		return;
	if (replica->is_replaced)
		replica_promotion_end(replica, OUTCOME_UNAVAILABLE,
				      "a copy is taking the place of its data; ask again");
	else if (lineage_is_set(&replica->foreign))
		replica_promotion_end(replica, OUTCOME_FORBIDDEN, GIVES_WAY);
	else if (would_lose(replica))
		replica_promotion_end(
			replica, OUTCOME_FORBIDDEN,
			"it has not all of the data, and another node has, or may have");
	else
		fence(replica);
}

static void tick_fencing(struct replica *replica)
{
	struct replica_promotion *promotion = &replica->promotion;

	if (lineage_is_set(&replica->foreign)) {
		/* Learnt meanwhile; who leads is not told of it again. */
		replica_promotion_end(replica, OUTCOME_FORBIDDEN, GIVES_WAY);
		replica_choose(replica);
	} else if (replica->promise != promotion->promise) {
		/* Learnt from one of the answers. */
		if (promotion->tries < TRIES_MAX && promotion->done)
			fence(replica);
		else
			replica_promotion_end(replica, OUTCOME_UNAVAILABLE,
					      "another node is being promoted");
	} else if (count_fences(replica, FENCE_ASKED) == 0 ||
		   replica_now(replica) >= promotion->until_ms) {
		lead(replica);
	}
}

void replica_promotion_tick(struct replica *replica)
{
	struct replica_promotion *promotion = &replica->promotion;
	uint64_t now = replica_now(replica);

	switch (promotion->phase) {
	case PROMOTION_NONE:
		break;
	case PROMOTION_ASKING:
		if (replica->role == REPLICA_LEADER)
			replica_promotion_end(replica, OUTCOME_OK, "handed over");
		else if (now >= promotion->until_ms)
			replica_promotion_end(replica, OUTCOME_TIMEOUT,
					      "the leader did not hand over in time");
		else if (promotion->call == 0 && now >= promotion->at_ms)
			ask_handover(replica);
		break;
	case PROMOTION_PROBING:
		tick_probing(replica);
		break;
	case PROMOTION_FENCING:
		tick_fencing(replica);
		break;
	}
}

uint64_t replica_promotion_next(const struct replica *replica)
{
	const struct replica_promotion *promotion = &replica->promotion;

	if (promotion->phase == PROMOTION_NONE)
		return 0;
	if (promotion->phase == PROMOTION_ASKING && promotion->call == 0)
		return replica_sooner(promotion->at_ms, promotion->until_ms);
	return promotion->until_ms;
}

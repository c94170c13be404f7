/* SPDX-License-Identifier: MIT */
/*
 * Who leads. A promise names its node, and that node leads, nobody else; a promise is only ever
 * replaced by a higher one, and is durable before it is acted on. So of two that believe to lead
 * the one with the lower promise steps down as soon as it hears of the other, and before that
 * happens nothing that it acknowledges to a quorum can be new.
 *
 * A node that others know as their leader, but that does not remember it, was wiped or comes from a
 * backup. It must not count on in its old epochs, whose versions it may have given to other values:
 * it fetches what its peers have of its log, then begins a new generation, which one of them at
 * least must have promised before it leads.
 *
 * Promises count within a lineage. A store without one has nothing that a promise could protect:
 * there they live in memory, and the lineage's comes with the first record.
 */
#include "node/replica_private.h"

#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool names_me(const struct replica *replica)
{
	return replica_leader(replica) == (int)replica->options.self;
}

static void look_around(struct replica *replica)
{
	replica_probe_anew(replica);
	replica->begun_ms = replica_now(replica);
	replica->waits_logged = false;
}

/* Nothing that was begun as leader or follower goes on, nor does what was known of this copy's age:
 * the leader before may have gone on answering while the next one led already, and what that one
 * has acknowledged need not be here. */
static int stand_down(struct replica *replica)
{
	int r;

	replica_handover_stop(replica);
	replica_ship_stop(replica);
	replica_job_reset(replica);
	replica->source = -1;
	replica->recovering = false;
	replica->fresh_ms = 0;
	r = store_follow(replica->options.store);
	if (replica->role == REPLICA_LEADER && replica->options.acks)
		acks_stop(replica->options.acks);
	return r;
}

void replica_choose(struct replica *replica)
{
	int r = stand_down(replica);

	if (r < 0)
		log_error("store can't follow", "error=%d", -r);
	look_around(replica);
	replica_set_role(replica, REPLICA_STARTING);
	replica_changed(replica);
}

/* Who leads in the older lineage; or, if that is to be this node, who has most of it. */
int replica_foreign_source(struct replica *replica)
{
	struct replica_node *best = NULL;

	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (peer->heard_ms == 0 || !lineage_equal(&peer->head.lineage, &replica->foreign))
			continue;
		if (peer->id == epoch_node(replica->foreign_promise))
			return (int)peer->place;
		if (!best || version_compare(peer->end, best->end) > 0)
			best = peer;
	}
	return best ? (int)best->place : -1;
}

static void log_follow(struct replica *replica, int leader)
{
	const struct cluster_shard *shard = replica->options.shard;

	log_info("follows", "leader=%s promise=%" PRIx64,
		 leader >= 0 ? shard->nodes[leader].name : "unknown", replica->promise);
}

void replica_follow(struct replica *replica)
{
	int r = stand_down(replica);

	if (r < 0) {
		log_error("store can't follow", "error=%d", -r);
		look_around(replica);
		replica_set_role(replica, REPLICA_STARTING);
		return;
	}
	replica->source = lineage_is_set(&replica->foreign) ? replica_foreign_source(replica)
							    : replica_leader(replica);
	log_follow(replica, replica->source);
	replica_set_role(replica, REPLICA_FOLLOWER);
	replica_changed(replica);
}

/* Promises */

int replica_persist(struct replica *replica, uint64_t promise)
{
	struct store_standing standing = replica_standing(replica);
	int r = 0;

	/* Without a lineage of its own it is the records that bring it. */
	if (lineage_is_set(&standing.lineage) && promise > standing.promise)
		r = store_promise(replica->options.store, promise);
	if (r < 0 && replica->persist_backoff_ms == 0)
		log_error("promise can't be written", "error=%d", -r);
	replica->persist_backoff_ms = r < 0 ? replica_next_backoff(replica->persist_backoff_ms) : 0;
	replica->persist_at_ms = r < 0 ? replica_now(replica) + replica->persist_backoff_ms : 0;
	return r;
}

/* There is a new promise, and it is durable. */
static void act_on_promise(struct replica *replica, uint64_t before)
{
	bool granted = replica->asked_handover_under == before;

	replica->asked_handover_under = UINT64_MAX;
	if (!names_me(replica)) {
		replica->must_recover = false;
		if (replica->role != REPLICA_STARTING)
			replica_follow(replica);
		return;
	}
	if (granted && replica->role == REPLICA_FOLLOWER && replica_standing(replica).whole) {
		if (replica_lead(replica, replica->promise) == 0)
			return;
	}
	replica->must_recover = replica->promise > 0;
	replica_choose(replica);
}

/* Nothing is done in the name of the old one any more, whether the new one can be written or not.
 */
static void raise_promise(struct replica *replica, uint64_t promise)
{
	uint64_t before = replica->promise;

	replica->promise = promise;
	if (replica_persist(replica, promise) == 0) {
		act_on_promise(replica, before);
	} else if (replica->role != REPLICA_STARTING) {
		replica_choose(replica);
	}
}

static void learn_foreign(struct replica *replica, const struct replica_head *head)
{
	int order = lineage_is_set(&replica->foreign)
			    ? lineage_compare(&head->lineage, &replica->foreign)
			    : -1;
	bool is_news = order < 0 || (order == 0 && head->promise > replica->foreign_promise);

	if (order == 0)
		replica->foreign_ms = replica_now(replica);
	if (!is_news)
		return;
	if (!lineage_is_set(&replica->foreign))
		log_warn("another lineage of this shard is older", "promise=%" PRIx64,
			 head->promise);
	replica->foreign = head->lineage;
	replica->foreign_promise = head->promise;
	replica->foreign_ms = replica_now(replica);
	if (replica->role != REPLICA_STARTING)
		replica_follow(replica);
}

/*
 * A store without a lineage goes by what its peers say now, the older lineage first: what they said
 * before they were wiped counts no more, or a shard that lost everything would wait for it for
 * ever.
 */
static void learn_hearsay(struct replica *replica)
{
	struct lineage lineage = { 0 };
	uint64_t promise = replica_standing(replica).promise, before = replica->promise;

	for (unsigned i = 0; i < replica->peer_count; i++) {
		const struct lineage *theirs = &replica->peers[i].head.lineage;

		if (lineage_is_set(theirs) &&
		    (!lineage_is_set(&lineage) || lineage_compare(theirs, &lineage) < 0))
			lineage = *theirs;
	}
	for (unsigned i = 0; i < replica->peer_count; i++) {
		const struct replica_head *head = &replica->peers[i].head;

		if (lineage_equal(&head->lineage, &lineage) && head->promise > promise)
			promise = head->promise;
	}
	if (promise == before && lineage_equal(&lineage, &replica->lineage))
		return;
	replica->lineage = lineage;
	replica->promise = promise;
	act_on_promise(replica, before);
}

void replica_learn(struct replica *replica, const struct replica_head *head)
{
	int order;

	if (!lineage_is_set(&replica->own_lineage)) {
		learn_hearsay(replica);
		return;
	}
	if (!lineage_is_set(&head->lineage))
		return;
	order = lineage_compare(&head->lineage, &replica->lineage);
	if (order < 0)
		learn_foreign(replica, head);
	else if (order == 0 && head->promise > replica->promise)
		raise_promise(replica, head->promise);
}

/* Leading */

int replica_lead(struct replica *replica, uint64_t epoch)
{
	struct store *store = replica->options.store;
	struct lineage lineage = replica->lineage;
	struct store_standing standing;
	int r;

	/* What it would acknowledge would be gone. */
	if (replica->is_replaced)
		return -EBUSY;
	if (!lineage_is_set(&lineage))
		lineage_begin(replica->options.realtime_ns(), &lineage);
	if (epoch == 0)
		epoch = epoch_first(&lineage, replica->id);
	replica_job_reset(replica);
	replica_drain(replica);
	replica->source = -1;
	standing = replica_standing(replica);
	/* 1. The promise, 2. then nobody calls it half a copy any more, 3. then writes. What is
	 * ahead of its log is half a copy until the log has begun anew, which is part of 3. */
	r = store_promise(store, epoch);
	if (r == 0 && !standing.whole && standing.ahead.sequence == 0)
		r = store_set_whole(store);
	if (r == 0 && replica->options.acks)
		acks_lead(replica->options.acks, epoch);
	if (r == 0)
		r = store_lead(store, epoch, &lineage);
	if (r < 0) {
		if (replica->options.acks)
			acks_stop(replica->options.acks);
		if (replica->lead_backoff_ms == 0)
			log_error("can't lead", "epoch=%" PRIx64 " error=%d", epoch, -r);
		replica->lead_backoff_ms = replica_next_backoff(replica->lead_backoff_ms);
		replica->lead_at_ms = replica_now(replica) + replica->lead_backoff_ms;
		return r;
	}
	replica->lead_backoff_ms = 0;
	replica->lead_at_ms = 0;
	replica->promise = replica->epoch = epoch;
	replica->lineage = replica->own_lineage = lineage;
	replica->must_recover = false;
	replica->asked_handover_under = UINT64_MAX;
	replica->counters.leads++;
	log_info("leads", "epoch=%" PRIx64, epoch);
	replica_set_role(replica, REPLICA_LEADER);
	replica_changed(replica);
	return 0;
}

/* Starting */

static uint64_t wait_ms(struct replica *replica, const struct store_standing *standing)
{
	bool may_lose = standing->empty || !standing->whole || replica->must_recover;

	return may_lose ? START_WAIT_EMPTY_MS : START_WAIT_MS;
}

static bool have_all_answered(const struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].state_ms == 0)
			return false;
	return true;
}

static bool is_of_us(const struct replica *replica, const struct replica_node *peer)
{
	return peer->state_ms > 0 && lineage_is_set(&peer->head.lineage) &&
	       lineage_equal(&peer->head.lineage, &replica->lineage);
}

/* Of those that are whole and have answered, the one that has most. */
static struct replica_node *find_best(struct replica *replica)
{
	struct replica_node *best = NULL;

	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (!is_of_us(replica, peer) || !(peer->flags & REPLICA_WHOLE))
			continue;
		if (!best || version_compare(peer->end, best->end) > 0)
			best = peer;
	}
	return best;
}

static void wait_for_data(struct replica *replica)
{
	if (!replica->waits_logged)
		log_warn("waits for a node that has this shard's data", "promise=%" PRIx64,
			 replica->promise);
	look_around(replica);
	replica->waits_logged = true;
}

static bool has_any_answered(const struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].state_ms > 0)
			return true;
	return false;
}

static void recover(struct replica *replica, const struct store_standing *standing)
{
	struct replica_node *best = find_best(replica);

	if (best && (version_compare(best->end, standing->synced) > 0 ||
		     !lineage_is_set(&standing->lineage))) {
		log_info("fetches what it has not", "from=%s", best->name);
		replica_job_reset(replica);
		replica->source = (int)best->place;
		replica->recovering = true;
		replica_set_role(replica, REPLICA_RECOVERING);
	} else if ((!best && !standing->whole) || !has_any_answered(replica)) {
		/* Nor may it promise again and again what nobody is there to hear: generations end.
		 */
		wait_for_data(replica);
	} else {
		replica_recovery_fence(replica);
	}
}

void replica_recovered(struct replica *replica)
{
	replica->must_recover = true;
	replica_choose(replica);
}

static void decide(struct replica *replica)
{
	uint64_t now = replica_now(replica);
	struct store_standing standing;

	if (replica->persist_at_ms > 0 || now < replica->lead_at_ms ||
	    replica->promotion.phase != PROMOTION_NONE || replica->is_replaced)
		return;
	if (lineage_is_set(&replica->foreign) || !names_me(replica)) {
		replica_follow(replica);
		return;
	}
	standing = replica_standing(replica);
	if (!have_all_answered(replica) && now - replica->begun_ms < wait_ms(replica, &standing))
		return;
	if (replica->must_recover || (lineage_is_set(&replica->lineage) && !standing.whole)) {
		recover(replica, &standing);
		return;
	}
	replica_lead(replica,
		     replica->promise > 0 ? epoch_after_start(replica->promise, replica->id) : 0);
}

int replica_start(struct replica *replica)
{
	struct store_standing standing = replica_standing(replica);

	replica->promise = standing.promise;
	replica->lineage = replica->own_lineage = standing.lineage;
	replica->role = REPLICA_STARTING;
	look_around(replica);
	if (replica->peer_count > 0)
		return 0;
	/* Nobody could know better. */
	return replica_lead(replica, replica->promise > 0
					     ? epoch_after_start(replica->promise, replica->id)
					     : 0);
}

/* Nobody has spoken of the older lineage for long: there is none any more. */
static void forget_foreign(struct replica *replica)
{
	log_warn("the older lineage is gone", "%s", "");
	replica->foreign = (struct lineage){ 0 };
	replica->foreign_promise = 0;
	replica_choose(replica);
}

/* Whom it fetches from to lead again has lost that, too: perhaps another has it. */
static bool is_recovery_in_vain(struct replica *replica)
{
	const struct replica_node *source = replica_peer_at(replica, replica->source);

	return replica->recovering && source && !lineage_is_set(&replica->foreign) &&
	       lineage_is_set(&replica->lineage) &&
	       !lineage_equal(&source->head.lineage, &replica->lineage);
}

void replica_start_tick(struct replica *replica)
{
	if (is_recovery_in_vain(replica))
		replica_choose(replica);
	if (lineage_is_set(&replica->foreign) &&
	    replica_now(replica) - replica->foreign_ms >= FOREIGN_MS)
		forget_foreign(replica);
	if (replica->persist_at_ms > 0 && replica_now(replica) >= replica->persist_at_ms &&
	    replica_persist(replica, replica->promise) == 0)
		act_on_promise(replica, 0);
	if (replica->role == REPLICA_STARTING)
		decide(replica);
}

uint64_t replica_start_next(const struct replica *replica)
{
	uint64_t next = replica->persist_at_ms;

	if (replica->role == REPLICA_STARTING)
		next = replica_sooner(next, replica_now(replica) + PROBE_STARTING_MS);
	return next;
}

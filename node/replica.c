/* SPDX-License-Identifier: MIT */
/*
 * The frame of the core: messages are decoded, learnt from, and given to the part that they are
 * for; time is given to all parts.
 *
 *	replica_start	whom to follow, and when to lead
 *	replica_probe	asking every peer, always, where it stands
 *	replica_pull	what a follower does, one step at a time, and how it goes on after a failure
 *	replica_apply	shipped entries on their way into the store
 *	replica_value	value files that they name
 *	replica_ship	what is answered to those who pull
 *	replica_repair	a suffix that only this node has
 *	replica_bootstrap, replica_copy	a whole copy: who fetches it, who gives it
 *	replica_mend	a log that can't be read
 *	replica_work	what takes long, beside all this
 *	replica_promote, replica_handover	the change of leader: who will lead, who led
 *
 * Two rules keep the promises that are made to clients. A node acts on a promise, or tells of it,
 * only once it is durable; and it learns from every message, so that whoever it speaks with brings
 * it the highest there is.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t replica_now(const struct replica *replica)
{
	return replica->options.now_ms(replica->options.state);
}

void replica_changed(struct replica *replica)
{
	if (!replica->closing)
		replica->transport->changed(replica->options.state);
}

void replica_set_role(struct replica *replica, enum replica_role role)
{
	if (replica->role == role)
		return;
	replica->role = role;
	replica->begun_ms = replica_now(replica);
	replica_changed(replica);
}

struct store_standing replica_standing(struct replica *replica)
{
	struct store_standing standing;

	if (store_standing(replica->options.store, &standing) == 0)
		replica->standing = standing;
	return replica->standing;
}

struct replica_node *replica_peer_at(struct replica *replica, int place)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		if ((int)replica->peers[i].place == place)
			return &replica->peers[i];
	return NULL;
}

struct replica_node *replica_peer_of(struct replica *replica, uint16_t id)
{
	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].id == id)
			return &replica->peers[i];
	return NULL;
}

int replica_leader(const struct replica *replica)
{
	const struct cluster_shard *shard = replica->options.shard;

	if (replica->promise == 0)
		return (int)shard->leader;
	for (unsigned i = 0; i < shard->node_count; i++)
		if (shard->nodes[i].id == epoch_node(replica->promise))
			return (int)i;
	return -1;
}

bool replica_is_reached(const struct replica *replica, const struct replica_node *peer)
{
	return peer->heard_ms > 0 && replica_now(replica) - peer->heard_ms < REACHED_MS &&
	       peer->tried_ms <= peer->heard_ms;
}

static uint64_t next_due(struct replica *replica)
{
	uint64_t next = replica_sooner(replica_start_next(replica), replica_probe_next(replica));

	next = replica_sooner(next, replica_promotion_next(replica));
	next = replica_sooner(next, replica_handover_next(replica));
	next = replica_sooner(next, replica_job_next(replica));
	next = replica_sooner(next, replica_ship_next(replica));
	next = replica_sooner(next, replica_copy_next(replica));
	return next > 0 ? next : replica_now(replica) + PROBE_EVERY_MS;
}

/* Something else than time has changed what is due: perhaps it is so earlier than was told. */
static void look_at_time(struct replica *replica)
{
	uint64_t next = next_due(replica);

	if (next >= replica->next_ms)
		return;
	replica->next_ms = next;
	replica->transport->wake(replica->options.state);
}

/* Messages */

/* Only what is durable is told. */
static void set_head(struct replica *replica, struct replica_message *message)
{
	struct store_standing standing = replica_standing(replica);

	message->head = (struct replica_head){
		.node = replica->id,
		.role = replica->role,
		.group = replica->group,
		.lineage = standing.lineage,
		.promise = standing.promise,
	};
	memcpy(message->head.store_id, standing.store_id, 16);
}

struct replica_message replica_request(struct replica *replica, enum replica_kind kind)
{
	struct replica_message message = { .kind = kind };

	set_head(replica, &message);
	return message;
}

struct replica_message replica_reply(struct replica *replica, enum replica_kind kind,
				     enum replica_status status)
{
	struct replica_message message = { .kind = kind, .is_answer = true, .status = status };

	set_head(replica, &message);
	return message;
}

uint64_t replica_send(struct replica *replica, unsigned place,
		      const struct replica_message *message, uint32_t timeout_ms)
{
	_cleanup_(buf_deinit) struct buf out = { 0 };
	uint64_t call = ++replica->next_call;

	if (replica_message_encode(message, &out) < 0)
		return 0;
	replica->transport->send(replica->options.state, place, call, &out, timeout_ms);
	return call;
}

void replica_answer(struct replica *replica, uint64_t request,
		    const struct replica_message *message)
{
	_cleanup_(buf_deinit) struct buf out = { 0 };

	/* Nothing at all is an answer, too: the asker sees an error. */
	if (replica_message_encode(message, &out) < 0)
		buf_clear(&out);
	replica->transport->answer(replica->options.state, request, &out);
}

void replica_answer_status(struct replica *replica, uint64_t request, enum replica_kind kind,
			   enum replica_status status)
{
	struct replica_message message = replica_reply(replica, kind, status);

	replica_answer(replica, request, &message);
}

/* The peer that says so, if it is one of ours. */
static struct replica_node *hear(struct replica *replica, const struct replica_message *message)
{
	struct replica_node *peer = NULL;

	if (message->head.group == replica->group)
		peer = replica_peer_of(replica, message->head.node);
	if (!peer)
		return NULL;
	peer->heard_ms = replica_now(replica);
	peer->head = message->head;
	return peer;
}

static void dispatch(struct replica *replica, struct replica_node *peer, uint64_t request,
		     const struct replica_message *message)
{
	switch (message->kind) {
	case REPLICA_STATE:
		replica_state_asked(replica, request);
		break;
	case REPLICA_PULL:
		replica_pull_asked(replica, peer, request, message);
		break;
	case REPLICA_VALUE:
		replica_copy_heard(replica, peer);
		replica_value_asked(replica, request, message);
		break;
	case REPLICA_RECORDS:
		replica_records_asked(replica, peer, request, message);
		break;
	case REPLICA_CHECKPOINT:
	case REPLICA_FILE:
	case REPLICA_SUM:
		replica_copy_asked(replica, peer, request, message);
		break;
	case REPLICA_FENCE:
		replica_fence_asked(replica, request, message);
		break;
	case REPLICA_HANDOVER:
		replica_handover_asked(replica, peer, request, message);
		break;
	default:
		replica_answer_status(replica, request, message->kind, REPLICA_BUSY);
		break;
	}
}

void replica_asked(struct replica *replica, uint64_t request, const void *message, size_t len)
{
	struct replica_message asked;
	struct replica_node *peer;

	if (replica_message_decode(message, len, &asked) < 0 || asked.is_answer) {
		struct buf nothing = { 0 };

		replica->transport->answer(replica->options.state, request, &nothing);
		return;
	}
	peer = hear(replica, &asked);
	if (!peer) {
		replica_answer_status(replica, request, asked.kind, REPLICA_REFUSED);
		return;
	}
	replica_learn(replica, &asked.head);
	dispatch(replica, peer, request, &asked);
	look_at_time(replica);
}

void replica_answered(struct replica *replica, uint64_t call, int error, const void *message,
		      size_t len)
{
	struct replica_message answer;

	if (error == 0 && replica_message_decode(message, len, &answer) < 0)
		error = -EBADMSG;
	if (error == 0 && !answer.is_answer)
		error = -EBADMSG;
	if (error == 0 && !hear(replica, &answer))
		error = -EPROTO;
	/* Learning may end what the call was made for: then nobody wants the answer. */
	if (error == 0)
		replica_learn(replica, &answer.head);
	if (!replica_probe_answered(replica, call, error, &answer) &&
	    !replica_promotion_answered(replica, call, error, &answer) &&
	    !replica_value_answered(replica, call, error, &answer))
		replica_job_answered(replica, call, error, &answer, message, len);
	look_at_time(replica);
}

/* Time */

static void log_synced(void *state)
{
	struct replica *replica = state;

	mutex_lock(&replica->lock);
	replica->synced = true;
	mutex_unlock(&replica->lock);
	replica->transport->wake(replica->options.state);
}

uint64_t replica_tick(struct replica *replica)
{
	bool synced;

	mutex_lock(&replica->lock);
	synced = replica->synced;
	replica->synced = false;
	mutex_unlock(&replica->lock);
	if (synced)
		replica_ship_synced(replica);
	replica_work_tick(replica);
	replica_start_tick(replica);
	replica_probe_tick(replica);
	replica_promotion_tick(replica);
	replica_handover_tick(replica);
	replica_job_tick(replica);
	replica_ship_tick(replica);
	replica_copy_tick(replica);
	replica->next_ms = next_due(replica);
	return replica->next_ms;
}

/* What others are told */

static void view_peer(struct replica *replica, const struct replica_node *peer,
		      const struct store_standing *standing, struct replica_peer *ret_peer)
{
	*ret_peer = (struct replica_peer){
		.place = peer->place,
		.reached = replica_is_reached(replica, peer),
		.heard_ms = peer->heard_ms,
		.role = peer->head.role,
		.promise = peer->head.promise,
		.end = peer->end,
		.whole = peer->flags & REPLICA_WHOLE,
	};
	if (replica->role != REPLICA_LEADER || !peer->follows)
		return;
	ret_peer->follows = true;
	if (version_compare(peer->durable, ret_peer->end) > 0)
		ret_peer->end = peer->durable;
	if (standing->end.sequence > peer->durable.sequence)
		ret_peer->lag_records = standing->end.sequence - peer->durable.sequence;
	if (ret_peer->lag_records > 0)
		ret_peer->lag_bytes = store_log_distance(replica->options.store, peer->durable);
	ret_peer->lag_ms = replica_lag_ms(replica, standing, peer->durable.sequence);
}

void replica_view(struct replica *replica, struct replica_view *ret_view)
{
	struct store_standing standing = replica_standing(replica);
	bool leads = replica->role == REPLICA_LEADER;

	*ret_view = (struct replica_view){
		.role = replica->role,
		.leader = leads ? (int)replica->options.self : replica_leader(replica),
		.epoch = leads ? replica->epoch : standing.end.epoch,
		.promise = standing.promise,
		.end = standing.synced,
		.reads = leads || (standing.whole && replica->role != REPLICA_STARTING),
		.fresh_ms = leads ? replica_now(replica) : replica->fresh_ms,
		.leader_end = leads ? standing.end : replica->leader_end,
		.peer_count = replica->peer_count,
		.counters = replica->counters,
	};
	/* Of itself only a leader says that it leads. */
	if (!leads && ret_view->leader == (int)replica->options.self)
		ret_view->leader = -1;
	replica_bootstrap_progress(replica, &ret_view->bootstrap_bytes, &ret_view->bootstrap_total);
	for (unsigned i = 0; i < replica->peer_count; i++)
		view_peer(replica, &replica->peers[i], &standing, &ret_view->peers[i]);
}

/* Beginning and end */

static int make_peers(struct replica *replica)
{
	const struct cluster_shard *shard = replica->options.shard;

	replica->peers = calloc(shard->node_count, sizeof(*replica->peers));
	if (!replica->peers)
		return -ENOMEM;
	for (unsigned i = 0; i < shard->node_count; i++) {
		struct replica_node *peer = &replica->peers[replica->peer_count];

		if (i == replica->options.self)
			continue;
		peer->place = i;
		peer->id = shard->nodes[i].id;
		peer->name = shard->nodes[i].name;
		replica->peer_count++;
	}
	return 0;
}

DEFINE_CLEANUP(struct replica *, replica_free)

int replica_new(const struct replica_options *options, struct replica **ret_replica)
{
	_cleanup_(replica_freep) struct replica *replica = NULL;
	const struct cluster_shard *shard = options->shard;
	int r;

	if (shard->node_count > REPLICA_NODES_MAX)
		return -E2BIG;
	replica = calloc(1, sizeof(*replica));
	if (!replica)
		return -ENOMEM;
	mutex_init(&replica->lock);
	condition_init(&replica->idle);
	replica->options = *options;
	if (!replica->options.realtime_ns)
		replica->options.realtime_ns = clock_realtime_ns;
	replica->transport = options->transport;
	replica->finished_tail = &replica->finished;
	replica->group = replica_group(options->cluster->name, shard->name);
	replica->id = shard->nodes[options->self].id;
	replica->source = -1;
	replica->asked_handover_under = UINT64_MAX;
	replica->dir = strdup(options->dir);
	if (!replica->dir)
		return -ENOMEM;
	r = make_peers(replica);
	if (r < 0)
		return r;
	/* Alone, nobody waits for the log to be synced sooner than its writers ask. */
	if (replica->peer_count > 0)
		store_on_synced(options->store, log_synced, replica);
	r = replica_start(replica);
	if (r < 0)
		return r;
	*ret_replica = take_ptr(replica);
	return 0;
}

struct replica *replica_free(struct replica *replica)
{
	if (!replica)
		return NULL;
	replica->closing = true;
	replica_promotion_end(replica, OUTCOME_UNAVAILABLE, "the node stops");
	replica_handover_stop(replica);
	replica_job_reset(replica);
	replica_ship_stop(replica);
	replica_work_drain(replica);
	replica_copy_stop(replica);
	replica_value_forget(replica);
	replica_drain(replica);
	store_on_synced(replica->options.store, NULL, NULL);
	if (replica->options.acks)
		acks_stop(replica->options.acks);
	for (unsigned i = 0; i < replica->peer_count; i++)
		buf_deinit(&replica->peers[i].records_answer);
	buf_deinit(&replica->aside_epochs);
	condition_deinit(&replica->idle);
	mutex_deinit(&replica->lock);
	free(replica->peers);
	free(replica->dir);
	free(replica);
	return NULL;
}

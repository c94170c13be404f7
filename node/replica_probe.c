/* SPDX-License-Identifier: MIT */
/*
 * Every node asks every other one of its shard where it stands, once a second, and more often while
 * it starts: so a promise comes to everybody who can be reached, whoever had it first.
 */
#include "node/replica_private.h"

static void ask(struct replica *replica, struct replica_node *peer)
{
	struct replica_message message = replica_request(replica, REPLICA_STATE);
	uint64_t now = replica_now(replica);

	peer->probe_asked_ms = now;
	peer->probe_at_ms = now + PROBE_TIMEOUT_MS;
	peer->probe_call = replica_send(replica, peer->place, &message, PROBE_TIMEOUT_MS);
}

void replica_probe_tick(struct replica *replica)
{
	uint64_t now = replica_now(replica);

	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].probe_call == 0 && now >= replica->peers[i].probe_at_ms)
			ask(replica, &replica->peers[i]);
}

void replica_probe_anew(struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++) {
		replica->peers[i].state_ms = 0;
		replica->peers[i].probe_call = 0;
		replica->peers[i].probe_at_ms = 0;
	}
}

uint64_t replica_probe_next(const struct replica *replica)
{
	uint64_t next = 0;

	for (unsigned i = 0; i < replica->peer_count; i++)
		if (replica->peers[i].probe_call == 0)
			next = replica_sooner(next, replica->peers[i].probe_at_ms);
	return next;
}

/* Whether what this node has up to @end is a part of what the peer has up to there. */
static bool is_common(struct replica *replica, const struct replica_message *message)
{
	struct history history;
	bool contains;

	if (!lineage_equal(&message->head.lineage, &replica->own_lineage) ||
	    store_history(replica->options.store, &history) < 0)
		return false;
	contains = history_contains(&history, message->end);
	history_deinit(&history);
	return contains;
}

/* What every node of the shard has can't be lost in a change of leader. */
static void note_known(struct replica *replica)
{
	struct version known = { UINT64_MAX, UINT64_MAX };

	for (unsigned i = 0; i < replica->peer_count; i++)
		if (version_compare(replica->peers[i].known, known) < 0)
			known = replica->peers[i].known;
	store_deletions_are_known(replica->options.store, known);
}

bool replica_probe_answered(struct replica *replica, uint64_t call, int error,
			    const struct replica_message *message)
{
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];
		bool hurry = replica->role == REPLICA_STARTING;

		if (peer->probe_call == 0 || peer->probe_call != call)
			continue;
		peer->probe_call = 0;
		peer->probe_at_ms =
			replica_now(replica) + (hurry ? PROBE_STARTING_MS : PROBE_EVERY_MS);
		if (error < 0 || message->kind != REPLICA_STATE || message->head.node != peer->id) {
			peer->tried_ms = peer->probe_asked_ms > peer->heard_ms
						 ? peer->probe_asked_ms
						 : peer->tried_ms;
			return true;
		}
		peer->state_ms = peer->probe_asked_ms;
		peer->end = message->end;
		peer->first = message->first;
		peer->flags = message->flags;
		peer->known = is_common(replica, message) ? message->end : (struct version){ 0 };
		note_known(replica);
		replica_peer_is_back(replica, peer);
		return true;
	}
	return false;
}

void replica_state_asked(struct replica *replica, uint64_t request)
{
	struct replica_message answer = replica_reply(replica, REPLICA_STATE, REPLICA_OK);
	struct store_standing standing = replica_standing(replica);

	answer.end = standing.synced;
	answer.first = standing.log_begin;
	answer.flags = (standing.empty ? REPLICA_EMPTY : 0) | (standing.whole ? REPLICA_WHOLE : 0);
	replica_answer(replica, request, &answer);
}

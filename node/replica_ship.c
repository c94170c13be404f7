/* SPDX-License-Identifier: MIT */
/*
 * What is answered to those who pull. A pull says how far the asker is, durably; if there is
 * nothing more for it the answer waits until there is, or for as long as the asker likes. At most
 * one pull of a peer waits: the next one shows that nobody listens to the other any more.
 *
 * Whatever it is given a follower syncs before it pulls on. While one write comes after the other,
 * and nobody waits for followers to have them, it is given what has come in SHIP_EVERY_MS at a
 * time: that spares both disks and both processors.
 *
 * Only what is on stable storage here leaves the node. Else a follower could have what its leader
 * forgets in a power cut, and gives the version to something else.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "node/log_read.h"
#include "node/value_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A node that leads serves everybody. Any other serves the node that its promise names, which is
 * fetching what it has lost; also while it wants a copy of just that node's data itself. */
bool replica_serves(struct replica *replica, const struct replica_node *peer)
{
	if (replica->role == REPLICA_LEADER)
		return true;
	if (replica->promise == 0 || epoch_node(replica->promise) != peer->id)
		return false;
	return replica->role == REPLICA_FOLLOWER ||
	       (replica->role == REPLICA_BOOTSTRAPPING && replica_standing(replica).whole);
}

static enum replica_status refusal(const struct replica *replica)
{
	return replica->role == REPLICA_FOLLOWER ? REPLICA_NOT_LEADER : REPLICA_BUSY;
}

/* How long ago the log ended at @sequence, or before it. */
uint64_t replica_lag_ms(struct replica *replica, const struct store_standing *standing,
			uint64_t sequence)
{
	uint64_t now = replica_now(replica);

	if (standing->end.sequence <= sequence)
		return 0;
	for (unsigned i = 1; i <= SAMPLES; i++) {
		const struct replica_sample *sample =
			&replica->samples[(replica->sample_at + SAMPLES - i) % SAMPLES];

		if (sample->at_ms == 0)
			break;
		if (sample->sequence <= sequence)
			return now - sample->at_ms;
	}
	return REPLICA_LAG_UNKNOWN;
}

static void take_sample(struct replica *replica)
{
	uint64_t now = replica_now(replica);

	if (replica->role != REPLICA_LEADER ||
	    (replica->sampled_ms > 0 && now - replica->sampled_ms < SAMPLE_EVERY_MS))
		return;
	replica->sampled_ms = now;
	replica->samples[replica->sample_at] = (struct replica_sample){
		.at_ms = now,
		.sequence = replica_standing(replica).end.sequence,
	};
	replica->sample_at = (replica->sample_at + 1) % SAMPLES;
}

/* PULL */

static void note_durable(struct replica *replica, struct replica_node *peer, struct version end)
{
	peer->follows = true;
	peer->pulled_ms = replica_now(replica);
	peer->durable = end;
	if (replica->options.acks)
		acks_passed(replica->options.acks, peer->place, replica->epoch, end.sequence);
}

struct shipping {
	struct buf records;
	uint32_t count;
	uint64_t entries;
	struct version last;
};

static int ship_record(const struct shipped_record *record, void *state)
{
	struct shipping *shipping = state;
	int r = replica_append_record(&shipping->records, record);
	if (r < 0)
		return r;
	shipping->count++;
	shipping->entries += record->count;
	shipping->last =
		(struct version){ record->epoch, record->first_sequence + record->count - 1 };
	return 0;
}

static int append_history(struct replica *replica, struct buf *out, uint32_t *ret_count)
{
	struct history history;
	size_t from;
	int r = store_history(replica->options.store, &history);

	if (r < 0)
		return r;
	/* Of a longer one the newest part does: what diverged before it is bootstrapped. */
	from = history.count > REPLICA_EPOCHS_MAX / 4 ? history.count - REPLICA_EPOCHS_MAX / 4 : 0;
	for (size_t i = from; i < history.count && r == 0; i++)
		r = replica_append_epoch(out, &history.epochs[i]);
	*ret_count = (uint32_t)(history.count - from);
	history_deinit(&history);
	return r;
}

static void answer_pull(struct replica *replica, struct replica_node *peer, uint64_t request,
			enum replica_status status, const struct shipping *shipping)
{
	struct replica_message answer = replica_reply(replica, REPLICA_PULL, status);
	struct store_standing standing = replica_standing(replica);
	_cleanup_(buf_deinit) struct buf epochs = { 0 };
	uint64_t sequence = peer->pull_after.sequence;

	answer.end = standing.synced;
	answer.lag_ms = REPLICA_LAG_UNKNOWN;
	if (shipping && shipping->count > 0) {
		answer.items = (struct replica_items){ shipping->records.data,
						       shipping->records.len, shipping->count };
		sequence = shipping->last.sequence;
		peer->shipped_ms = replica_now(replica);
		peer->is_behind = shipping->records.len >= peer->pull_bytes / 2;
		replica->counters.entries_sent += shipping->entries;
		replica->counters.bytes_sent += shipping->records.len;
	}
	if (status == REPLICA_OK && replica->role == REPLICA_LEADER)
		answer.lag_ms = (uint32_t)replica_lag_ms(replica, &standing, sequence);
	if (status == REPLICA_DIVERGED ||
	    (status == REPLICA_OK && peer->pull_after.epoch != standing.epoch)) {
		int r = append_history(replica, &epochs, &answer.epochs.count);

		answer.epochs.data = epochs.data;
		answer.epochs.len = epochs.len;
		/* An empty one would say that nothing is in common. */
		if (r < 0) {
			answer.epochs = answer.items = (struct replica_items){ 0 };
			answer.status = REPLICA_BUSY;
		}
	}
	peer->ship_at_ms = 0;
	replica->counters.pulls_answered++;
	replica_answer(replica, request, &answer);
}

static void log_failed(struct replica *replica, struct replica_node *peer, uint64_t request)
{
	replica_log_failed(replica);
	answer_pull(replica, peer, request, REPLICA_BUSY, NULL);
}

/* Somebody waits until followers have what comes, or did so lately. */
static bool is_hurried(struct replica *replica)
{
	struct acks *acks = replica->options.acks;
	uint64_t waited = acks ? acks_waited(acks) : 0;

	if (waited != replica->waited) {
		replica->waited = waited;
		replica->waited_ms = replica_now(replica);
	}
	return replica->handover.phase != HANDOVER_NONE ||
	       (waited > 0 && replica_now(replica) - replica->waited_ms < HURRY_MS);
}

/* Whether the peer is given nothing yet. */
static bool is_put_off(struct replica *replica, struct replica_node *peer)
{
	uint64_t at_ms = peer->shipped_ms + SHIP_EVERY_MS;

	peer->ship_at_ms = 0;
	if (replica->role != REPLICA_LEADER || peer->is_behind || peer->shipped_ms == 0 ||
	    replica_now(replica) >= at_ms || is_hurried(replica))
		return false;
	peer->ship_at_ms = at_ms;
	return true;
}

/* True: it was answered. */
static bool ship(struct replica *replica, struct replica_node *peer, uint64_t request, bool at_once)
{
	struct shipping shipping = { .records = replica->shipped };
	bool answered = true;
	int r;

	r = store_log_read(replica->options.store, peer->pull_after, peer->pull_bytes, ship_record,
			   &shipping);
	if (r == STORE_LOG_TRIMMED)
		answer_pull(replica, peer, request, REPLICA_TRIMMED, NULL);
	else if (r == STORE_LOG_FOREIGN)
		answer_pull(replica, peer, request, REPLICA_DIVERGED, NULL);
	else if (r < 0)
		log_failed(replica, peer, request);
	else if (shipping.count > 0 || at_once)
		answer_pull(replica, peer, request, REPLICA_OK, &shipping);
	else
		answered = false;
	/* Kept for the next: it is needed many times a second, or is small. */
	replica->shipped = shipping.records;
	buf_clear(&replica->shipped);
	return answered;
}

bool replica_has_point(struct replica *replica, struct version point)
{
	struct history history;
	bool contains;

	if (version_compare(point, replica_standing(replica).synced) > 0 ||
	    store_history(replica->options.store, &history) < 0)
		return false;
	contains = history_contains(&history, point);
	history_deinit(&history);
	return contains;
}

static void unpark_pull(struct replica *replica, struct replica_node *peer,
			enum replica_status status)
{
	if (!peer->pull.is_set)
		return;
	peer->pull.is_set = false;
	answer_pull(replica, peer, peer->pull.request, status, NULL);
}

void replica_pull_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			const struct replica_message *message)
{
	const struct replica_head *head = &message->head;
	bool has_lineage = lineage_is_set(&head->lineage);
	bool is_same = has_lineage && lineage_equal(&head->lineage, &replica->own_lineage);
	bool leads = replica->role == REPLICA_LEADER;
	uint64_t wait_ms =
		message->wait_ms < 10 * PULL_WAIT_MS ? message->wait_ms : 10 * PULL_WAIT_MS;

	unpark_pull(replica, peer, REPLICA_BUSY);
	peer->pull_after = message->end;
	peer->pull_bytes = message->bytes_max < PULL_BYTES ? message->bytes_max : PULL_BYTES;
	if (!replica_serves(replica, peer)) {
		answer_pull(replica, peer, request, refusal(replica), NULL);
	} else if (leads && has_lineage && head->promise != replica->epoch) {
		/* It learns the promise from this answer, and pulls again. */
		answer_pull(replica, peer, request, REPLICA_BUSY, NULL);
	} else if ((has_lineage && !is_same) || (!has_lineage && message->end.sequence > 0)) {
		answer_pull(replica, peer, request, REPLICA_TRIMMED, NULL);
	} else {
		if (is_same && replica_has_point(replica, message->end)) {
			replica_copy_passed(replica, peer, message->end);
			if (leads)
				note_durable(replica, peer, message->end);
		}
		/* It may be what the hand-over has waited for. */
		replica_handover_tick(replica);
		if (!replica_serves(replica, peer)) {
			answer_pull(replica, peer, request, refusal(replica), NULL);
			return;
		}
		if (wait_ms == 0 || !is_put_off(replica, peer)) {
			if (ship(replica, peer, request, wait_ms == 0))
				return;
			replica_copy_caught_up(replica, peer);
		}
		peer->pull.is_set = true;
		peer->pull.request = request;
		peer->pull.until_ms = replica_now(replica) + wait_ms;
	}
}

/* RECORDS. A deletion goes along with its version: what it replaces at the asker may have hidden it
 * there, and should it ever be taken back the asker must have it to set aside. */

static int append_record(struct replica *replica, const struct key *key, struct buf *items)
{
	struct lsm_entry held;
	struct buf entry = { 0 };
	int r = store_get_entry(replica->options.store, key, 0, &held);

	if (r == STORE_NOT_FOUND)
		return replica_append_found(items, NULL, 0);
	if (r < 0)
		return r;
	/* What a repair here deleted without a version tells nothing. */
	if (held.entry.version.epoch > 0)
		r = entry_encode(&held.entry, &entry);
	lsm_entry_release(&held);
	if (r == 0)
		r = replica_append_found(items, entry.data, entry.len);
	buf_deinit(&entry);
	return r;
}

/* What it tells of is on stable storage. */
static void answer_records(struct replica *replica, struct replica_node *peer)
{
	peer->records.is_set = false;
	replica->transport->answer(replica->options.state, peer->records.request,
				   &peer->records_answer);
	buf_deinit(&peer->records_answer);
}

static void give_up_records(struct replica *replica, struct replica_node *peer)
{
	if (!peer->records.is_set)
		return;
	peer->records.is_set = false;
	buf_deinit(&peer->records_answer);
	replica_answer_status(replica, peer->records.request, REPLICA_RECORDS, REPLICA_BUSY);
}

/* It answers for fewer keys than were asked once that is much. */
void replica_records_asked(struct replica *replica, struct replica_node *peer, uint64_t request,
			   const struct replica_message *message)
{
	struct replica_message answer = replica_reply(replica, REPLICA_RECORDS, REPLICA_OK);
	struct replica_items keys = message->items;
	_cleanup_(buf_deinit) struct buf items = { 0 };
	struct key key;
	int r = 0;

	give_up_records(replica, peer);
	if (!replica_serves(replica, peer)) {
		replica_answer_status(replica, request, REPLICA_RECORDS, refusal(replica));
		return;
	}
	while (r == 0 && items.len < PULL_BYTES && replica_next_key(&keys, &key)) {
		r = append_record(replica, &key, &items);
		answer.items.count += r == 0;
	}
	/* After the records: all that they tell of stands at or before it. */
	answer.end = replica_standing(replica).end;
	answer.items.data = items.data;
	answer.items.len = items.len;
	if (r < 0 || replica_message_encode(&answer, &peer->records_answer) < 0) {
		buf_deinit(&peer->records_answer);
		replica_answer_status(replica, request, REPLICA_RECORDS, REPLICA_BUSY);
		return;
	}
	peer->records = (struct replica_parked){
		.is_set = true,
		.request = request,
		.until_ms = replica_now(replica) + ASK_TIMEOUT_MS,
	};
	peer->records_sequence = answer.end.sequence;
	replica_ship_synced(replica);
}

/* Whatever waits */

void replica_ship_synced(struct replica *replica)
{
	struct store_standing standing = replica_standing(replica);

	take_sample(replica);
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (peer->records.is_set && peer->records_sequence <= standing.synced.sequence)
			answer_records(replica, peer);
		if (peer->pull.is_set && !is_put_off(replica, peer) &&
		    ship(replica, peer, peer->pull.request, false))
			peer->pull.is_set = false;
	}
}

void replica_ship_tick(struct replica *replica)
{
	uint64_t now = replica_now(replica);

	take_sample(replica);
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		if (peer->pull.is_set && now >= peer->pull.until_ms) {
			peer->pull.is_set = false;
			ship(replica, peer, peer->pull.request, true);
		} else if (peer->pull.is_set && peer->ship_at_ms > 0 &&
			   !is_put_off(replica, peer)) {
			peer->pull.is_set = !ship(replica, peer, peer->pull.request, false);
		}
		if (now >= peer->records.until_ms)
			give_up_records(replica, peer);
	}
}

uint64_t replica_ship_next(const struct replica *replica)
{
	uint64_t next = 0;

	for (unsigned i = 0; i < replica->peer_count; i++) {
		const struct replica_node *peer = &replica->peers[i];

		if (peer->pull.is_set)
			next = replica_sooner(replica_sooner(next, peer->pull.until_ms),
					      peer->ship_at_ms);
		if (peer->records.is_set)
			next = replica_sooner(next, peer->records.until_ms);
		if (replica->role == REPLICA_LEADER)
			next = replica_sooner(next, replica->sampled_ms + SAMPLE_IDLE_MS);
	}
	return next;
}

void replica_ship_stop(struct replica *replica)
{
	for (unsigned i = 0; i < replica->peer_count; i++) {
		struct replica_node *peer = &replica->peers[i];

		unpark_pull(replica, peer, REPLICA_BUSY);
		give_up_records(replica, peer);
		peer->follows = false;
		peer->durable = (struct version){ 0 };
	}
	buf_deinit(&replica->shipped);
	memset(replica->samples, 0, sizeof(replica->samples));
	replica->sampled_ms = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A node is looked at after each step: what its store says of itself is laid beside what it said
 * before. Leaders teach what the truth is: whatever one has in its log, in its own epoch, was
 * written there. From then on it is compared wherever it shows up.
 */
#include "tests/sim/shard_oracle_private.h"

#include "node/epoch.h"
#include "node/log_read.h"
#include "node/replica_message.h"
#include "tests/sim/shard_record.h"
#include "tests/sim/shard_sabotage.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct version nothing;

static struct oracle_node *seen_of(struct shard_node *node)
{
	return &node->shard->oracle->nodes[node->place];
}

/* ---- one look ---- */

static void note_lineage(struct shard *shard, const struct lineage *lineage)
{
	struct shard_oracle *oracle = shard->oracle;

	for (size_t i = 0; i < oracle->lineage_count; i++)
		if (lineage_equal(&oracle->lineages[i], lineage))
			return;
	oracle->lineages =
		realloc(oracle->lineages, (oracle->lineage_count + 1) * sizeof(*oracle->lineages));
	if (!oracle->lineages)
		abort();
	oracle->lineages[oracle->lineage_count++] = *lineage;
	shard->counts.lineages++;
}

/* True: it is another one than before. */
static bool look_at_lineage(struct shard_node *node, const struct store_standing *standing)
{
	struct oracle_node *seen = seen_of(node);
	struct lineage before = seen->lineage;

	if (!lineage_is_set(&standing->lineage)) {
		if (lineage_is_set(&before))
			shard_break(node->shard, "node %u lost its lineage", node->place);
		return false;
	}
	if (lineage_equal(&before, &standing->lineage))
		return false;
	note_lineage(node->shard, &standing->lineage);
	seen->lineage = standing->lineage;
	if (!lineage_is_set(&before))
		return false;
	if (lineage_compare(&standing->lineage, &before) > 0)
		shard_break(node->shard, "node %u changed to a younger lineage", node->place);
	return true;
}

static void look_at_promise(struct shard_node *node, const struct store_standing *standing,
			    bool other_lineage)
{
	struct oracle_node *seen = seen_of(node);

	if (standing->promise < seen->promise && !other_lineage)
		shard_break(node->shard, "node %u promised %" PRIx64 " after %" PRIx64, node->place,
			    standing->promise, seen->promise);
	if (standing->promise != seen->promise) {
		seen->promise_before = seen->promise;
		seen->promised_us = node->shard->events.now_us;
	}
	seen->promise = standing->promise;
}

/* An epoch in which nothing was written, and whose node lost its disk before anybody had heard of
 * it, has left no trace by which it could be avoided. */
static bool take_anew(struct shard *shard, const struct truth_epoch *begun)
{
	struct truth_epoch *known = truth_epoch(&shard->oracle->truth, begun->epoch);

	if (!known || known->count > 0 || known->node != begun->node || known->disk == begun->disk)
		return false;
	for (unsigned i = 0; i < shard->node_count; i++)
		if (i != begun->node && shard->oracle->nodes[i].promise == begun->epoch &&
		    shard->oracle->nodes[i].promised_us <
			    shard->oracle->nodes[begun->node].shrunk_us)
			return false;
	free(known->renewed);
	known->renewed = begun->renewed;
	known->parent = begun->parent;
	known->disk = begun->disk;
	known->begun_us = begun->begun_us;
	return true;
}

static void begin_epoch(struct shard_node *node, const struct store_standing *standing,
			uint64_t epoch)
{
	struct shard *shard = node->shard;
	struct oracle_node *seen = seen_of(node);
	struct truth_epoch begun = {
		.epoch = epoch,
		.node = node->place,
		.disk = node->disk,
		.parent = standing->end.epoch == epoch ? seen->end : standing->end,
		.begun_us = shard->events.now_us,
	};

	shard->counts.epochs++;
	/* Its records were ahead of its log: they are what counts now (node/store_renew.c). */
	if (standing->log_begin.epoch == epoch) {
		crash_vfs_fail(node->crash, 1, 0, EIO);
		begun.renewed = oracle_read_records(node);
	}
	if (epoch_node(epoch) != node->id || standing->promise != epoch)
		shard_break(shard, "node %u leads in epoch %" PRIx64 ", promised %" PRIx64,
			    node->place, epoch, standing->promise);
	else if (begun.parent.epoch >= epoch)
		shard_break(shard, "node %u begins epoch %" PRIx64 " behind %" PRIx64, node->place,
			    epoch, begun.parent.epoch);
	else if (!take_anew(shard, &begun) && !truth_begin(&shard->oracle->truth, &begun))
		shard_break(shard, "node %u begins epoch %" PRIx64 " for a second time",
			    node->place, epoch);
}

static void look_at_role(struct shard_node *node, const struct store_standing *standing)
{
	struct oracle_node *seen = seen_of(node);
	bool leads = standing->role == STORE_LEADING || standing->role == STORE_PAUSED;
	struct replica_view view;

	if (leads && !seen->leads) {
		replica_view(node->replica, &view);
		begin_epoch(node, standing, view.epoch);
		seen->epoch = view.epoch;
	}
	seen->leads = leads;
}

/* What it had is not in its log any more: only its leader may make it give that up, and no more
 * than it must. */
static void give_up(struct shard_node *node, const struct store_standing *standing,
		    struct version had, bool other_lineage)
{
	struct shard *shard = node->shard;
	struct truth *truth = &shard->oracle->truth;
	struct oracle_node *seen = seen_of(node);
	struct version common = truth_common(truth, standing->end, had);
	struct version leaders = { standing->promise, UINT64_MAX };

	/* A copy of the last leader's data is installed though there is a new one since. */
	if (!seen->alive && !truth_contains(truth, leaders, standing->end))
		leaders.epoch = seen->promise_before;
	if (other_lineage) {
		common = nothing;
	} else if (seen->leads) {
		shard_break(shard, "node %u leads, and lost what is behind %" PRIx64 "-%" PRIu64,
			    node->place, common.epoch, common.sequence);
		return;
	} else if (!truth_contains(truth, leaders, standing->end)) {
		shard_break(shard,
			    "node %u lost %" PRIx64 "-%" PRIu64 ", and not to its leader's history",
			    node->place, had.epoch, had.sequence);
		return;
	} else if (version_compare(truth_common(truth, leaders, had), common) != 0) {
		shard_break(shard, "node %u lost more than it had to, %" PRIx64 "-%" PRIu64,
			    node->place, had.epoch, had.sequence);
		return;
	}
	shard->counts.resets++;
	seen->shrunk_us = shard->events.now_us;
	oracle_check_aside(node, common, had, seen->alive && !other_lineage);
}

/* A power cut takes what was not synced, and so may a log that failed: nobody was told of that. */
static struct version what_it_had(struct shard_node *node)
{
	const struct oracle_node *seen = seen_of(node);

	if (seen->alive ? shard_node_is_doubtful(node) : seen->fate == FATE_CUT)
		return seen->synced;
	return seen->end;
}

static void look_at_end(struct shard_node *node, const struct store_standing *standing,
			bool other_lineage)
{
	struct shard *shard = node->shard;
	struct truth *truth = &shard->oracle->truth;
	struct oracle_node *seen = seen_of(node);
	struct version had = what_it_had(node);
	struct truth_epoch *epoch = truth_epoch(truth, standing->end.epoch);

	if (standing->end.epoch != 0 && !epoch) {
		shard_break(shard, "node %u ends in epoch %" PRIx64 ", which nobody began",
			    node->place, standing->end.epoch);
		return;
	}
	if (other_lineage || !truth_contains(truth, standing->end, had))
		give_up(node, standing, had, other_lineage);
	if (epoch && epoch->node == node->place && standing->synced.epoch == epoch->epoch &&
	    epoch->synced < standing->synced.sequence)
		epoch->synced = standing->synced.sequence;
	if (epoch && standing->synced.epoch == epoch->epoch &&
	    standing->synced.sequence > epoch->synced)
		shard_break(shard, "node %u has %" PRIx64 "-%" PRIu64 ", its leader %" PRIu64,
			    node->place, epoch->epoch, standing->synced.sequence, epoch->synced);
	seen->end = standing->end;
	seen->synced = standing->synced;
}

static void look_at_view(struct shard_node *node)
{
	struct oracle_node *seen = seen_of(node);
	struct replica_view view;

	replica_view(node->replica, &view);
	seen->counted += view.counters.diverged_entries - seen->counter;
	seen->counter = view.counters.diverged_entries;
	shard_sabotage_view(node, &view);
	if (view.role != REPLICA_LEADER)
		oracle_check_fresh(node, &view);
	if (seen->counted < seen->aside)
		shard_break(node->shard, "node %u set %" PRIu64 " aside and counted %" PRIu64,
			    node->place, seen->aside, seen->counted);
}

static void note_standing(struct shard_node *node, const struct store_standing *standing)
{
	const struct oracle_node *seen = seen_of(node);

	if (!node->shard->verbose)
		return;
	if (seen->promise != standing->promise || seen->whole != standing->whole ||
	    !lineage_equal(&seen->lineage, &standing->lineage) ||
	    version_compare(seen->end, standing->end) != 0 ||
	    version_compare(seen->synced, standing->synced) != 0)
		shard_note(node->shard,
			   "n%u role %d promise %" PRIx64 " lineage %02x%02x end %" PRIx64
			   "-%" PRIu64 " synced %" PRIx64 "-%" PRIu64 "%s",
			   node->place, standing->role, standing->promise, standing->lineage.id[0],
			   standing->lineage.id[1], standing->end.epoch, standing->end.sequence,
			   standing->synced.epoch, standing->synced.sequence,
			   standing->whole ? "" : " not whole");
}

void shard_oracle_look(struct shard_node *node)
{
	struct shard *shard = node->shard;
	struct oracle_node *seen = seen_of(node);
	struct store_standing standing;
	bool other_lineage, moved;

	if (shard_is_broken(shard))
		return;
	store_standing(node->store, &standing);
	shard_trace_number(shard, standing.end.epoch ^ standing.end.sequence << 20);
	shard_trace_number(shard, standing.promise);
	note_standing(node, &standing);
	seen->whole = standing.whole;
	other_lineage = look_at_lineage(node, &standing);
	look_at_promise(node, &standing, other_lineage);
	look_at_role(node, &standing);
	if (shard_is_broken(shard))
		return;
	moved = version_compare(seen->end, standing.end) != 0 ||
		version_compare(seen->synced, standing.synced) != 0;
	if (moved || other_lineage || !seen->alive)
		look_at_end(node, &standing, other_lineage);
	if (shard_is_broken(shard))
		return;
	seen->ahead = standing.ahead;
	oracle_learn_appends(node, shard_node_is_doubtful(node) ? seen->synced : seen->end);
	if (!seen->alive || shard_random_percent(&shard->random, 10))
		oracle_read_log(node);
	oracle_resolve_acks(node);
	if (seen->handed_over)
		oracle_check_handover(node);
	seen->handed_over = false;
	look_at_view(node);
	if (seen->whole && !shard_node_is_doubtful(node) &&
	    (!seen->alive || shard_random_percent(&shard->random, moved ? 10 : 1)))
		oracle_check_state(node, false);
	seen->alive = true;
}

/* ---- beginnings and ends ---- */

void shard_oracle_handed_over(struct shard_node *node)
{
	seen_of(node)->handed_over = true;
}

void shard_oracle_started(struct shard_node *node)
{
	struct oracle_node *seen = seen_of(node);

	seen->alive = seen->leads = seen->handed_over = false;
	seen->counter = 0;
}

void shard_oracle_ended(struct shard_node *node)
{
	struct oracle_node *seen = seen_of(node);

	seen->fate = node->fate;
	seen->alive = seen->leads = false;
}

void shard_oracle_wiped(struct shard_node *node)
{
	struct oracle_node *seen = seen_of(node);

	free(seen->gaps);
	oracle_drop_appends(seen);
	*seen = (struct oracle_node){ .shrunk_us = node->shard->events.now_us };
}

int shard_oracle_describe(struct shard_node *node, char *text, size_t size)
{
	static const char *const roles[REPLICA_ROLE_COUNT] = {
		"starting", "leader", "follower", "repairing", "copying", "recovering"
	};
	const struct oracle_node *seen = seen_of(node);
	struct replica_view view;

	if (!shard_node_is_up(node))
		return snprintf(text, size, " n%u down", node->place);
	replica_view(node->replica, &view);
	return snprintf(text, size, " n%u %s of %d%s promise %" PRIx64 " end %" PRIx64 "-%" PRIu64,
			node->place, roles[view.role], view.leader, view.reads ? "" : ", no reads",
			seen->promise, seen->end.epoch, seen->end.sequence);
}

void shard_oracle_new(struct shard *shard)
{
	struct shard_oracle *oracle = calloc(1, sizeof(*oracle));

	assert(oracle);
	oracle->shard = shard;
	oracle->applied = calloc(SHARD_OPS_MAX + 1, sizeof(*oracle->applied));
	assert(oracle->applied);
	shard->oracle = oracle;
}

void shard_oracle_free(struct shard *shard)
{
	struct shard_oracle *oracle = shard->oracle;

	if (!oracle)
		return;
	for (size_t i = 0; i <= SHARD_OPS_MAX; i++)
		free(oracle->applied[i].all);
	for (unsigned i = 0; i < SHARD_NODES_MAX; i++) {
		free(oracle->nodes[i].gaps);
		oracle_drop_appends(&oracle->nodes[i]);
	}
	free(oracle->applied);
	free(oracle->lineages);
	free(oracle->acks);
	free(oracle->acked);
	truth_deinit(&oracle->truth);
	free(oracle);
	shard->oracle = NULL;
}

/* ---- what passes by ---- */

static void look_at_records(struct shard *shard, struct replica_message *message)
{
	struct shipped_record record;

	while (replica_next_record(&message->items, &record))
		if (!oracle_learn_payload(shard, record.payload, record.payload_len, "message"))
			return;
}

static void look_at_found(struct shard *shard, struct replica_message *message)
{
	const uint8_t *entry;
	size_t len;

	while (replica_next_found(&message->items, &entry, &len))
		if (entry && !oracle_learn_payload(shard, entry, len, "found"))
			return;
}

void shard_oracle_message(struct shard *shard, unsigned from, unsigned to, const struct buf *bytes)
{
	struct replica_message message;

	shard_trace_number(shard, shard->events.now_us << 8 | from << 4 | to);
	shard_trace(shard, bytes->data, bytes->len);
	if (replica_message_decode(bytes->data, bytes->len, &message) < 0) {
		shard_break(shard, "node %u sent a message that can't be decoded", from);
		return;
	}
	shard_note(shard,
		   "n%u->n%u kind %d%s status %d end %" PRIx64 "-%" PRIu64 " promise %" PRIx64
		   " items %u",
		   from, to, message.kind, message.is_answer ? " answer" : "", message.status,
		   message.end.epoch, message.end.sequence, message.head.promise,
		   message.items.count);
	if (!message.is_answer || message.status != REPLICA_OK)
		return;
	if (message.kind == REPLICA_PULL)
		look_at_records(shard, &message);
	else if (message.kind == REPLICA_RECORDS)
		look_at_found(shard, &message);
}

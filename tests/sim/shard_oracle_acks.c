/* SPDX-License-Identifier: MIT */
/* What was acknowledged, and what a follower says of its age. */
#include "tests/sim/shard_oracle_private.h"

#include <inttypes.h>
#include <stdlib.h>

static void *grow(void *items, size_t *cap, size_t count, size_t size)
{
	if (count < *cap)
		return items;
	*cap = *cap ? *cap * 2 : 64;
	items = realloc(items, *cap * size);
	if (!items)
		abort();
	return items;
}

void shard_oracle_acknowledged(struct shard_attempt *attempt)
{
	struct shard_node *node = attempt->node;
	struct shard_oracle *oracle = node->shard->oracle;

	oracle->acks =
		grow(oracle->acks, &oracle->ack_cap, oracle->ack_count, sizeof(*oracle->acks));
	oracle->acks[oracle->ack_count++] = (struct oracle_ack){
		.op = attempt->op,
		.node = node->place,
		.disk = node->disk,
		.at_us = node->shard->events.now_us,
		.point = attempt->write.point,
		.repeated = attempt->write.repeated,
	};
	node->shard->counts.acked++;
	node->shard->counts.acked_more += attempt->op->ack != ACK_LEADER;
}

/* A node that has lost its disk, or has given something up since it was asked, may have had it. */
static void count_copies(struct shard *shard, const struct oracle_ack *ack, struct version version)
{
	unsigned needed = 1 + acks_followers(ack->op->ack, shard->node_count), copies = 0;

	for (unsigned i = 0; i < shard->node_count; i++) {
		const struct oracle_node *seen = &shard->oracle->nodes[i];

		copies += truth_contains(&shard->oracle->truth, seen->synced, version) ||
			  (seen->shrunk_us > 0 && seen->shrunk_us >= ack->op->asked_us);
	}
	if (copies < needed)
		shard_break(shard,
			    "node %u acknowledged write %u (%" PRIx64 "-%" PRIu64
			    ") on %u disks, not %u",
			    ack->node, ack->op->number, version.epoch, version.sequence, copies,
			    needed);
}

static void resolve(struct shard_node *node, const struct oracle_ack *ack)
{
	struct shard *shard = node->shard;
	struct shard_oracle *oracle = shard->oracle;
	struct version version = oracle_version_of(oracle, ack->op, ack->point);

	ack->op->acknowledged = true;
	/* Of memory writes only what was synced is known. */
	if (version.epoch == 0 && ack->op->durability == DURABILITY_DISK) {
		shard_break(shard,
			    "node %u acknowledged write %u, which is not in its log up to %" PRIx64
			    "-%" PRIu64,
			    node->place, ack->op->number, ack->point.epoch, ack->point.sequence);
		return;
	}
	if (version.epoch != 0 && ack->op->durability == DURABILITY_DISK)
		count_copies(shard, ack, version);
	oracle->acked = grow(oracle->acked, &oracle->acked_cap, oracle->acked_count,
			     sizeof(*oracle->acked));
	oracle->acked[oracle->acked_count++] = (struct oracle_acked){
		.op = ack->op,
		.node = ack->node,
		.disk = ack->disk,
		.at_us = ack->at_us,
		.version = version.epoch != 0 ? version : ack->point,
		.repeated = ack->repeated,
	};
}

void oracle_resolve_acks(struct shard_node *node)
{
	struct shard_oracle *oracle = node->shard->oracle;
	size_t kept = 0;

	for (size_t i = 0; i < oracle->ack_count; i++) {
		struct oracle_ack ack = oracle->acks[i];

		if (ack.node != node->place)
			oracle->acks[kept++] = ack;
		else if (ack.disk == node->disk && !shard_is_broken(node->shard))
			resolve(node, &ack);
	}
	oracle->ack_count = kept;
}

void oracle_check_handover(struct shard_node *node)
{
	struct shard *shard = node->shard;
	struct shard_oracle *oracle = shard->oracle;
	const struct oracle_node *seen = &oracle->nodes[node->place];
	const struct truth_epoch *before = truth_epoch(&oracle->truth, seen->promise_before);
	const struct truth_epoch *now = truth_epoch(&oracle->truth, seen->epoch);

	if (!before || !now || before->node == node->place)
		return;
	for (size_t i = 0; i < oracle->acked_count; i++) {
		const struct oracle_acked *acked = &oracle->acked[i];

		if (acked->node != before->node || acked->disk != shard->nodes[before->node].disk ||
		    acked->op->durability != DURABILITY_DISK ||
		    !truth_contains(&oracle->truth, oracle->nodes[before->node].end,
				    acked->version))
			continue;
		if (!truth_contains(&oracle->truth, now->parent, acked->version))
			shard_break(shard, "write %u was lost when node %u handed over to node %u",
				    acked->op->number, before->node, node->place);
	}
}

/* Whatever was acknowledged before that time, as far as its leader has it, must be here. */
void oracle_check_fresh(struct shard_node *node, const struct replica_view *view)
{
	struct shard *shard = node->shard;
	struct truth *truth = &shard->oracle->truth;
	const struct oracle_node *seen = &shard->oracle->nodes[node->place];
	struct version leaders = { seen->promise, UINT64_MAX };
	uint64_t fresh_us;

	if (view->fresh_ms <= node->since_ms)
		return;
	fresh_us = (view->fresh_ms - node->since_ms) * 1000;
	for (size_t i = shard->oracle->acked_count; i > 0; i--) {
		const struct oracle_acked *acked = &shard->oracle->acked[i - 1];

		if (acked->at_us >= fresh_us || acked->repeated ||
		    truth_contains(truth, seen->end, acked->version) ||
		    !truth_contains(truth, leaders, acked->version))
			continue;
		shard_break(shard,
			    "node %u says it is as fresh as %" PRIu64
			    " us and lacks write %u, acknowledged at %" PRIu64,
			    node->place, fresh_us, acked->op->number, acked->at_us);
		return;
	}
}

/* On stable storage somewhere, and there no longer: then its disk is gone, or it was set aside
 * there, which was looked at when it happened. */
void oracle_check_acked(struct shard *shard, struct version end)
{
	struct shard_oracle *oracle = shard->oracle;

	for (size_t i = 0; i < oracle->acked_count && !shard_is_broken(shard); i++) {
		const struct oracle_acked *acked = &oracle->acked[i];
		const struct oracle_node *seen = &oracle->nodes[acked->node];
		bool aside = acked->disk != shard->nodes[acked->node].disk;

		if (acked->op->durability != DURABILITY_DISK ||
		    oracle_version_of(oracle, acked->op, end).epoch != 0)
			continue;
		for (size_t j = 0; j < seen->gap_count && !aside; j++)
			aside = truth_contains(&oracle->truth, seen->gaps[j].to, acked->version) &&
				!truth_contains(&oracle->truth, seen->gaps[j].from, acked->version);
		if (!aside)
			shard_break(shard, "write %u, acknowledged by node %u, is nowhere",
				    acked->op->number, acked->node);
	}
}

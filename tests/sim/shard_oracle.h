/* SPDX-License-Identifier: MIT */
/*
 * What must hold in a simulated shard whatever goes wrong, looked at after each step of each node.
 * It knows of a node what the node's store says of itself, and compares it with what was really
 * written (shard_truth), with what the node said before, and with what was acknowledged.
 *
 *   - an epoch is begun once, by the node that it names, above all it had promised;
 *   - a version never names two things, in logs, in messages, in records, in what is set aside;
 *   - a promise never goes down, a lineage changes for an older one only;
 *   - what a node has on stable storage it keeps, unless its leader's history goes another way, and
 *     then to the point where the two part; what it gives up is in a diverged log, and counted;
 *   - a follower has nothing that its leader has not synced; what was acknowledged for a quorum or
 *     all is on so many disks;
 *   - a node that says it is whole holds exactly the records that its log's end stands for: so
 *     nothing invented, nothing risen from the dead, nothing lost on the way;
 *   - a write is applied once in a history;
 *   - a follower is not staler than it says;
 *   - in the end all nodes are the same.
 *
 * Threads: one.
 */
#pragma once

#include "node/wal.h"
#include "tests/sim/shard.h"

struct shard_attempt;

void shard_oracle_new(struct shard *shard);
void shard_oracle_free(struct shard *shard);

void shard_oracle_started(struct shard_node *node);
void shard_oracle_look(struct shard_node *node);
void shard_oracle_ended(struct shard_node *node);
void shard_oracle_wiped(struct shard_node *node);
/* Its log was given this record. */
void shard_oracle_appended(struct shard_node *node, const struct wal_record *record);
/* The node says so now. */
void shard_oracle_acknowledged(struct shard_attempt *attempt);
/* It leads now, and the leader before it has agreed: nothing that was acknowledged is lost. */
void shard_oracle_handed_over(struct shard_node *node);
void shard_oracle_message(struct shard *shard, unsigned from, unsigned to,
			  const struct buf *message);

/* Whether all nodes are up, follow one leader, and have all that it has. */
bool shard_oracle_is_calm(struct shard *shard);
/* What key @number held last before it was deleted, as far as the node's log has come; false: it is
 * there. */
bool shard_oracle_deleted(struct shard_node *node, unsigned number, struct truth_cell *ret_cell);
/* What a node says of itself, for people; as snprintf(). */
int shard_oracle_describe(struct shard_node *node, char *text, size_t size);
/* Once they are: everything is compared. */
void shard_oracle_finish(struct shard *shard);

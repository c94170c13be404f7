/* SPDX-License-Identifier: MIT */
/* What the parts of the oracle share. */
#pragma once

#include "node/lineage.h"
#include "tests/sim/shard_clients.h"
#include "tests/sim/shard_oracle.h"

/* What a node gave up: behind @from, up to @to. */
struct oracle_gap {
	struct version from, to;
	struct oracle_append *appends; /* nobody knows yet what became of them */
	size_t append_count, append_cap;
	bool whole; /* else only the last version of a record need be set aside */
	struct version ahead; /* some records were already as they were at this one */
};

/* A record that was given to a log. */
struct oracle_append {
	struct version first, last;
	struct buf payload;
};

/* Of one node, as it was seen last. */
struct oracle_node {
	/* on its disk */
	struct lineage lineage;
	uint64_t promise;
	uint64_t promise_before; /* another one than that */
	uint64_t promised_us;
	struct version end; /* in its log */
	struct version synced; /* of that, on stable storage */
	struct version learnt; /* up to here its log was compared */
	struct oracle_append *appends; /* nobody knows yet what became of them */
	size_t append_count, append_cap;
	bool whole; /* else a repair may be under way, and records ahead of the log */
	struct version ahead; /* of whose log */
	struct oracle_gap *gaps;
	size_t gap_count;
	uint64_t aside; /* entries that must have been counted */
	uint64_t counted; /* by its metric, all lives together */
	uint64_t shrunk_us; /* when it was wiped or gave something up: before that it may have had
			       more than it has */

	/* in this life */
	bool alive;
	enum shard_fate fate; /* how the last life ended */
	bool leads;
	bool handed_over; /* it says that it has got the lead from the one before it */
	uint64_t epoch; /* in which it led last */
	uint64_t counter;
};

/* Something was acknowledged, to be looked into at the node's next look. */
struct oracle_ack {
	struct shard_op *op;
	unsigned node, disk;
	uint64_t at_us;
	struct version point;
	bool repeated;
};

/* An acknowledgement that is understood. */
struct oracle_acked {
	struct shard_op *op;
	unsigned node, disk; /* that said so */
	uint64_t at_us;
	struct version version;
	bool repeated;
};

struct oracle_versions {
	struct version *all; /* of the first entry, one for each time it was applied */
	size_t count;
};

struct shard_oracle {
	struct shard *shard;
	struct truth truth;
	struct oracle_node nodes[SHARD_NODES_MAX];
	struct oracle_versions *applied; /* by write number */
	struct lineage *lineages;
	size_t lineage_count;
	struct oracle_ack *acks;
	size_t ack_count, ack_cap;
	struct oracle_acked *acked;
	size_t acked_count, acked_cap;
};

/* Compares one entry with what is known. False: the shard is broken. */
bool oracle_learn(struct shard *shard, struct version version, const struct entry *entry,
		  bool is_first, const char *where);
/* What was appended and is in the node's log now is learnt. */
void oracle_learn_appends(struct shard_node *node, struct version end);
void oracle_drop_appends(struct oracle_node *seen);
/* Encoded entries, one behind the other; their versions are their own. */
bool oracle_learn_payload(struct shard *shard, const uint8_t *payload, size_t len,
			  const char *where);
/* Compares what the node's log has on stable storage and was not looked at yet. */
void oracle_read_log(struct shard_node *node);
/* The version of @op that lies on the path to @end; {0,0}: none does. */
struct version oracle_version_of(struct shard_oracle *oracle, const struct shard_op *op,
				 struct version end);

/* Records against log; all keys, or a few. */
void oracle_check_state(struct shard_node *node, bool all);
/* All records of a node, to be freed; TRUTH_KEYS_MAX cells. NULL: its disk does not give them. */
struct truth_cell *oracle_read_records(struct shard_node *node);
/* What is behind @from up to @to is given up; @whole: entry for entry. */
void oracle_check_aside(struct shard_node *node, struct version from, struct version to,
			bool whole);
/* All that this disk has given up is still set aside. */
void oracle_recheck_aside(struct shard_node *node);
void oracle_resolve_acks(struct shard_node *node);
/* Nothing that was acknowledged got lost on the way from the leader before. */
void oracle_check_handover(struct shard_node *node);
void oracle_check_fresh(struct shard_node *node, const struct replica_view *view);
void oracle_check_acked(struct shard *shard, struct version end);

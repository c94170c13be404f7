/* SPDX-License-Identifier: MIT */
/*
 * Who writes to a simulated shard: each client sends one write after the other to the node that it
 * believes to lead, and one whose fate it does not learn again, under the same request id, perhaps
 * to another node. Threads: one.
 */
#pragma once

#include "tests/sim/shard.h"

/* One write of one client, however often it is sent. */
struct shard_op {
	uint32_t number; /* of its request id, its value or its patch */
	enum write_kind kind;
	unsigned key, destination;
	enum ack ack;
	enum durability durability;
	uint64_t asked_us;
	bool acknowledged; /* some node has said so */
};

/* An op at a node. */
struct shard_attempt {
	struct shard_attempt *next; /* of the node */
	struct shard_node *node;
	unsigned client; /* UINT_MAX: a probe */
	uint64_t turn; /* of the client: it may have given up */
	struct shard_op *op;
	struct store_write write;
	struct ack_wait wait;
	bool is_over; /* the node is gone, or it has been answered */
	bool waits; /* for followers */
};

#define SHARD_OPS_MAX 20000

struct shard_client {
	uint64_t turn; /* counts what it sends */
	struct shard_op *op; /* under way */
	unsigned tries;
	unsigned believes; /* place of the leader */
};

struct shard_clients {
	struct shard_client *all;
	unsigned count;
	bool resting;
	struct shard_op *ops;
	size_t op_count;
	bool probed; /* a probe was acknowledged */
};

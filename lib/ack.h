/* SPDX-License-Identifier: MIT */
/* How many copies of a write have to be on stable storage before it is acknowledged. */
#pragma once

enum ack {
	ACK_LEADER, /* the leader's */
	ACK_QUORUM, /* of a majority of the shard's nodes, the leader's among them */
	ACK_ALL,
};
#define ACK_COUNT 3

/* As HexKV-Ack and the cluster file say it. */
static inline const char *ack_name(enum ack ack)
{
	static const char *const names[ACK_COUNT] = { "leader", "quorum", "all" };

	return names[ack];
}

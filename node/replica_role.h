/* SPDX-License-Identifier: MIT */
/* What a node does in its shard, as it tells others. */
#pragma once

/* The numbers travel (docs/PROTOCOL.md, "Replication"): never renumber. */
enum replica_role {
	REPLICA_STARTING, /* finds out whom to follow */
	REPLICA_LEADER,
	REPLICA_FOLLOWER,
	REPLICA_REPAIRING, /* a follower that sets a diverged suffix aside */
	REPLICA_BOOTSTRAPPING, /* a follower that fetches a whole copy */
	REPLICA_RECOVERING, /* the leader to be, that first fetches what others have of its log */
	REPLICA_ROLE_COUNT,
};

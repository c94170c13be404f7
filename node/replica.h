/* SPDX-License-Identifier: MIT */
/*
 * The replication core: which node of the shard leads, and how the others come to have what it has.
 * It knows no sockets and no clock; simulations drive it with their own.
 *
 * Threads: all calls from one thread, the replication thread (it may wait for the disk). Callbacks
 * of the transport come from it, too, but for wake(). Ownership: store, cluster and transport
 * outlive the replica; names and directory are copied.
 */
#pragma once

#include "lib/buf.h"
#include "lib/cluster.h"
#include "lib/outcome.h"
#include "lib/record.h"
#include "node/replica_role.h"

struct acks;
struct replica;
struct store;
struct vfs;

#define REPLICA_NODES_MAX 16 /* of a shard */

struct replica_transport {
	/* Asks the node at @place of the shard: takes the content of @message (docs/PROTOCOL.md,
	 * "Replication"). replica_answered() follows exactly once, never from inside. */
	void (*send)(void *state, unsigned place, uint64_t call, struct buf *message,
		     uint32_t timeout_ms);
	/* Answers what replica_asked() brought; takes the content. Each request is answered once,
	 * perhaps from inside replica_asked(), perhaps seconds later, at the latest by
	 * replica_free(). */
	void (*answer)(void *state, uint64_t request, struct buf *message);
	/* A new copy lies ready to be installed: once this call is over the replica is to be freed,
	 * the store closed and opened again (that installs it), and a new replica made. */
	void (*restart)(void *state);
	/* replica_view() has something new to say. */
	void (*changed)(void *state);
	/* replica_tick() has something to do. From any thread, also from inside any call. */
	void (*wake)(void *state);
	/* Runs what takes long in another thread, or, if that can't be had, at once. NULL: at once.
	 */
	void (*work)(void *state, void (*run)(void *argument), void *argument);
};

struct replica_options {
	struct store *store; /* open, STORE_IDLE */
	struct acks *acks; /* told what followers have; NULL: nobody asks for it */
	struct vfs *vfs;
	const char *dir; /* the data directory */
	const struct cluster *cluster;
	const struct cluster_shard *shard;
	unsigned self; /* this node's place in the shard */
	const struct replica_transport *transport;
	void *state; /* the transport's */
	uint64_t (*now_ms)(void *state); /* monotonic, not 0 */
	int64_t (*realtime_ns)(void); /* NULL: clock_realtime_ns */
	uint64_t bootstrap_bytes_per_s; /* 0: as fast as it goes */
};

/* A node that is alone in its shard leads when this returns 0. -E2BIG: more than REPLICA_NODES_MAX
 * nodes; others: the store could not be led. */
int replica_new(const struct replica_options *options, struct replica **ret_replica);
/* Waits until the store is done with what it was given, then answers what waits for an answer.
 * replica_answered() must not be called any more. */
struct replica *replica_free(struct replica *replica);

/* A message has come in. The bytes are borrowed. */
void replica_asked(struct replica *replica, uint64_t request, const void *message, size_t len);
/* To send(): @error is 0, or negative (-ECONNREFUSED: nobody is there; -ETIMEDOUT; ...) and then
 * there is no message. */
void replica_answered(struct replica *replica, uint64_t call, int error, const void *message,
		      size_t len);
/* Does what is due; yields the time of the next call, in now_ms. */
uint64_t replica_tick(struct replica *replica);

/* Makes this node the leader. @done is called once, perhaps from inside, at the latest by
 * replica_free(): OUTCOME_OK once it leads; otherwise the sentence says why not: FORBIDDEN (it
 * lacks data, so it would lose some), UNAVAILABLE (not now), TIMEOUT, INTERNAL. The sentence is
 * borrowed; on success it says who could not be told. Without @force the leader hands over, and
 * nothing is lost; with it nobody is asked. */
typedef void (*replica_promoted_fn)(void *state, enum outcome outcome, const char *sentence);
void replica_promote(struct replica *replica, bool force, replica_promoted_fn done, void *state);

/* Another node of the shard. */
struct replica_peer {
	unsigned place;
	bool reached; /* its last message is young */
	uint64_t heard_ms; /* when; 0: never */
	enum replica_role role;
	uint64_t promise;
	struct version end; /* what it has on stable storage, as it said last */
	bool whole;
	/* At the leader, of one that follows it: how much of the log is before it. */
	bool follows;
	uint64_t lag_records, lag_bytes, lag_ms;
};

struct replica_counters {
	uint64_t pulls_asked, pulls_answered;
	uint64_t entries_received, bytes_received;
	uint64_t entries_sent, bytes_sent;
	uint64_t values_fetched, values_shared;
	uint64_t bootstraps, repairs, leads;
	uint64_t diverged_entries; /* set aside: acknowledged here and lost to the shard; one that
				      is so for several leaders in turn may count again */
	uint64_t failures; /* steps that were tried again */
};

struct replica_view {
	enum replica_role role;
	int leader; /* place of the node that this one follows, or is; -1: unknown */
	uint64_t epoch; /* a leader's own; else the newest in the history; 0: none */
	uint64_t promise;
	struct version end; /* durable */
	bool reads; /* its records may be read, however old */
	/* Whatever was acknowledged before this time, in now_ms, is here, as far as the leader
	 * that the promise names has it; 0: unknown, until that one has been asked. A leader: now.
	 */
	uint64_t fresh_ms;
	struct version leader_end; /* as a follower heard last */
	uint64_t bootstrap_bytes, bootstrap_total; /* 0 of 0: none under way */
	struct replica_peer peers[REPLICA_NODES_MAX];
	unsigned peer_count;
	struct replica_counters counters;
};

void replica_view(struct replica *replica, struct replica_view *ret_view);

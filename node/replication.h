/* SPDX-License-Identifier: MIT */
/*
 * Drives the replication core (node/replica.h) in a real program: a thread with a loop of its own,
 * the clock, and messages that go to the other nodes of the shard (node/replica_calls) and come
 * from them (node/replica_door).
 *
 * Ownership: what the options name outlives it; token and directory are borrowed. Threads: what is
 * asked of it, from any thread; replication_new() and replication_free() while nobody asks.
 */
#pragma once

#include "lib/loop.h"
#include "node/replica.h"

struct replication;
struct server;

struct replication_options {
	struct store *store;
	struct acks *acks;
	struct vfs *vfs;
	const char *dir;
	const struct cluster *cluster;
	const struct cluster_shard *shard;
	unsigned self; /* place in the shard */
	const char *token; /* to show to the others; NULL: none */
	uint64_t bootstrap_bytes_per_s; /* 0: as fast as it goes */
	struct replica_counters before; /* of this process, before it served anew */
};

/* Makes the core and starts the thread. A node that is alone in its shard leads from here on. As
 * replica_new(), or the errno of what could not be started. */
int replication_new(const struct replication_options *options, struct replication **ret);
/* Ends thread and core. Nobody waits any more: replication_drain() saw to it. */
struct replication *replication_free(struct replication *replication);

/* What has to be known for each request, and costs next to nothing. */
struct replication_role {
	enum replica_role role;
	bool reads; /* its records may be read, however old they are */
	int leader; /* place in the shard; -1: unknown */
	uint64_t fresh_ms; /* what was acknowledged before this time is here; 0: unknown */
};
struct replication_role replication_role(struct replication *replication);
/* The whole of it. */
void replication_view(struct replication *replication, struct replica_view *ret_view);

/* A worker of @server has started or has ended. In between the core may have the program serve anew
 * (server_restart()). */
void replication_attach(struct replication *replication, struct server *server);
void replication_detach(struct replication *replication);
/* Answers at once whatever waits, and whatever comes from now on. */
void replication_drain(struct replication *replication);

/* A message of another node. Belongs to the replication until done(). */
struct replication_question {
	struct loop *loop;
	void (*done)(struct replication_question *); /* in the thread of @loop */
	struct buf message; /* the question, then the answer; empty: the node shuts down */

	struct replication *replication;
	uint64_t id;
	struct loop_task asked, answered;
	struct replication_question *next, *previous;
};
void replication_ask(struct replication *replication, struct replication_question *question);

/* Somebody wants this node to lead. Belongs to the replication until done(). */
struct replication_promotion {
	struct loop *loop;
	bool force;
	void (*done)(struct replication_promotion *); /* in the thread of @loop */
	enum outcome outcome;
	struct buf sentence; /* NUL-terminated, or empty */

	struct replication *replication;
	struct loop_task asked, answered;
};
void replication_promote(struct replication *replication, struct replication_promotion *promotion);

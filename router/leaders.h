/* SPDX-License-Identifier: MIT */
/*
 * What the router knows of who leads which shard, and which followers may be read instead. It
 * believes the highest epoch that it has heard of. Until it has heard anything it supposes that the
 * cluster file is right.
 * Threads: any.
 */
#pragma once

#include "lib/cluster.h"

#include <stdbool.h>
#include <stdint.h>

/* How long after the loss of a leader requests wait for one, instead of being refused at once. */
#define LEADERS_WAIT_MS 5000

struct leaders;

/* What a node says of itself (GET /role). */
struct leaders_role {
	char role[16];
	bool leads;
	bool reads; /* it answers reads that may be stale */
	uint64_t epoch;
	int64_t staleness_ms; /* -1: it does not know */
};

/* @cluster outlives it. NULL: out of memory. */
struct leaders *leaders_new(const struct cluster *cluster);
struct leaders *leaders_free(struct leaders *leaders);

void leaders_heard(struct leaders *leaders, const struct cluster_node *node,
		   const struct leaders_role *role);
/* The node answers, but does not say what it is, as nodes did that had no followers. */
void leaders_heard_nothing(struct leaders *leaders, const struct cluster_node *node);
/* It can't be reached, or has not said in time what it is. */
void leaders_lost(struct leaders *leaders, const struct cluster_node *node);
/* It has refused a request because another leads. */
void leaders_refused(struct leaders *leaders, const struct cluster_node *node);
/* Something is wrong somewhere: nodes are to be asked at once. */
void leaders_doubt(struct leaders *leaders);
/* Whether somebody has, since the last call. */
bool leaders_take_doubt(struct leaders *leaders);

/* The newest leader that is known, never NULL; *ret_leads: as far as is known it leads now. */
const struct cluster_node *leaders_leader(struct leaders *leaders, unsigned shard, bool *ret_leads);
/* One that may be read, another one each time: a follower, or (@with_leader) the leader. NULL:
 * none.
 */
const struct cluster_node *leaders_reader(struct leaders *leaders, unsigned shard,
					  bool with_leader);
/* When the shard lost its leader, clock_monotonic_ms(); 0: it has one. */
uint64_t leaders_lost_ms(struct leaders *leaders, unsigned shard);
/* Whether a shard has lost its leader so lately that requests wait. */
bool leaders_is_waited_for(struct leaders *leaders);
/* Differs after every change of what is known. */
uint64_t leaders_generation(struct leaders *leaders);

struct leaders_view {
	struct leaders_role role; /* as it said last */
	bool heard; /* and it was heard lately */
};

void leaders_view(struct leaders *leaders, const struct cluster_node *node,
		  struct leaders_view *ret_view);
/* The epoch of the newest leader of the shard; 0: not known. */
uint64_t leaders_epoch(struct leaders *leaders, unsigned shard);
/* How often a shard got another leader. */
uint64_t leaders_changes(struct leaders *leaders);

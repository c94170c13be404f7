/* SPDX-License-Identifier: MIT */
/*
 * One request of the router to a node: where it goes, which fields travel, what is counted and
 * logged about it, and what the client is told when the node fails.
 *
 * A hop is for a shard: a write goes to its leader; a read, too, or to a follower, as HexKV-Read
 * asks and as far as there is a leader. While there is nobody to go to it waits
 * (router/hop_wait.c), a bounded time; and what is held whole goes on to another node if the first
 * one turns out not to lead.
 *
 * Ownership: embedded in its user, in place from hop_start() to done() or hop_deinit().
 * Threads: the worker's.
 */
#pragma once

#include "lib/call.h"
#include "router/service.h"

#define HOP_TARGET_MAX 512

enum hop_way {
	HOP_NODE, /* to this node and no other */
	HOP_WRITE,
	HOP_READ, /* of the leader, or, marked as stale, of a follower while there is none */
	HOP_READ_LEADER,
	HOP_READ_ANY,
};

struct hop {
	struct call call;
	struct service *service;
	const struct cluster_node *node; /* that is asked, or was, or would be; never NULL */
	unsigned shard;
	enum hop_way way;
	uint64_t started_ns;
	uint64_t deadline_ms; /* for all tries together */
	uint64_t wait_until_ms; /* for somebody to go to */
	char target[HOP_TARGET_MAX];
	bool under_way; /* the call is, or the hop waits for a node to call */
	bool waiting;
	bool movable; /* a read that has no answer yet: may go to another node */
	bool stale; /* a follower is asked though the leader was meant */
	bool nobody; /* it has waited in vain */
	bool refused; /* the node does not lead: 421, or 503 with HexKV-Leader */
	bool maybe_applied; /* an earlier try may have been */
	bool resent; /* to be seen as sent twice: the first time may have been applied */
	unsigned tries;
	unsigned refusals; /* 421 in a row, of this node */
	struct hop *previous, *next; /* in service->hops, if it waits or is movable */
};

/* Prepares call.method, handler, state, timeout; the target is set by the caller or with
 * hop_target_key(). */
void hop_init(struct hop *hop, struct service *service, unsigned shard, enum method method,
	      const struct call_handler *handler, void *state);
/* Of this node and no other. */
void hop_init_node(struct hop *hop, struct service *service, const struct cluster_node *node,
		   enum method method, const struct call_handler *handler, void *state);
void hop_target_key(struct hop *hop, const struct key *key);
/* The end-to-end fields of a client's request: all but the token, which is the client's own. */
int hop_copy_fields(struct hop *hop, const struct fields *from);
/* 0, and done() will come; -ENOMEM; -EBUSY: too many wait for the node. The fields must be complete
 * (HexKV-Read says where to). */
int hop_start(struct hop *hop);
/* HexKV-Read is absent, leader or any. */
bool hop_read_is_understood(const struct fields *request);
/* First thing in every head(): sees whether the node leads, marks what is stale. */
void hop_head(struct hop *hop, unsigned status, struct fields *fields);
/* Tells the client of hop_start()'s @error. */
void hop_reply_not_sent(const struct hop *hop, struct exchange *ex, int error);
/* First thing in every done(): counts, logs, and remembers whether the request may have been
 * applied. */
void hop_ended(struct hop *hop, enum outcome result, bool maybe_applied);
/* After hop_ended(): sends it again if that is safe and of use. After the node broke off: once,
 * reads, and writes whose request id makes them apply once. When the node does not lead or can't be
 * reached nothing was applied. Never a body that is not held whole. */
bool hop_again(struct hop *hop, enum outcome result);
/* Cancels what is under way and frees the fields. */
void hop_deinit(struct hop *hop);

/* Tells the client that the node failed (@result is not OUTCOME_OK). */
void hop_reply_failure(const struct hop *hop, struct exchange *ex, enum outcome result);
/* An answer that the client must not see as its own: the node refuses the router (its token, its
 * cluster file). True if it was one; the client has been answered. */
bool hop_reply_refused(const struct hop *hop, struct exchange *ex, unsigned status);
/* Takes from a node's answer what only concerns the hop. */
void hop_clean_fields(struct fields *fields);

static inline bool method_is_write(enum method method)
{
	return method != METHOD_GET && method != METHOD_HEAD;
}

/* router/hop_wait.c: the list of those that wait or are movable. */
int hop_wait(struct hop *hop);
void hop_watch(struct hop *hop);
void hop_unlink(struct hop *hop);
/* A loop_timer's; of the service. */
void hop_look(struct loop_timer *timer);
/* hop_start() without the clock: goes to whom it may go now, or waits. */
int hop_go(struct hop *hop);

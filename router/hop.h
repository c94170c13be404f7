/* SPDX-License-Identifier: MIT */
/*
 * One request of the router to a node: where it goes, which fields travel, what is counted and
 * logged about it, and what the client is told when the node fails.
 *
 * Ownership: embedded in its user, in place from hop_start() to done() or hop_deinit().
 * Threads: the worker's.
 */
#pragma once

#include "lib/call.h"
#include "router/service.h"

#define HOP_TARGET_MAX 512

struct hop {
	struct call call;
	struct service *service;
	const struct cluster_node *node;
	uint64_t started_ns;
	char target[HOP_TARGET_MAX];
	bool under_way;
	bool maybe_applied; /* an earlier try may have been */
	bool resent;
};

/* Prepares call.method, handler, state, timeout; the target is set by the caller or with
 * hop_target_key(). */
void hop_init(struct hop *hop, struct service *service, const struct cluster_node *node,
	      enum method method, const struct call_handler *handler, void *state);
void hop_target_key(struct hop *hop, const struct key *key);
/* The end-to-end fields of a client's request: all but the token, which is the client's own. */
int hop_copy_fields(struct hop *hop, const struct fields *from);
/* 0, and done() will come; -ENOMEM; -EBUSY: too many wait for the node. */
int hop_start(struct hop *hop);
/* Tells the client of hop_start()'s @error. */
void hop_reply_not_sent(const struct hop *hop, struct exchange *ex, int error);
/* First thing in every done(): counts, logs, and remembers whether the request may have been
 * applied. */
void hop_ended(struct hop *hop, enum outcome result, bool maybe_applied);
/* Sends it again if that is safe: once, after the node broke off, and only what is held whole.
 * Reads are; writes are because their request id makes the node apply them once. */
bool hop_resend(struct hop *hop, enum outcome result);
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

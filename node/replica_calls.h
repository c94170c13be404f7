/* SPDX-License-Identifier: MIT */
/*
 * Messages of the replication core on their way to other nodes of the shard, and the answers: each
 * is a POST /replica over a connection that stays open. Threads: the loop's (or before it runs).
 */
#pragma once

#include "lib/buf.h"
#include "lib/cluster.h"
#include "lib/loop.h"

struct replica_calls;

/* More than the core ever has under way. */
#define REPLICA_CALLS_MAX 512

struct replica_calls_options {
	struct loop *loop;
	const struct cluster_shard *shard;
	const char *token; /* NULL: none. Borrowed */
	/* As replica_answered(). Never from inside replica_calls_send(). */
	void (*answered)(void *state, uint64_t call, int error, const void *message, size_t len);
	void *state;
};

int replica_calls_new(const struct replica_calls_options *options, struct replica_calls **ret);
/* What is under way is given up, without answered(). */
struct replica_calls *replica_calls_free(struct replica_calls *calls);
/* Takes the content of @message. */
void replica_calls_send(struct replica_calls *calls, unsigned place, uint64_t call,
			struct buf *message, uint32_t timeout_ms);

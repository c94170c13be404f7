/* SPDX-License-Identifier: MIT */
/*
 * The network between the nodes of a simulated shard: questions and answers that take their time,
 * overtake each other, get lost, come twice, or find nobody.
 *
 * A call is one question of a node, and ends exactly once: with an answer, or an error. An ask is
 * one arrival of it. Threads: one.
 */
#pragma once

#include "tests/sim/shard_events.h"
#include "tests/sim/shard_random.h"

#define SHARD_NODES_MAX 5

/* What may happen to messages, until it changes. */
struct shard_weather {
	uint64_t delay_us; /* at least */
	uint64_t jitter_us; /* and up to so much more */
	unsigned slow_percent; /* of messages that take longer still */
	uint64_t slow_us;
	unsigned loss_percent;
	unsigned twice_percent;
};

struct shard_net_hooks {
	/* At node @to; false: nobody listens there. */
	bool (*asked)(void *state, unsigned to, uint64_t ask, const struct buf *message);
	/* At node @from, which is the one (in the same life) that called. */
	void (*answered)(void *state, unsigned from, uint64_t call, int error,
			 const struct buf *message);
	/* A message that passed: for whoever looks on. */
	void (*seen)(void *state, unsigned from, unsigned to, const struct buf *message);
};

struct shard_call {
	bool open;
	uint32_t generation;
	unsigned from, to;
	uint64_t core_call; /* the caller's own name for it */
};

struct shard_ask {
	bool open;
	uint32_t generation;
	unsigned node; /* that was asked */
	uint64_t call;
};

struct shard_net {
	struct shard_events *events;
	struct shard_random *random;
	struct shard_net_hooks hooks;
	void *state;
	struct shard_weather weather;
	bool cut[SHARD_NODES_MAX][SHARD_NODES_MAX]; /* from, to */
	bool silent[SHARD_NODES_MAX]; /* nobody there says that nobody listens: calls time out */
	struct shard_call *calls;
	size_t call_count, call_cap;
	struct shard_ask *asks;
	size_t ask_count, ask_cap;
	uint64_t delivered, lost, twice;
};

/* Takes the bytes of @message. */
void shard_net_send(struct shard_net *net, unsigned from, unsigned to, uint64_t core_call,
		    struct buf *message, uint32_t timeout_ms);
/* As above. */
void shard_net_answer(struct shard_net *net, uint64_t ask, struct buf *message);
/* The node's process is gone: its calls are nobody's, and what was asked of it breaks off. */
void shard_net_forget(struct shard_net *net, unsigned node);
uint64_t shard_net_delay(struct shard_net *net);
void shard_net_deinit(struct shard_net *net);

/* SPDX-License-Identifier: MIT */
/*
 * What the router counts, for GET /metrics.
 * Threads: relaxed atomics, updated by every worker.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/metrics.h"

struct router;

enum door { DOOR_JSON, DOOR_OBJECT, DOOR_KEYS, DOOR_ADMIN, DOOR_NONE, DOOR_COUNT };

/* What became of requests to one node. */
struct node_counters {
	_Atomic uint64_t answered;
	_Atomic uint64_t broke_off;
	_Atomic uint64_t timed_out;
	_Atomic uint64_t unavailable;
	_Atomic uint64_t resent;
};

struct counters {
	_Atomic uint64_t requests[DOOR_COUNT][METHOD_POST + 1]; /* [0]: other methods */
	_Atomic uint64_t json_refused;
	_Atomic uint64_t stale_reads, moved_on;
	_Atomic uint64_t moves_across, moves_copied_again;
	struct histogram hop;
	struct node_counters *nodes; /* in cluster order */
};

/* -ENOMEM */
int counters_init(struct counters *counters, unsigned nodes);
void counters_deinit(struct counters *counters);
static inline void counter_add(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}
void counters_request(struct counters *counters, enum door door, enum method method);
/* All families; metrics_end() is the caller's. */
int counters_print(struct router *router, struct buf *out);

/* SPDX-License-Identifier: MIT */
/*
 * What all workers of the router share.
 * Threads: immutable while workers run, but for the parts that are atomic.
 */
#pragma once

#include "lib/cluster.h"
#include "lib/record.h"
#include "router/budget.h"
#include "router/counters.h"
#include "router/leaders.h"

#include <stdbool.h>
#include <stdint.h>

/* A body of at most this many bytes is held whole and travels by frame; a longer one streams. */
#define ROUTER_WHOLE_MAX VALUE_SMALL_MAX
/* One body through the JSON door, either way, and all of them together. */
#define ROUTER_JSON_BODY_MAX  (16u << 20)
#define ROUTER_JSON_TOTAL_MAX (64u << 20)

struct router {
	struct cluster *cluster;
	unsigned node_count;
	const char *token; /* borrowed; shown to the nodes; NULL: none */
	unsigned node_timeout_ms;
	bool listing; /* false: GET /keys is refused */
	uint64_t started_ms;

	struct leaders *leaders;
	struct budget json; /* bytes of JSON bodies and their values in memory */
	struct counters counters;
};

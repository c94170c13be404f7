/* SPDX-License-Identifier: MIT */
/*
 * What this node has answered: a counter for each method and status, a latency histogram for each
 * method. Threads: counting from any thread; the text may see the counters a little apart.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/metrics.h"

#define TRAFFIC_METHODS  8
#define TRAFFIC_STATUSES 600

/* Zero-initialised. */
struct traffic {
	_Atomic uint64_t answers[TRAFFIC_METHODS][TRAFFIC_STATUSES];
	struct histogram latency[TRAFFIC_METHODS];
};

void traffic_count(struct traffic *traffic, enum method method, unsigned status, uint64_t ns);
uint64_t traffic_total(const struct traffic *traffic);
/* Appends the families hexkv_node_answers and hexkv_node_answer_seconds. 0 or -ENOMEM. */
int traffic_metrics(const struct traffic *traffic, struct buf *out);

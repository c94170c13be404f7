/* SPDX-License-Identifier: MIT */
#include "node/traffic.h"

#include <stdio.h>

/* Slot 0 holds every method that the protocol does not know. */
static unsigned method_slot(enum method method)
{
	return method < TRAFFIC_METHODS ? (unsigned)method : 0;
}

static const char *slot_name(unsigned slot)
{
	return slot ? method_name((enum method)slot) : "other";
}

void traffic_count(struct traffic *traffic, enum method method, unsigned status, uint64_t ns)
{
	unsigned slot = method_slot(method);

	if (status >= TRAFFIC_STATUSES)
		status = 0;
	atomic_fetch_add_explicit(&traffic->answers[slot][status], 1, memory_order_relaxed);
	histogram_observe(&traffic->latency[slot], ns);
}

uint64_t traffic_total(const struct traffic *traffic)
{
	uint64_t total = 0;

	for (unsigned slot = 0; slot < TRAFFIC_METHODS; slot++)
		total += atomic_load_explicit(&traffic->latency[slot].count, memory_order_relaxed);
	return total;
}

static int answer_samples(const struct traffic *traffic, unsigned slot, struct buf *out)
{
	char labels[64];
	uint64_t count;
	int r;

	for (unsigned status = 0; status < TRAFFIC_STATUSES; status++) {
		count = atomic_load_explicit(&traffic->answers[slot][status], memory_order_relaxed);
		if (count == 0)
			continue;
		snprintf(labels, sizeof(labels), "method=\"%s\",code=\"%u\"", slot_name(slot),
			 status);
		r = metrics_sample_u64(out, "hexkv_node_answers", "_total", labels, count);
		if (r < 0)
			return r;
	}
	return 0;
}

static int latency_samples(const struct traffic *traffic, unsigned slot, struct buf *out)
{
	const struct histogram *latency = &traffic->latency[slot];
	char labels[32];

	if (atomic_load_explicit(&latency->count, memory_order_relaxed) == 0)
		return 0;
	snprintf(labels, sizeof(labels), "method=\"%s\"", slot_name(slot));
	return metrics_histogram(out, "hexkv_node_answer_seconds", labels, latency);
}

int traffic_metrics(const struct traffic *traffic, struct buf *out)
{
	int r;

	r = metrics_family(out, "hexkv_node_answers", "counter", "Answers by method and status.");
	for (unsigned slot = 0; r >= 0 && slot < TRAFFIC_METHODS; slot++)
		r = answer_samples(traffic, slot, out);
	if (r >= 0)
		r = metrics_family(out, "hexkv_node_answer_seconds", "histogram",
				   "Time from the head of a request to its answer.");
	for (unsigned slot = 0; r >= 0 && slot < TRAFFIC_METHODS; slot++)
		r = latency_samples(traffic, slot, out);
	return r < 0 ? r : 0;
}

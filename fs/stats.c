/* SPDX-License-Identifier: MIT */
#include "fs/stats.h"

#include "lib/clock.h"

#include <linux/fuse.h>
#include <string.h>

struct stats stats;

/* What this thread serves. */
static _Thread_local struct {
	uint64_t unique; /* 0: nothing */
	uint32_t opcode;
	uint64_t began_ns;
} serving;

static void add(_Atomic uint64_t *counter, uint64_t more)
{
	atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

void stats_count(enum stats_counter counter, uint64_t more)
{
	add(&stats.counters[counter], more);
}

void stats_gauge_add(enum stats_gauge gauge, int64_t more)
{
	atomic_fetch_add_explicit(&stats.gauges[gauge], more, memory_order_relaxed);
}

static bool is_answered(uint32_t opcode)
{
	return opcode != FUSE_FORGET && opcode != FUSE_BATCH_FORGET && opcode != FUSE_INTERRUPT;
}

static void serving_ends(void)
{
	if (serving.unique == 0)
		return;
	serving.unique = 0;
	stats_gauge_add(STATS_OPERATIONS, -1);
}

void stats_operation_read(const void *message, size_t len)
{
	struct fuse_in_header header;

	/* One that nobody will be answered any more. */
	serving_ends();
	if (len < sizeof(header))
		return;
	memcpy(&header, message, sizeof(header));
	if (header.opcode >= STATS_OPCODES)
		return;
	add(&stats.operations[header.opcode].read, 1);
	if (!is_answered(header.opcode))
		return;
	serving.unique = header.unique;
	serving.opcode = header.opcode;
	serving.began_ns = clock_monotonic_ns();
	stats_gauge_add(STATS_OPERATIONS, 1);
	if (header.opcode == FUSE_WRITE && len > sizeof(header) + sizeof(struct fuse_write_in))
		stats_count(STATS_WRITTEN_BYTES,
			    len - sizeof(header) - sizeof(struct fuse_write_in));
}

void stats_operation_answered(const void *answer, size_t len)
{
	struct stats_operation *operation;
	struct fuse_out_header header;
	int error;

	if (len < sizeof(header))
		return;
	memcpy(&header, answer, sizeof(header));
	if (serving.unique == 0 || header.unique != serving.unique)
		return;
	operation = &stats.operations[serving.opcode];
	error = -header.error;
	latency_observe(&operation->latency, clock_monotonic_ns() - serving.began_ns);
	if (error > 0)
		add(&operation->errors[error < STATS_ERRNOS ? error : 0], 1);
	else if (serving.opcode == FUSE_READ)
		stats_count(STATS_READ_BYTES, header.len - sizeof(header));
	serving_ends();
}

static enum stats_door door_of(const char *target)
{
	if (strncmp(target, "/kv/", 4) == 0)
		return STATS_DOOR_OBJECT;
	return strncmp(target, "/keys", 5) == 0 ? STATS_DOOR_KEYS : STATS_DOOR_ADMIN;
}

void stats_attempted(const struct stats_attempt *attempt)
{
	unsigned method = attempt->method < STATS_METHODS ? attempt->method : 0;
	struct stats_requests *requests = &stats.requests[door_of(attempt->target)][method];

	add(&requests->attempts, 1);
	if (attempt->again)
		add(&requests->repeated, 1);
	if (attempt->result < 0)
		add(&requests->errors[-attempt->result < STATS_ERRNOS ? -attempt->result : 0], 1);
	else
		add(&requests->answers[attempt->status < STATS_STATUSES ? attempt->status : 0], 1);
	latency_observe(&requests->latency, attempt->took_ns);
}

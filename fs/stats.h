/* SPDX-License-Identifier: MIT */
/*
 * What the mount counts, for the file .stats: one set for the process, so that any module counts
 * with one call. fs/stats_text writes it out.
 * Threads: relaxed atomics, any.
 */
#pragma once

#include "fs/latency.h"
#include "lib/exchange.h"

#include <stddef.h>

enum stats_counter {
	STATS_READ_BYTES, /* answered to programs */
	STATS_WRITTEN_BYTES, /* taken from programs */
	STATS_SENT_BYTES, /* bodies to the router */
	STATS_RECEIVED_BYTES, /* bodies from the router */
	STATS_NAME_HITS, /* look-ups and opens answered without a question to the router */
	STATS_NAME_MISSES,
	STATS_VERSION_HITS, /* conditional questions: the version is still the same */
	STATS_VERSION_MISSES,
	STATS_VALUE_HITS, /* reads of small values: at hand, or to be fetched */
	STATS_VALUE_MISSES,
	STATS_BLOCK_HITS, /* sequential reads: read ahead already, or waited for */
	STATS_BLOCK_MISSES,
	STATS_COUNTERS,
};

/* What there is now. */
enum stats_gauge {
	STATS_OPEN_FILES,
	STATS_UPLOADS, /* values on their way to the router */
	STATS_STAGING_FILES,
	STATS_STAGED_BYTES,
	STATS_READ_AHEAD_BLOCKS,
	STATS_PINS,
	STATS_OPERATIONS, /* of the kernel, being served */
	STATS_GAUGES,
};

void stats_count(enum stats_counter counter, uint64_t more);
void stats_gauge_add(enum stats_gauge gauge, int64_t more);

/* A request of the kernel, as it was read and as it is answered, both in the thread that serves it.
 * What is not whole, and answers to others, are passed over. */
void stats_operation_read(const void *message, size_t len);
void stats_operation_answered(const void *header, size_t len);

/* One attempt at a request to the router. */
struct stats_attempt {
	enum method method;
	const char *target; /* path and query */
	bool again; /* the request was attempted before */
	int result; /* 0: there was an answer; negative errno */
	unsigned status;
	uint64_t took_ns;
};
void stats_attempted(const struct stats_attempt *attempt);

/* For fs/stats_text, and for tests. */

#define STATS_OPCODES  64
#define STATS_ERRNOS   134
#define STATS_STATUSES 600
#define STATS_METHODS  (METHOD_POST + 1)

enum stats_door { STATS_DOOR_OBJECT, STATS_DOOR_KEYS, STATS_DOOR_ADMIN, STATS_DOORS };

struct stats_operation {
	_Atomic uint64_t read;
	_Atomic uint64_t errors[STATS_ERRNOS];
	struct latency latency;
};

struct stats_requests {
	_Atomic uint64_t attempts;
	_Atomic uint64_t repeated;
	_Atomic uint64_t answers[STATS_STATUSES];
	_Atomic uint64_t errors[STATS_ERRNOS];
	struct latency latency;
};

struct stats {
	_Atomic uint64_t counters[STATS_COUNTERS];
	_Atomic int64_t gauges[STATS_GAUGES];
	struct stats_operation operations[STATS_OPCODES];
	struct stats_requests requests[STATS_DOORS][STATS_METHODS]; /* method 0: any other */
};
extern struct stats stats;

/* SPDX-License-Identifier: MIT */
/*
 * What will happen in a simulation, in the order of its time; at one time in the order in which it
 * was planned. Memory running out ends the process. Threads: one.
 */
#pragma once

#include "lib/buf.h"

#include <stdbool.h>

struct shard_event {
	uint64_t at_us;
	uint64_t order;
	void (*run)(void *state, struct shard_event *event);
	void *state;
	unsigned node;
	uint64_t numbers[3]; /* what they mean is run()'s business */
	struct buf bytes; /* freed with the event */
};

struct shard_events {
	uint64_t now_us;
	uint64_t planned; /* so far */
	struct shard_event **heap;
	size_t count, cap;
};

/* The returned event may be filled in until the next call; it is the queue's. */
struct shard_event *shard_events_add(struct shard_events *events, uint64_t at_us,
				     void (*run)(void *, struct shard_event *), void *state);
/* Runs the next event that is due before @until_us and sets the time to its. False: there is none,
 * and the time is @until_us. */
bool shard_events_step(struct shard_events *events, uint64_t until_us);
void shard_events_deinit(struct shard_events *events);

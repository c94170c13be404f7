/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_events.h"

#include <stdlib.h>

static bool is_before(const struct shard_event *a, const struct shard_event *b)
{
	return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void swap(struct shard_events *events, size_t a, size_t b)
{
	struct shard_event *event = events->heap[a];

	events->heap[a] = events->heap[b];
	events->heap[b] = event;
}

static void rise(struct shard_events *events, size_t at)
{
	while (at > 0 && is_before(events->heap[at], events->heap[(at - 1) / 2])) {
		swap(events, at, (at - 1) / 2);
		at = (at - 1) / 2;
	}
}

static void sink(struct shard_events *events)
{
	size_t at = 0;

	for (;;) {
		size_t first = at;

		for (size_t child = 2 * at + 1; child <= 2 * at + 2; child++)
			if (child < events->count &&
			    is_before(events->heap[child], events->heap[first]))
				first = child;
		if (first == at)
			return;
		swap(events, at, first);
		at = first;
	}
}

struct shard_event *shard_events_add(struct shard_events *events, uint64_t at_us,
				     void (*run)(void *, struct shard_event *), void *state)
{
	struct shard_event *event = calloc(1, sizeof(*event));

	if (events->count == events->cap) {
		events->cap = events->cap ? events->cap * 2 : 64;
		events->heap = realloc(events->heap, events->cap * sizeof(struct shard_event *));
	}
	if (!event || !events->heap)
		abort();
	event->at_us = at_us > events->now_us ? at_us : events->now_us;
	event->order = events->planned++;
	event->run = run;
	event->state = state;
	events->heap[events->count++] = event;
	rise(events, events->count - 1);
	return event;
}

static void event_free(struct shard_event *event)
{
	buf_deinit(&event->bytes);
	free(event);
}

bool shard_events_step(struct shard_events *events, uint64_t until_us)
{
	struct shard_event *event;

	if (events->count == 0 || events->heap[0]->at_us >= until_us) {
		events->now_us = until_us;
		return false;
	}
	event = events->heap[0];
	events->heap[0] = events->heap[--events->count];
	sink(events);
	events->now_us = event->at_us;
	event->run(event->state, event);
	event_free(event);
	return true;
}

void shard_events_deinit(struct shard_events *events)
{
	for (size_t i = 0; i < events->count; i++)
		event_free(events->heap[i]);
	free(events->heap);
	*events = (struct shard_events){ 0 };
}

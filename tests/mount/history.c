/* SPDX-License-Identifier: MIT */
#include "tests/mount/history.h"

#include "lib/clock.h"
#include "tests/mount/report.h"

#include <stdlib.h>

struct history_entry {
	uint64_t from_ns;
	uint64_t to_ns; /* UINT64_MAX until it is acknowledged */
	bool removes;
	bool holds;
};

/* The first entry is that there was nothing. */
void history_init(struct history *history, const char *key)
{
	mutex_init(&history->lock);
	history->key = key;
	history_acknowledge(history, history_begin(history, true), true);
}

void history_deinit(struct history *history)
{
	free(history->entries);
	mutex_deinit(&history->lock);
}

uint64_t history_begin(struct history *history, bool removes)
{
	uint64_t write;

	mutex_lock(&history->lock);
	if (history->count == history->room) {
		history->room = history->room * 2 + 64;
		history->entries =
			realloc(history->entries, history->room * sizeof(history->entries[0]));
		if (!history->entries)
			report_fail("out of memory");
	}
	write = history->count++;
	history->entries[write] = (struct history_entry){
		.from_ns = clock_monotonic_ns(),
		.to_ns = UINT64_MAX,
		.removes = removes,
	};
	mutex_unlock(&history->lock);
	return write;
}

void history_acknowledge(struct history *history, uint64_t write, bool holds)
{
	mutex_lock(&history->lock);
	history->entries[write].to_ns = clock_monotonic_ns();
	history->entries[write].holds = holds;
	mutex_unlock(&history->lock);
}

/* When the last of those began that were over before @from_ns: its number. */
static size_t newest_before_locked(const struct history *history, uint64_t from_ns)
	REQUIRES(&history->lock)
{
	size_t newest = 0;

	for (size_t i = 1; i < history->count; i++) {
		const struct history_entry *entry = &history->entries[i];

		if (entry->holds && entry->to_ns < from_ns &&
		    entry->from_ns > history->entries[newest].from_ns)
			newest = i;
	}
	return newest;
}

static bool fits(const struct history_entry *entry, const struct history_entry *newest,
		 uint64_t to_ns)
{
	return entry->from_ns < to_ns && entry->to_ns >= newest->from_ns;
}

void history_check(struct history *history, uint64_t write, uint64_t from_ns, uint64_t to_ns,
		   const char *who)
{
	size_t newest;

	mutex_lock(&history->lock);
	if (write >= history->count || history->entries[write].removes)
		report_fail("%s: %s holds version %llu, which nobody wrote", who, history->key,
			    (unsigned long long)write);
	newest = newest_before_locked(history, from_ns);
	if (!fits(&history->entries[write], &history->entries[newest], to_ns))
		report_fail("%s: %s holds version %llu (acknowledged at %llu), although version "
			    "%zu%s (begun at %llu) was acknowledged at %llu, before the open at "
			    "%llu",
			    who, history->key, (unsigned long long)write,
			    (unsigned long long)history->entries[write].to_ns, newest,
			    history->entries[newest].removes ? ", a removal" : "",
			    (unsigned long long)history->entries[newest].from_ns,
			    (unsigned long long)history->entries[newest].to_ns,
			    (unsigned long long)from_ns);
	mutex_unlock(&history->lock);
}

void history_check_absent(struct history *history, uint64_t from_ns, uint64_t to_ns,
			  const char *who)
{
	bool found = false;
	size_t newest;

	mutex_lock(&history->lock);
	newest = newest_before_locked(history, from_ns);
	for (size_t i = 0; i < history->count && !found; i++)
		found = history->entries[i].removes &&
			fits(&history->entries[i], &history->entries[newest], to_ns);
	if (!found)
		report_fail("%s: there is no %s, although version %zu was acknowledged at %llu, "
			    "before the open at %llu",
			    who, history->key, newest,
			    (unsigned long long)history->entries[newest].to_ns,
			    (unsigned long long)from_ns);
	mutex_unlock(&history->lock);
}

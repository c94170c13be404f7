/* SPDX-License-Identifier: MIT */
#include "fs/doubt.h"

#include "lib/clock.h"
#include "lib/hash.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_SLICE_MS 50

struct doubt_entry {
	struct doubt_entry *next_of_bucket;
	struct doubt_entry *older, *newer; /* of those in doubt */
	bool under_way;
	bool in_doubt;
	struct doubt doubt;
	char key[];
};

void doubts_init(struct doubts *doubts)
{
	mutex_init(&doubts->lock);
	condition_init(&doubts->changed);
}

void doubts_deinit(struct doubts *doubts)
{
	for (unsigned i = 0; i < DOUBTS_BUCKETS; i++) {
		while (doubts->buckets[i]) {
			struct doubt_entry *entry = doubts->buckets[i];

			doubts->buckets[i] = entry->next_of_bucket;
			free(entry);
		}
	}
	condition_deinit(&doubts->changed);
	mutex_deinit(&doubts->lock);
}

/* Where the entry of @key is, or would be. */
static struct doubt_entry **place_locked(struct doubts *doubts, const char *key)
	REQUIRES(&doubts->lock)
{
	struct doubt_entry **at = &doubts->buckets[hash64(key, strlen(key), 0) % DOUBTS_BUCKETS];

	while (*at && strcmp((*at)->key, key) != 0)
		at = &(*at)->next_of_bucket;
	return at;
}

static void clear_doubt_locked(struct doubts *doubts, struct doubt_entry *entry)
	REQUIRES(&doubts->lock)
{
	if (!entry->in_doubt)
		return;
	*(entry->older ? &entry->older->newer : &doubts->oldest) = entry->newer;
	*(entry->newer ? &entry->newer->older : &doubts->newest) = entry->older;
	entry->older = entry->newer = NULL;
	entry->in_doubt = false;
	doubts->count--;
}

static void remove_idle_locked(struct doubts *doubts, struct doubt_entry **at)
	REQUIRES(&doubts->lock)
{
	struct doubt_entry *entry = *at;

	(void)doubts;
	if (entry->under_way || entry->in_doubt)
		return;
	*at = entry->next_of_bucket;
	free(entry);
}

static void forget_oldest_locked(struct doubts *doubts) REQUIRES(&doubts->lock)
{
	struct doubt_entry *entry = doubts->oldest;

	log_warn("a write without an answer is forgotten", "key=%s", entry->key);
	clear_doubt_locked(doubts, entry);
	remove_idle_locked(doubts, place_locked(doubts, entry->key));
}

static void set_doubt_locked(struct doubts *doubts, struct doubt_entry *entry,
			     const struct doubt *doubt) REQUIRES(&doubts->lock)
{
	/* The same as before knows more. */
	if (entry->in_doubt && memcmp(&entry->doubt.id, &doubt->id, sizeof(doubt->id)) == 0)
		return;
	clear_doubt_locked(doubts, entry);
	if (doubts->count == DOUBTS_MAX)
		forget_oldest_locked(doubts);
	entry->doubt = *doubt;
	entry->in_doubt = true;
	entry->older = doubts->newest;
	*(doubts->newest ? &doubts->newest->newer : &doubts->oldest) = entry;
	doubts->newest = entry;
	doubts->count++;
}

bool doubts_find(struct doubts *doubts, const char *key, struct doubt *ret_doubt)
{
	const struct doubt_entry *entry;
	bool found;

	mutex_lock(&doubts->lock);
	entry = *place_locked(doubts, key);
	found = entry && entry->in_doubt;
	if (found)
		*ret_doubt = entry->doubt;
	mutex_unlock(&doubts->lock);
	return found;
}

bool doubts_concern(struct doubts *doubts, const char *key)
{
	bool found;

	mutex_lock(&doubts->lock);
	found = *place_locked(doubts, key);
	mutex_unlock(&doubts->lock);
	return found;
}

static int wait_for_other_locked(struct doubts *doubts, const char *key, uint32_t timeout_ms,
				 const struct interrupt *interrupt) REQUIRES(&doubts->lock)
{
	uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
	const struct doubt_entry *entry;
	int r = 0;

	while (r == 0 && (entry = *place_locked(doubts, key)) && entry->under_way) {
		condition_wait_until(&doubts->changed, &doubts->lock,
				     clock_monotonic_ms() + WAIT_SLICE_MS);
		mutex_unlock(&doubts->lock);
		if (interrupt_raised(interrupt))
			r = -EINTR;
		else if (clock_monotonic_ms() >= deadline_ms)
			r = -ETIMEDOUT;
		mutex_lock(&doubts->lock);
	}
	return r;
}

static int begin_locked(struct doubts *doubts, const char *key, const struct request_id *id)
	REQUIRES(&doubts->lock)
{
	struct doubt_entry **at = place_locked(doubts, key);
	size_t len = strlen(key);

	if (*at && (*at)->in_doubt && memcmp(&(*at)->doubt.id, id, sizeof(*id)) != 0)
		return DOUBT_OTHER;
	if (!*at) {
		struct doubt_entry *entry = calloc(1, sizeof(*entry) + len + 1);

		if (!entry)
			return -ENOMEM;
		memcpy(entry->key, key, len + 1);
		*at = entry;
	}
	(*at)->under_way = true;
	return 0;
}

int doubts_begin(struct doubts *doubts, const char *key, const struct request_id *id,
		 uint32_t timeout_ms, const struct interrupt *interrupt)
{
	int r;

	mutex_lock(&doubts->lock);
	r = wait_for_other_locked(doubts, key, timeout_ms, interrupt);
	if (r == 0)
		r = begin_locked(doubts, key, id);
	mutex_unlock(&doubts->lock);
	return r;
}

void doubts_end(struct doubts *doubts, const char *key, const struct doubt *open)
{
	struct doubt_entry **at;

	mutex_lock(&doubts->lock);
	at = place_locked(doubts, key);
	(*at)->under_way = false;
	if (open)
		set_doubt_locked(doubts, *at, open);
	remove_idle_locked(doubts, place_locked(doubts, key));
	condition_broadcast(&doubts->changed);
	mutex_unlock(&doubts->lock);
}

void doubts_settled(struct doubts *doubts, const char *key, const struct request_id *id)
{
	struct doubt_entry **at;

	mutex_lock(&doubts->lock);
	at = place_locked(doubts, key);
	if (*at && (*at)->in_doubt && memcmp(&(*at)->doubt.id, id, sizeof(*id)) == 0) {
		clear_doubt_locked(doubts, *at);
		remove_idle_locked(doubts, at);
	}
	mutex_unlock(&doubts->lock);
}

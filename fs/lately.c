/* SPDX-License-Identifier: MIT */
#include "fs/lately.h"

#include "lib/clock.h"
#include "lib/hash.h"

#include <string.h>

static uint64_t hash_of(const char *name)
{
	return hash64(name, strlen(name), 0);
}

void lately_init(struct lately *lately)
{
	memset(lately->slots, 0, sizeof(lately->slots));
	mutex_init(&lately->lock);
}

void lately_deinit(struct lately *lately)
{
	mutex_deinit(&lately->lock);
}

static void note(struct lately *lately, const char *name, bool removed, struct version version)
{
	uint64_t hash = hash_of(name);
	size_t i = hash % LATELY_SLOTS;

	mutex_lock(&lately->lock);
	lately->slots[i].hash = hash;
	lately->slots[i].at_ms = clock_monotonic_ms();
	lately->slots[i].removed = removed;
	lately->slots[i].version = version;
	mutex_unlock(&lately->lock);
}

void lately_stored(struct lately *lately, const char *name, struct version version)
{
	note(lately, name, false, version);
}

void lately_removed(struct lately *lately, const char *name)
{
	note(lately, name, true, (struct version){ 0 });
}

static bool is_older_locked(const struct lately *lately, size_t i, const struct version *found)
	REQUIRES(&lately->lock)
{
	if (lately->slots[i].removed)
		return found != NULL;
	return !found || version_compare(*found, lately->slots[i].version) < 0;
}

bool lately_contradicts(struct lately *lately, const char *name, uint64_t holds_ms,
			const struct version *found)
{
	uint64_t hash = hash_of(name);
	size_t i = hash % LATELY_SLOTS;
	bool contradicts;

	mutex_lock(&lately->lock);
	contradicts = lately->slots[i].hash == hash && lately->slots[i].at_ms > 0 &&
		      lately->slots[i].at_ms >= holds_ms && is_older_locked(lately, i, found);
	mutex_unlock(&lately->lock);
	return contradicts;
}

void lately_heard(struct lately *lately, const char *name, uint64_t asked_ms,
		  const struct version *found)
{
	uint64_t hash = hash_of(name);
	size_t i = hash % LATELY_SLOTS;

	mutex_lock(&lately->lock);
	/* What was done since it was asked it could not know. */
	if (lately->slots[i].hash == hash && lately->slots[i].at_ms < asked_ms &&
	    is_older_locked(lately, i, found))
		lately->slots[i].at_ms = 0;
	mutex_unlock(&lately->lock);
}

void lately_forget(struct lately *lately, const char *name)
{
	uint64_t hash = hash_of(name);
	size_t i = hash % LATELY_SLOTS;

	mutex_lock(&lately->lock);
	if (lately->slots[i].hash == hash)
		lately->slots[i].at_ms = 0;
	mutex_unlock(&lately->lock);
}

/* SPDX-License-Identifier: MIT */
#include "fs/removals.h"

#include "lib/clock.h"
#include "lib/hex.h"
#include "lib/record.h"

#include <errno.h>
#include <string.h>

/* Within a second a node syncs what it acknowledged from memory, by itself. */
#define SYNCED_AFTER_MS 10000

void removals_init(struct removals *removals)
{
	mutex_init(&removals->lock);
}

void removals_deinit(struct removals *removals)
{
	mutex_deinit(&removals->lock);
}

void removals_note(struct removals *removals, const char *key)
{
	uint8_t bytes[KEY_BYTES_MAX];
	size_t len = strlen(key);
	unsigned slot;

	if (len > 2 * sizeof(bytes) || hex_decode(key, len, bytes) < 0)
		return;
	slot = hash_slot(bytes, len / 2);
	mutex_lock(&removals->lock);
	memcpy(removals->slots[slot].key, key, len + 1);
	removals->slots[slot].at_ms = clock_monotonic_ms();
	mutex_unlock(&removals->lock);
}

static int sync_slot(struct removals *removals, unsigned slot, struct remote *remote,
		     const struct interrupt *interrupt)
{
	char key[NAME_BYTES_MAX + 1];
	uint64_t at_ms;
	int r;

	mutex_lock(&removals->lock);
	at_ms = removals->slots[slot].at_ms;
	memcpy(key, removals->slots[slot].key, sizeof(key));
	mutex_unlock(&removals->lock);
	if (at_ms == 0)
		return 0;
	if (clock_monotonic_ms() - at_ms < SYNCED_AFTER_MS) {
		/* A barrier, whether or not there is a record by that name again. */
		r = remote_barrier(remote, key, NULL, interrupt);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	mutex_lock(&removals->lock);
	if (removals->slots[slot].at_ms == at_ms && strcmp(removals->slots[slot].key, key) == 0)
		removals->slots[slot].at_ms = 0;
	mutex_unlock(&removals->lock);
	return 0;
}

int removals_sync(struct removals *removals, struct remote *remote,
		  const struct interrupt *interrupt)
{
	int r = 0;

	for (unsigned slot = 0; r == 0 && slot < SLOT_COUNT; slot++)
		r = sync_slot(removals, slot, remote, interrupt);
	return r;
}

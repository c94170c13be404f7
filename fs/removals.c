/* SPDX-License-Identifier: MIT */
#include "fs/removals.h"

#include "lib/hex.h"
#include "lib/record.h"

#include <errno.h>
#include <string.h>

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
	removals->slots[slot].number = ++removals->count;
	mutex_unlock(&removals->lock);
}

/* A node syncs by itself within a second, but nobody knows how long a second is for a disk that
 * hangs: what nobody has asked for is never taken for synced. */
static int sync_slot(struct removals *removals, unsigned slot, struct remote *remote,
		     const struct interrupt *interrupt)
{
	char key[NAME_BYTES_MAX + 1];
	uint64_t number;
	int r;

	mutex_lock(&removals->lock);
	number = removals->slots[slot].number;
	memcpy(key, removals->slots[slot].key, sizeof(key));
	mutex_unlock(&removals->lock);
	if (number == 0)
		return 0;
	/* A barrier, whether or not there is a record by that name again. */
	r = remote_barrier(remote, key, NULL, interrupt);
	if (r < 0 && r != -ENOENT)
		return r;
	mutex_lock(&removals->lock);
	if (removals->slots[slot].number == number)
		removals->slots[slot].number = 0;
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

/* SPDX-License-Identifier: MIT */
#include "fs/changes.h"

#include "lib/hash.h"

#include <string.h>

static _Atomic uint64_t *slot_of(struct changes *changes, const char *name)
{
	return &changes->last[hash64(name, strlen(name), 0) % CHANGES_SLOTS];
}

void changes_note(struct changes *changes, const char *name)
{
	_Atomic uint64_t *slot = slot_of(changes, name);
	uint64_t now = atomic_fetch_add(&changes->count, 1) + 1;
	uint64_t last = atomic_load(slot);

	while (last < now && !atomic_compare_exchange_weak(slot, &last, now))
		;
}

uint64_t changes_now(struct changes *changes)
{
	return atomic_load(&changes->count);
}

bool changes_since(struct changes *changes, const char *name, uint64_t then)
{
	return atomic_load(slot_of(changes, name)) > then;
}

/* SPDX-License-Identifier: MIT */
/*
 * Names that were removed and are perhaps not yet off the disk: a removal is acknowledged from
 * memory, as the end of a write is. One name of each slot is enough, since what makes it durable
 * does so with all that its node did before.
 *
 * Threads: locks itself.
 */
#pragma once

#include "fs/names.h"
#include "fs/remote.h"
#include "lib/hash.h"
#include "lib/mutex.h"

struct removals {
	struct mutex lock;
	uint64_t count; /* of removals */
	struct {
		char key[NAME_BYTES_MAX + 1];
		uint64_t number; /* which removal; 0: none */
	} slots[SLOT_COUNT];
};

void removals_init(struct removals *removals);
void removals_deinit(struct removals *removals);
/* @key was removed just now, or perhaps. */
void removals_note(struct removals *removals, const char *key);
/* Returns once all that was noted before is on stable storage. A negative errno, from the outcome
 * table: what is left is still noted. */
int removals_sync(struct removals *removals, struct remote *remote,
		  const struct interrupt *interrupt);

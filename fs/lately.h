/* SPDX-License-Identifier: MIT */
/*
 * What this mount stored and removed lately, so that a follower that answers while there is no
 * leader, and has not got that yet, is not believed about it.
 *
 * Bounded: a name may be forgotten for another one that shares its slot; the follower is believed
 * about it then. Threads: locks itself.
 */
#pragma once

#include "lib/mutex.h"
#include "lib/record.h"

#define LATELY_SLOTS 8192

struct lately {
	struct mutex lock;
	struct {
		uint64_t hash; /* of the name */
		uint64_t at_ms; /* when it was acknowledged; 0: nothing is known */
		bool removed;
		struct version version; /* that was stored; all zero: not known */
	} slots[LATELY_SLOTS];
};

void lately_init(struct lately *lately);
void lately_deinit(struct lately *lately);

/* A change of @name was acknowledged. */
void lately_stored(struct lately *lately, const char *name, struct version version);
void lately_removed(struct lately *lately, const char *name);

/* Whether a follower that has what was acknowledged before @holds_ms, and perhaps more, lacks what
 * was done to @name here: @found (NULL: no record) is of a time before that. */
bool lately_contradicts(struct lately *lately, const char *name, uint64_t holds_ms,
			const struct version *found);
/* The leader was asked about @name at @asked_ms: somebody else changed what it tells otherwise, or
 * a leader that was made one by force lacks it. */
void lately_heard(struct lately *lately, const char *name, uint64_t asked_ms,
		  const struct version *found);
/* Others are believed again. */
void lately_forget(struct lately *lately, const char *name);

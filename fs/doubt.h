/* SPDX-License-Identifier: MIT */
/*
 * Writes of single names that may still be applied: those under way, and those that ended without
 * an answer, whose bytes may wait in some socket for as long as a router or node stands still.
 * There is one of either for a name at any time: whoever writes it waits for the write under way,
 * and settles the one in doubt (fs/fence).
 *
 * Bounded: beyond DOUBTS_MAX names in doubt the oldest is forgotten, with a warning. Threads: locks
 * itself.
 */
#pragma once

#include "fs/interrupt.h"
#include "fs/names.h"
#include "lib/mutex.h"
#include "lib/object.h"

#define DOUBTS_MAX     4096
#define DOUBTS_BUCKETS 1024

struct doubt {
	struct request_id id; /* of the write, for this name */
	/* A move to this name: it may begin at its source again until that took its id. */
	char from[NAME_BYTES_MAX + 1]; /* "": no move */
	struct request_id from_id;
};

struct doubts {
	struct mutex lock;
	struct condition changed;
	struct doubt_entry *buckets[DOUBTS_BUCKETS];
	struct doubt_entry *oldest, *newest; /* of those in doubt */
	unsigned count; /* of those in doubt */
};

void doubts_init(struct doubts *doubts);
void doubts_deinit(struct doubts *doubts);

/* What is in doubt about @key. */
bool doubts_find(struct doubts *doubts, const char *key, struct doubt *ret_doubt);
/* Whether a write of @key is in doubt or under way. */
bool doubts_concern(struct doubts *doubts, const char *key);

enum doubt_begin { DOUBT_OTHER = 1 };

/* A write of @key with @id may be applied from now on, until doubts_end(). Waits for another one.
 * DOUBT_OTHER: a write with another id is in doubt, and has to be settled first. -EINTR, -ETIMEDOUT
 * or -ENOMEM. */
int doubts_begin(struct doubts *doubts, const char *key, const struct request_id *id,
		 uint32_t timeout_ms, const struct interrupt *interrupt);
/* It ended. @open: what is in doubt now; NULL: nothing that was not before. */
void doubts_end(struct doubts *doubts, const char *key, const struct doubt *open);
/* The write of @key with @id can't be applied any more. */
void doubts_settled(struct doubts *doubts, const char *key, const struct request_id *id);

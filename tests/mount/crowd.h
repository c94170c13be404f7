/* SPDX-License-Identifier: MIT */
/*
 * Many threads on two mounts and over HTTP, all on the same few records. Each that opens one must
 * see one whole version of it that was current at some time since its open began, and only that one
 * until it closes.
 *
 * Half of the keys are written through both mounts by renaming a whole file to them. The others are
 * written in place through the first mount, where a lock of ours keeps other readers and writers
 * away meanwhile: within a mount all see what is not finished yet. Over HTTP all of them are
 * written. Removed they are by everybody at any time.
 */
#pragma once

#include "tests/mount/claim.h"
#include "tests/mount/history.h"
#include "tests/mount/side.h"
#include "tests/mount/site.h"

#include <stdatomic.h>

#define CROWD_MOUNTS  2
#define CROWD_KEYS    6
#define CROWD_THREADS 8

struct crowd_options {
	struct site *sites;
	struct side *side;
	uint64_t seed;
	uint64_t seconds;
	bool trouble; /* nodes come and go: operations may fail */
};
void crowd_run(const struct crowd_options *options);

/* For its own files. */

struct crowd_key {
	struct history history;
	struct mutex in_place; /* for those who read or write it by the first mount, if the key is
				  written in place */
	atomic_uint removals_begun, removals_over; /* through a mount */
};

struct crowd {
	const struct crowd_options *options;
	struct crowd_key keys[CROWD_KEYS];
	atomic_uint writes, reads, errors; /* that worked; that failed as they may */
	atomic_bool ends;
};

struct crowd_thread {
	struct crowd *crowd;
	unsigned number;
	unsigned mount; /* CROWD_MOUNTS: HTTP */
	struct random random;
	char who[40];
	int scratch_fd; /* what is mapped is copied there and back: a fault is an error then */
	uint8_t *data; /* CLAIM_BYTES_MAX */
	uint64_t counter;
};

extern const char *const crowd_names[CROWD_KEYS];

static inline bool crowd_is_in_place(unsigned key)
{
	return key >= CROWD_KEYS / 2;
}

/* What an operation may answer: ends the test unless @error is 0 or, in trouble, one that says so.
 * True if it is 0. */
bool crowd_expect(struct crowd_thread *thread, const char *what, unsigned key, int error);
const char *crowd_path(const struct crowd_thread *thread, const char *name, char *buffer,
		       size_t size);

/* Each is one operation. 0 or a negative errno of what failed, in trouble. crowd_write.c */
int crowd_write(struct crowd_thread *thread, unsigned key);
int crowd_remove(struct crowd_thread *thread, unsigned key);
/* crowd_read.c */
int crowd_read(struct crowd_thread *thread, unsigned key);

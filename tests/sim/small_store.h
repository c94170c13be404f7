/* SPDX-License-Identifier: MIT */
/*
 * A small store on a disk of memory of which every write is known, so that of any store that opens
 * it can be said whether it holds a state that there was. What is amiss with it may be found by the
 * check, by the opening, or when a record is read; a wrong record ends the test.
 *
 * The program must be linked so that log_write() is wrapped (tests/sim/meson.build). Threads: one.
 */
#pragma once

#include "node/store.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/image.h"

#define SMALL_KEYS      10
#define SMALL_FILE_KEY  7 /* its value has a file, as have those of the next two: */
#define SMALL_EMPTY_KEY 8 /* of 0 bytes */
#define SMALL_LATE_KEY  9 /* of more than a chunk */
#define SMALL_SENTENCES 8192

struct store_options small_store_options(struct crash_vfs *crash);
struct store *small_store_open(struct crash_vfs *crash);
/* An empty one: forgets what was written to another one. */
struct store *small_store_new(struct crash_vfs *crash);
void small_store_put(struct store *store, unsigned key);
void small_store_put_file(struct store *store, unsigned key);
void small_store_delete(struct store *store, unsigned key);
/* Sequence of the last write. */
uint64_t small_store_last(void);

/* What became of a store. */
struct verdict {
	int opened; /* 0, or what the opening said */
	bool read_error; /* a record could not be read */
	uint64_t end; /* sequence of the last write that is there */
	int checked; /* 0, or 1 */
	char said[SMALL_SENTENCES]; /* by the check, the opening, and in the program's log */
};

struct verdict small_store_try(const struct image *image);

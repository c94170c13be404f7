/* SPDX-License-Identifier: MIT */
/*
 * Bytes that may be lost with the program: in memory while they are few, which most files are from
 * their beginning to their end, else in an unlinked temporary file.
 *
 * All of a process together may be given a bound, beyond which writing fails with ENOSPC as on a
 * full disk. Holes do not count, and what is written in place of something does not count twice.
 *
 * Errors: 0 or a negative errno; what was there before stays. Threads: locks itself; reading what
 * is in a file waits for nobody who writes.
 */
#pragma once

#include "lib/mutex.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SCRATCH_MEMORY_BYTES (64 * 1024) /* of one */
#define SCRATCH_ALL_BYTES    (32 * 1024 * 1024) /* of all: beyond it even few go to a file */

struct scratch {
	const char *dir;
	atomic_int fd; /* -1: in memory */

	struct mutex lock; /* protects what follows, and the change from memory to a file */
	uint8_t *data;
	size_t len;
	size_t cap;
	uint64_t counted; /* bytes that it takes of what all may have */
};

/* How many bytes all may have together, 0: as many as there is room for. */
void scratch_limit(uint64_t bytes);

/* @dir, for the temporary file, is borrowed. */
void scratch_init(struct scratch *scratch, const char *dir);
void scratch_deinit(struct scratch *scratch);
/* What lies between the old end and @offset reads as zeros. A write that fails may have happened in
 * part. */
int scratch_write(struct scratch *scratch, uint64_t offset, const void *data, size_t len);
int scratch_truncate(struct scratch *scratch, uint64_t size_bytes);
/* Bytes, 0 at the end. */
ssize_t scratch_read(struct scratch *scratch, uint64_t offset, void *data, size_t len);

/* SPDX-License-Identifier: MIT */
/*
 * Reads one version of a large value through ranged requests: exactly what is asked for at first,
 * and further and further ahead once reads turn out to follow each other.
 *
 * Ownership: all who have a file open share one. Threads: any.
 */
#pragma once

#include "fs/prefetch.h"
#include "fs/remote.h"

#include <sys/uio.h>

struct reader;

/* Nothing is read ahead without @prefetch (NULL). */
int reader_new(struct remote *remote, struct prefetch *prefetch, struct reader **ret_reader);
/* Gives up what is on its way. Accepts NULL. */
struct reader *reader_free(struct reader *reader);

struct reader_want {
	const char *key;
	struct version version;
	struct pin *pin; /* of that version; NULL: it must be the current one */
	uint64_t value_bytes; /* size of that version */
	uint64_t offset;
	size_t len; /* inside the value */
};

#define READER_PARTS_MAX 8

/* What was read, where it lies: in blocks that are held, and at last in memory of its own. It may
 * outlive the reader. */
struct reader_bytes {
	struct block_pool *pool;
	struct iovec parts[READER_PARTS_MAX];
	struct block *blocks[READER_PARTS_MAX];
	unsigned count;
	void *own;
};
/* @len more bytes, to be written by the caller. NULL if memory is out. */
void *reader_bytes_add(struct reader_bytes *bytes, size_t len);
void reader_bytes_deinit(struct reader_bytes *bytes);

/* Exactly what is wanted, or a negative errno: -ESTALE if the version is gone. @ret_bytes is all
 * zero. */
int reader_read(struct reader *reader, const struct reader_want *want,
		const struct interrupt *interrupt, struct reader_bytes *ret_bytes);
/* The same, into @data. */
int reader_copy(struct reader *reader, const struct reader_want *want, void *data,
		const struct interrupt *interrupt);

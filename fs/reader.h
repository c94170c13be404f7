/* SPDX-License-Identifier: MIT */
/*
 * Reads one version of a large value through ranged requests: exactly what is asked for at first,
 * and blocks of 1 MiB with the next ones fetched ahead once the reads turn out to be sequential.
 *
 * Ownership: belongs to an open file; reference-counted because of blocks that are still on their
 * way when it is closed. Threads: locks itself.
 */
#pragma once

#include "fs/prefetch.h"
#include "fs/remote.h"

struct reader;

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
/* Exactly what is wanted, or a negative errno: -ESTALE if the version is gone. */
int reader_read(struct reader *reader, const struct reader_want *want, void *data,
		const struct interrupt *interrupt);

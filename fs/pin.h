/* SPDX-License-Identifier: MIT */
/*
 * One version of a large record that its leader keeps readable for us, though it may be replaced or
 * deleted (docs/PROTOCOL.md, "Pins"): what a request must say to read it.
 *
 * Ownership: reference-counted. Threads: immutable but for until_ms, which the inode table's lock
 * protects.
 */
#pragma once

#include "lib/record.h"

#include <stdatomic.h>

struct pin {
	atomic_uint references;
	struct version version;
	uint64_t until_ms; /* monotonic; not before then the leader forgets it */
	const char *key;
	char token[]; /* the key stands behind it */
};

/* NULL if memory is out. */
struct pin *pin_new(const char *key, struct version version, const char *token, uint64_t until_ms);
/* Both accept NULL. */
struct pin *pin_ref(struct pin *pin);
struct pin *pin_unref(struct pin *pin);

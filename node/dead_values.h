/* SPDX-License-Identifier: MIT */
/* What writes leave without a record. Threads: one at a time. */
#pragma once

#include "node/lsm.h"

struct dead_value {
	uint64_t file_id;
	uint64_t bytes;
};

struct dead_values {
	struct dead_value *files;
	size_t count, cap;
	uint64_t inline_bytes; /* of other values */
};

/* A live record that is replaced or deleted. Without memory its space comes back later. */
void dead_values_add(struct dead_values *dead, const struct entry *old);
/* What @entries, applied in their order, replace or delete: as it is here, whatever they say of
 * themselves, as a repair may have come before them. Records that can't be read are left out. */
void dead_values_find(struct dead_values *dead, struct lsm *lsm, const struct entry *entries,
		      size_t count);
void dead_values_clear(struct dead_values *dead);
void dead_values_deinit(struct dead_values *dead);

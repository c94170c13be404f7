/* SPDX-License-Identifier: MIT */
/*
 * A lineage is one life of a shard's data: begun by the node that leads an empty store, taken over
 * by all that follow it. Positions in two lineages can't be compared; of two, the older one is kept
 * (docs/FORMAT.md, "History"). All zero: none yet.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct lineage {
	uint8_t id[16]; /* random */
	int64_t created_ns; /* its beginner's clock */
};

/* A new one. */
void lineage_begin(int64_t now_ns, struct lineage *ret_lineage);
bool lineage_is_set(const struct lineage *lineage);
bool lineage_equal(const struct lineage *a, const struct lineage *b);
/* Below 0: @a is older. The same in every node's eyes. */
int lineage_compare(const struct lineage *a, const struct lineage *b);

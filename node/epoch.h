/* SPDX-License-Identifier: MIT */
/*
 * An epoch is one time of one node as leader: generation << 48 | starts << 32 | salt << 16 | node
 * id. A later one is greater. A promotion begins a generation, a start of the same leader counts on
 * in it. No two nodes share one, and the salt, which is the lineage's, keeps those of two lineages
 * apart. 0 is none.
 */
#pragma once

#include "node/lineage.h"

/* The first one of a lineage. */
uint64_t epoch_first(const struct lineage *lineage, uint16_t node_id);
/* The next one, for a node that leads again; 0: @last is the last one there can be. */
uint64_t epoch_after_start(uint64_t last, uint16_t node_id);
/* The next one, for a node that is made the leader; 0: there is no other generation. */
uint64_t epoch_after_promotion(uint64_t highest, uint16_t node_id);
/* Whose it is; 0: nobody's. */
static inline uint16_t epoch_node(uint64_t epoch)
{
	return (uint16_t)epoch;
}

/* SPDX-License-Identifier: MIT */
#include "node/epoch.h"

#include <assert.h>

#define NUMBER_SHIFT 32
#define SALT_MASK    UINT64_C(0xffff0000)

static uint64_t compose(uint64_t number, uint64_t salt, uint16_t node_id)
{
	assert(node_id > 0);
	return number << NUMBER_SHIFT | salt | node_id;
}

uint64_t epoch_first(const struct lineage *lineage, uint16_t node_id)
{
	uint64_t salt = (uint64_t)lineage->id[0] << 16 | (uint64_t)lineage->id[1] << 24;

	return compose(1, salt, node_id);
}

uint64_t epoch_after_start(uint64_t last, uint16_t node_id)
{
	uint64_t number = last >> NUMBER_SHIFT;

	if (number == UINT32_MAX)
		return 0;
	return compose(number + 1, last & SALT_MASK, node_id);
}

uint64_t epoch_after_promotion(uint64_t highest, uint16_t node_id)
{
	uint64_t generation = highest >> 48;

	if (generation == UINT16_MAX)
		return 0;
	return compose((generation + 1) << 16, highest & SALT_MASK, node_id);
}

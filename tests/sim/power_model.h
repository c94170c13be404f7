/* SPDX-License-Identifier: MIT */
/*
 * What a store may hold after a power cut, told by the history of its writes: a prefix of them with
 * everything that was acknowledged on disk. Values carry their number, so an invented one shows;
 * versions are remembered for ever, so one that names two values shows.
 */
#pragma once

#include "lib/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_KEYS      24
#define MODEL_VALUE_MAX 4096

struct model_cell {
	uint32_t value; /* number; 0: no record */
	uint32_t type; /* number of the content type */
};

struct model_step {
	unsigned count; /* changes that come together */
	unsigned key[2];
	struct model_cell cell[2];
};

struct model_version {
	struct version version;
	struct model_cell cell;
};

struct model {
	struct model_cell base[MODEL_KEYS]; /* known to be there */
	struct model_step steps[4096]; /* since then */
	size_t step_count;
	size_t durable; /* so many of them must be there */
	struct model_cell now[MODEL_KEYS]; /* after all steps */
	struct model_version *versions;
	size_t version_count, version_cap;
	uint32_t last_value;
};

void model_add(struct model *model, const struct model_step *step);
/* Takes back the steps from @count on. */
void model_cut(struct model *model, size_t count);
/* What was found after a recovery becomes the base. False: no prefix looks like this. */
bool model_settle(struct model *model, const struct model_cell found[MODEL_KEYS]);
/* False: the version was seen with another value. */
bool model_see_version(struct model *model, struct version version, struct model_cell cell);
void model_deinit(struct model *model);

/* The bytes of value number @value; its length. */
size_t model_value(uint32_t value, uint8_t out[MODEL_VALUE_MAX]);

/* SPDX-License-Identifier: MIT */
#include "tests/sim/power_model.h"

#include "lib/bytes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void apply(struct model_cell cells[MODEL_KEYS], const struct model_step *step)
{
	for (unsigned i = 0; i < step->count; i++)
		cells[step->key[i]] = step->cell[i];
}

void model_add(struct model *model, const struct model_step *step)
{
	assert(model->step_count < sizeof(model->steps) / sizeof(model->steps[0]));
	model->steps[model->step_count++] = *step;
	apply(model->now, step);
}

void model_cut(struct model *model, size_t count)
{
	model->step_count = count;
	memcpy(model->now, model->base, sizeof(model->now));
	for (size_t i = 0; i < count; i++)
		apply(model->now, &model->steps[i]);
}

static bool is_same(const struct model_cell *a, const struct model_cell *b)
{
	for (unsigned i = 0; i < MODEL_KEYS; i++)
		if (a[i].value != b[i].value || (a[i].value > 0 && a[i].type != b[i].type))
			return false;
	return true;
}

bool model_settle(struct model *model, const struct model_cell found[MODEL_KEYS])
{
	struct model_cell cells[MODEL_KEYS];
	bool matches = false;

	memcpy(cells, model->base, sizeof(cells));
	for (size_t i = 0; i <= model->step_count && !matches; i++) {
		matches = i >= model->durable && is_same(cells, found);
		if (i < model->step_count)
			apply(cells, &model->steps[i]);
	}
	memcpy(model->base, found, sizeof(model->base));
	model->durable = 0;
	model_cut(model, 0);
	return matches;
}

bool model_see_version(struct model *model, struct version version, struct model_cell cell)
{
	for (size_t i = model->version_count; i > 0; i--) {
		const struct model_version *seen = &model->versions[i - 1];

		if (version_compare(seen->version, version) == 0)
			return seen->cell.value == cell.value && seen->cell.type == cell.type;
	}
	if (model->version_count == model->version_cap) {
		model->version_cap = model->version_cap ? model->version_cap * 2 : 256;
		model->versions =
			realloc(model->versions, model->version_cap * sizeof(*model->versions));
		if (!model->versions)
			abort();
	}
	model->versions[model->version_count++] = (struct model_version){ version, cell };
	return true;
}

void model_deinit(struct model *model)
{
	free(model->versions);
}

size_t model_value(uint32_t value, uint8_t out[MODEL_VALUE_MAX])
{
	/* Two of three are inline with the bound that the test sets. */
	size_t len = value % 3 == 0 ? 300 + value * 97 % 3500 : value * 31 % 250;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(value >> (i % 4 * 8) ^ (i / 4 * 11));
	if (len >= 4)
		put_u32(out, value);
	return len;
}

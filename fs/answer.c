/* SPDX-License-Identifier: MIT */
#include "fs/answer.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static uint64_t positive(const json_t *object, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(object, name));

	return value > 0 ? (uint64_t)value : 0;
}

int answer_figures(const void *text, size_t len, struct space_figures *ret_figures)
{
	json_t *status = json_loadb(text, len, 0, NULL);
	const json_t *sum = json_object_get(status, "space");
	const json_t *store = json_object_get(status, "store");
	struct space_figures figures = { 0 };

	if (sum) {
		figures.free_bytes = positive(sum, "free_bytes");
		figures.total_bytes = positive(sum, "total_bytes");
		figures.records = positive(status, "entries");
	} else {
		figures.free_bytes = positive(store, "space_free");
		figures.total_bytes = positive(store, "space_total");
	}
	json_decref(status);
	if (figures.total_bytes == 0)
		return -EIO;
	*ret_figures = figures;
	return 0;
}

bool answer_says_not_applied(const void *problem, size_t len, unsigned status)
{
	json_t *json = json_loadb(problem, len, 0, NULL);
	const char *outcome = json_string_value(json_object_get(json, "outcome"));
	bool says = outcome ? strcmp(outcome, "not-applied") == 0 : status < 500;

	json_decref(json);
	return says;
}

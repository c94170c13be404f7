/* SPDX-License-Identifier: MIT */
/* What a router is told by whatever answers where a node should: its role, its status. */
#include "router/node_answer.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_role(const uint8_t *data, size_t len)
{
	struct leaders_role role;

	if (node_answer_role(data, len, &role) < 0)
		return;
	assert(memchr(role.role, '\0', sizeof(role.role)));
	assert(role.staleness_ms >= -1);
	assert(role.leads == (strcmp(role.role, "leader") == 0));
}

/* Twice the same node: its disk counts once. */
static void check_totals(const uint8_t *data, size_t len)
{
	const char *file_systems[2];
	struct totals totals = { .file_systems = file_systems };
	json_t *json = json_loadb((const char *)data, len, 0, NULL);
	uint64_t entries;

	node_answer_add_totals(&totals, json);
	entries = totals.entries;
	node_answer_add_totals(&totals, json);
	assert(totals.file_system_count <= 1 && totals.entries == 2 * entries);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_role(data, len);
	check_totals(data, len);
	return 0;
}

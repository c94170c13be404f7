/* SPDX-License-Identifier: MIT */
#include "router/node_answer.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STALENESS_MAX INT64_C(1000000000000)

int node_answer_role(const void *text, size_t len, struct leaders_role *ret_role)
{
	_cleanup_(json_decrefp) json_t *json = json_loadb(text, len, 0, NULL);
	const char *role = json_string_value(json_object_get(json, "role"));
	const char *epoch = json_string_value(json_object_get(json, "epoch"));
	const json_t *staleness = json_object_get(json, "staleness_ms");
	char *end;

	*ret_role = (struct leaders_role){ .staleness_ms = -1 };
	if (!role || !epoch || !*epoch)
		return -EBADMSG;
	snprintf(ret_role->role, sizeof(ret_role->role), "%s", role);
	errno = 0;
	ret_role->epoch = strtoull(epoch, &end, 16);
	if (*end || errno)
		return -EBADMSG;
	ret_role->leads = strcmp(role, "leader") == 0;
	ret_role->reads = json_is_true(json_object_get(json, "reads"));
	if (json_is_integer(staleness) && json_integer_value(staleness) >= 0 &&
	    json_integer_value(staleness) < STALENESS_MAX)
		ret_role->staleness_ms = json_integer_value(staleness);
	return 0;
}

/* Nodes on one machine may share a disk, whose space is there only once. */
static bool is_counted(struct totals *totals, const json_t *store)
{
	const char *id = json_string_value(json_object_get(store, "file_system"));

	if (!id || !*id)
		return false;
	for (unsigned i = 0; i < totals->file_system_count; i++)
		if (strcmp(totals->file_systems[i], id) == 0)
			return true;
	totals->file_systems[totals->file_system_count++] = id;
	return false;
}

void node_answer_add_totals(struct totals *totals, const json_t *node)
{
	const json_t *store = json_object_get(node, "store");
	const json_t *tree = json_object_get(store, "tree");

	totals->entries += (uint64_t)json_integer_value(json_object_get(tree, "entries"));
	if (is_counted(totals, store))
		return;
	totals->free_bytes += (uint64_t)json_integer_value(json_object_get(store, "space_free"));
	totals->total_bytes += (uint64_t)json_integer_value(json_object_get(store, "space_total"));
}

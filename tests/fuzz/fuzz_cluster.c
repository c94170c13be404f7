/* SPDX-License-Identifier: MIT */
/* Cluster files. What is taken is consistent, and prints to a file that says the same. */
#include "lib/cluster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_consistent(const struct cluster *cluster)
{
	unsigned slots = 0, nodes = 0;

	for (unsigned s = 0; s < cluster->shard_count; s++) {
		const struct cluster_shard *shard = &cluster->shards[s];

		slots += shard->slot_count;
		assert(shard->leader < shard->node_count);
		for (unsigned n = 0; n < shard->node_count; n++) {
			const struct cluster_node *node = &shard->nodes[n];

			assert(node->index == ++nodes && node->shard == s);
			assert(cluster_find_node(cluster, node->name) == node);
			assert(cluster_shard_node(shard, node->id) == node);
			assert(strncmp(node->url, "http://", 7) == 0);
		}
	}
	assert(slots == SLOT_COUNT);
	for (unsigned slot = 0; slot < SLOT_COUNT; slot++)
		assert(cluster->slot_to_shard[slot] < cluster->shard_count);
}

static void check_same(const struct cluster *cluster)
{
	json_t *json = cluster_to_json(cluster);
	char *text = json_dumps(json, JSON_COMPACT), *printed, *why = NULL;
	struct cluster *again = NULL;

	json_decref(json);
	assert(text && cluster_parse(text, strlen(text), &again, &why) == 0);
	json = cluster_to_json(again);
	printed = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert(printed && strcmp(text, printed) == 0);
	cluster_free(again);
	free(printed);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct cluster *cluster = NULL;
	char *why = NULL;
	int r = cluster_parse((const char *)data, len, &cluster, &why);

	if (r < 0) {
		assert(!cluster && why && why[0]);
		free(why);
		return 0;
	}
	assert(!why);
	check_consistent(cluster);
	check_same(cluster);
	cluster_free(cluster);
	return 0;
}

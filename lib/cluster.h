/* SPDX-License-Identifier: MIT */
/*
 * The cluster file (JSON): shards, their slots and their nodes.
 * Threads: immutable after load.
 */
#pragma once

#include "lib/ack.h"
#include "lib/hash.h"

#include <jansson.h>

struct cluster_node {
	char *name; /* [A-Za-z0-9._-], 1 to 63 */
	char *url; /* "http://host:port", no path */
	unsigned index; /* unique in the cluster, in file order from 1 */
	uint16_t id; /* unique in the cluster, from 1, and the name's for ever: it stands in epochs,
			so that a change of the file must not change it */
	unsigned shard;
};

struct cluster_shard {
	char *name;
	struct cluster_node *nodes;
	unsigned node_count;
	unsigned leader; /* index into nodes: the leader at the cluster's first start */
	unsigned slot_count;
};

struct cluster {
	char *name;
	struct cluster_shard *shards;
	unsigned shard_count;
	enum ack ack; /* of writes that don't say */
	uint16_t slot_to_shard[SLOT_COUNT];
};

/* On a file that can't be read or is inconsistent: a negative errno and one sentence in @ret_why
 * (to be freed) that says what to mend. */
int cluster_load(const char *path, struct cluster **ret_cluster, char **ret_why);
int cluster_parse(const char *text, size_t len, struct cluster **ret_cluster, char **ret_why);
struct cluster *cluster_free(struct cluster *cluster);
const struct cluster_node *cluster_find_node(const struct cluster *cluster, const char *name);
/* NULL if the shard has no node of that id. */
const struct cluster_node *cluster_shard_node(const struct cluster_shard *shard, uint16_t id);
/* The id that a node of this name has. */
uint16_t cluster_node_id(const char *name);
static inline unsigned cluster_shard_of(const struct cluster *cluster, const void *key, size_t len)
{
	return cluster->slot_to_shard[hash_slot(key, len)];
}
/* The body of GET /topology; a new reference, NULL if memory is out. */
json_t *cluster_to_json(const struct cluster *cluster);

/* SPDX-License-Identifier: MIT */
/*
 * A loader carries the cluster in the making, two sets that find doubles in constant time, and the
 * first sentence of complaint. Every check stops at its first fault: the file is mended by a
 * person.
 */
#include "lib/cluster.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define CLUSTER_FILE_MAX (64u * 1024 * 1024)
#define NAME_BYTES_MAX   63
#define URL_BYTES_MAX    300
/* The node id is the low 16 bits of an epoch, and 0 is nobody. */
#define NODE_IDS 65535

struct loader {
	struct cluster *cluster;
	bool slot_taken[SLOT_COUNT];
	unsigned node_count;
	json_t *node_names; /* sets: objects whose values are null */
	json_t *urls;
	json_t *shard_names;
	const char **name_by_id; /* NODE_IDS + 1 names of nodes */
	char *why;
};

static int __attribute__((format(printf, 2, 3)))
complain(struct loader *loader, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (vasprintf(&loader->why, format, args) < 0)
		loader->why = NULL;
	va_end(args);
	return -EINVAL;
}

/* 1: was there already, 0: added. */
static int set_add(json_t *set, const char *text)
{
	if (json_object_get(set, text))
		return 1;
	return json_object_set_new(set, text, json_null()) < 0 ? -ENOMEM : 0;
}

static bool is_name(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > NAME_BYTES_MAX)
		return false;
	return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
	       len;
}

/* @what is "node s0a" or the like: where in the file a person has to look. @optional: the last of
 * @known may be missing. */
static int take_members(struct loader *loader, json_t *object, const char *what,
			const char *const *known, bool optional)
{
	const char *member;
	json_t *value;

	if (!json_is_object(object))
		return complain(loader, "%s must be a JSON object; write {...}", what);
	for (const char *const *name = known; *name; name++) {
		if (!json_object_get(object, *name) && !(optional && !name[1]))
			return complain(loader, "%s has no member \"%s\"; add it", what, *name);
	}
	json_object_foreach(object, member, value)
	{
		bool found = false;

		for (const char *const *name = known; *name && !found; name++)
			found = strcmp(member, *name) == 0;
		if (!found)
			return complain(loader, "%s has an unknown member \"%.100s\"; remove it",
					what, member);
	}
	return 0;
}

static int take_name(struct loader *loader, json_t *object, const char *member, const char *what,
		     char **ret_name)
{
	json_t *value = json_object_get(object, member);

	if (!json_is_string(value) ||
	    strlen(json_string_value(value)) != json_string_length(value) ||
	    !is_name(json_string_value(value)))
		return complain(loader,
				"the \"%s\" of %s must be a string of 1 to 63 letters, digits, "
				"'.', '_' or '-'; rename it",
				member, what);
	*ret_name = strdup(json_string_value(value));
	return *ret_name ? 0 : -ENOMEM;
}

static bool is_host(const char *text, size_t len)
{
	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
		return strspn(text + 1, "0123456789abcdefABCDEF:.") == len - 2;
	return len > 0 && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789.-") == len;
}

static bool is_port(const char *text)
{
	size_t len = strlen(text);
	unsigned port = 0;

	if (len == 0 || len > 5 || text[0] == '0' || strspn(text, "0123456789") != len)
		return false;
	for (const char *at = text; *at; at++)
		port = port * 10 + (unsigned)(*at - '0');
	return port <= UINT16_MAX;
}

static int check_url(struct loader *loader, const char *node, const char *url)
{
	const char *authority, *colon;

	if (strncasecmp(url, "https://", 8) == 0)
		return complain(loader,
				"the url of node %s is https, which nodes don't speak; write "
				"http://host:port",
				node);
	if (strncmp(url, "http://", 7) != 0 || strlen(url) > URL_BYTES_MAX)
		return complain(loader, "the url of node %s must have the form http://host:port",
				node);
	authority = url + 7;
	if (strpbrk(authority, "/?#"))
		return complain(loader,
				"the url of node %s has a path; write http://host:port and nothing "
				"behind the port",
				node);
	if (strchr(authority, '@'))
		return complain(loader,
				"the url of node %s names a user; give --token-file instead", node);
	colon = strrchr(authority, ':');
	if (!colon || !is_port(colon + 1) || !is_host(authority, (size_t)(colon - authority)))
		return complain(loader,
				"the url of node %s needs a host and a port from 1 to 65535; write "
				"http://host:port",
				node);
	return 0;
}

static int take_url(struct loader *loader, json_t *object, struct cluster_node *node)
{
	json_t *value = json_object_get(object, "url");
	char folded[URL_BYTES_MAX + 1];
	int r;

	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
		return complain(loader, "the url of node %s must be a string", node->name);
	r = check_url(loader, node->name, json_string_value(value));
	if (r < 0)
		return r;
	node->url = strdup(json_string_value(value));
	if (!node->url)
		return -ENOMEM;
	/* Host names have no case. */
	for (size_t i = 0; i <= strlen(node->url); i++) {
		char c = node->url[i];

		folded[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	r = set_add(loader->urls, folded);
	if (r > 0)
		return complain(loader,
				"the url %s stands at node %s and at another; give each node its "
				"own",
				node->url, node->name);
	return r;
}

uint16_t cluster_node_id(const char *name)
{
	return (uint16_t)(1 + hash64(name, strlen(name), 0) % NODE_IDS);
}

/* One cluster of ten nodes in 1500 has such a pair, and a person renames one of it. */
static int take_id(struct loader *loader, struct cluster_node *node)
{
	const char *other;

	node->id = cluster_node_id(node->name);
	other = loader->name_by_id[node->id];
	if (other)
		return complain(loader,
				"the names of node %s and node %s have the same hash; rename one "
				"of them",
				other, node->name);
	loader->name_by_id[node->id] = node->name;
	return 0;
}

static int take_node(struct loader *loader, json_t *object, unsigned shard_index,
		     struct cluster_node *node)
{
	static const char *const known[] = { "name", "url", NULL };
	const char *shard = loader->cluster->shards[shard_index].name;
	char what[NAME_BYTES_MAX + 40];
	int r;

	snprintf(what, sizeof(what), "a node of shard %s", shard);
	r = take_members(loader, object, what, known, false);
	if (r < 0)
		return r;
	r = take_name(loader, object, "name", what, &node->name);
	if (r < 0)
		return r;
	r = set_add(loader->node_names, node->name);
	if (r < 0)
		return r;
	if (r > 0)
		return complain(loader, "node %s is named twice; give each node its own name",
				node->name);
	r = take_id(loader, node);
	if (r < 0)
		return r;
	node->index = ++loader->node_count;
	node->shard = shard_index;
	return take_url(loader, object, node);
}

static int take_nodes(struct loader *loader, json_t *array, unsigned shard_index)
{
	struct cluster_shard *shard = &loader->cluster->shards[shard_index];
	json_t *object;
	size_t i;

	if (!json_is_array(array) || json_array_size(array) == 0)
		return complain(loader, "the nodes of shard %s must be a list of at least one node",
				shard->name);
	if (json_array_size(array) > NODE_IDS)
		return complain(loader, "the cluster has more than %d nodes; remove some",
				NODE_IDS);
	shard->nodes = calloc(json_array_size(array), sizeof(*shard->nodes));
	if (!shard->nodes)
		return -ENOMEM;
	json_array_foreach(array, i, object)
	{
		int r;

		/* Counted first, so that a half-made node is freed too. */
		shard->node_count++;
		r = take_node(loader, object, shard_index, &shard->nodes[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int take_leader(struct loader *loader, json_t *value, struct cluster_shard *shard)
{
	if (!json_is_string(value))
		return complain(loader, "the leader of shard %s must be the name of a node",
				shard->name);
	for (unsigned i = 0; i < shard->node_count; i++) {
		if (strcmp(shard->nodes[i].name, json_string_value(value)) == 0) {
			shard->leader = i;
			return 0;
		}
	}
	return complain(loader, "the leader %.63s of shard %s is not one of its nodes; name one",
			json_string_value(value), shard->name);
}

static int take_slot_range(struct loader *loader, json_t *range, unsigned shard_index)
{
	struct cluster *cluster = loader->cluster;
	const char *name = cluster->shards[shard_index].name;
	json_int_t first, last;

	if (!json_is_array(range) || json_array_size(range) != 2 ||
	    !json_is_integer(json_array_get(range, 0)) ||
	    !json_is_integer(json_array_get(range, 1)))
		return complain(loader,
				"the slots of shard %s must be a list of pairs [first, last]",
				name);
	first = json_integer_value(json_array_get(range, 0));
	last = json_integer_value(json_array_get(range, 1));
	if (first < 0 || last >= SLOT_COUNT || first > last)
		return complain(loader,
				"the slots [%lld, %lld] of shard %s must run upwards within 0 to "
				"%d",
				(long long)first, (long long)last, name, SLOT_COUNT - 1);
	for (json_int_t slot = first; slot <= last; slot++) {
		if (loader->slot_taken[slot])
			return complain(loader,
					"slot %lld is given to shard %s and to shard %s; leave it "
					"to one",
					(long long)slot,
					cluster->shards[cluster->slot_to_shard[slot]].name, name);
		loader->slot_taken[slot] = true;
		cluster->slot_to_shard[slot] = (uint16_t)shard_index;
		cluster->shards[shard_index].slot_count++;
	}
	return 0;
}

static int take_slots(struct loader *loader, json_t *array, unsigned shard_index)
{
	json_t *range;
	size_t i;

	if (!json_is_array(array))
		return complain(loader,
				"the slots of shard %s must be a list of pairs [first, last]",
				loader->cluster->shards[shard_index].name);
	json_array_foreach(array, i, range)
	{
		int r = take_slot_range(loader, range, shard_index);

		if (r < 0)
			return r;
	}
	return 0;
}

static int take_shard(struct loader *loader, json_t *object, unsigned shard_index)
{
	static const char *const known[] = { "name", "slots", "leader", "nodes", NULL };
	struct cluster_shard *shard = &loader->cluster->shards[shard_index];
	char what[40];
	int r;

	snprintf(what, sizeof(what), "shard number %u", shard_index + 1);
	r = take_members(loader, object, what, known, false);
	if (r < 0)
		return r;
	r = take_name(loader, object, "name", what, &shard->name);
	if (r < 0)
		return r;
	r = set_add(loader->shard_names, shard->name);
	if (r < 0)
		return r;
	if (r > 0)
		return complain(loader, "shard %s is named twice; give each shard its own name",
				shard->name);
	r = take_slots(loader, json_object_get(object, "slots"), shard_index);
	if (r < 0)
		return r;
	r = take_nodes(loader, json_object_get(object, "nodes"), shard_index);
	if (r < 0)
		return r;
	return take_leader(loader, json_object_get(object, "leader"), shard);
}

static int check_every_slot_owned(struct loader *loader)
{
	for (unsigned slot = 0; slot < SLOT_COUNT; slot++) {
		if (!loader->slot_taken[slot])
			return complain(loader,
					"slot %u has no owner; give every slot from 0 to %d to a "
					"shard",
					slot, SLOT_COUNT - 1);
	}
	return 0;
}

static int take_ack(struct loader *loader, json_t *value)
{
	if (!value)
		return 0;
	for (int ack = 0; ack < ACK_COUNT; ack++) {
		if (json_is_string(value) &&
		    strcmp(json_string_value(value), ack_name((enum ack)ack)) == 0) {
			loader->cluster->ack = (enum ack)ack;
			return 0;
		}
	}
	return complain(loader,
			"\"ack\" must be \"leader\", \"quorum\" or \"all\"; write one of them");
}

static int take_cluster(struct loader *loader, json_t *root)
{
	static const char *const known[] = { "cluster", "shards", "ack", NULL };
	struct cluster *cluster = loader->cluster;
	json_t *shards, *object;
	size_t i;
	int r;

	r = take_members(loader, root, "the cluster file", known, true);
	if (r < 0)
		return r;
	r = take_name(loader, root, "cluster", "the cluster file", &cluster->name);
	if (r < 0)
		return r;
	r = take_ack(loader, json_object_get(root, "ack"));
	if (r < 0)
		return r;
	shards = json_object_get(root, "shards");
	if (!json_is_array(shards) || json_array_size(shards) == 0 ||
	    json_array_size(shards) > SLOT_COUNT)
		return complain(loader, "\"shards\" must be a list of 1 to %d shards", SLOT_COUNT);
	cluster->shards = calloc(json_array_size(shards), sizeof(*cluster->shards));
	if (!cluster->shards)
		return -ENOMEM;
	json_array_foreach(shards, i, object)
	{
		cluster->shard_count++;
		r = take_shard(loader, object, (unsigned)i);
		if (r < 0)
			return r;
	}
	return check_every_slot_owned(loader);
}

static int load_json(struct loader *loader, const char *text, size_t len, json_t **ret_root)
{
	json_error_t error;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);

	if (root) {
		*ret_root = root;
		return 0;
	}
	if (json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	if (json_error_code(&error) == json_error_duplicate_key)
		return complain(loader, "a member stands twice in line %d (%s); remove one",
				error.line, error.text);
	return complain(loader, "it is not JSON: line %d, column %d: %s", error.line, error.column,
			error.text);
}

static int loader_run(struct loader *loader, const char *text, size_t len)
{
	_cleanup_(json_decrefp) json_t *root = NULL;
	int r;

	if (!loader->cluster || !loader->node_names || !loader->urls || !loader->shard_names ||
	    !loader->name_by_id)
		return -ENOMEM;
	r = load_json(loader, text, len, &root);
	if (r < 0)
		return r;
	return take_cluster(loader, root);
}

static void loader_deinit(struct loader *loader)
{
	json_decref(loader->node_names);
	json_decref(loader->urls);
	json_decref(loader->shard_names);
	cluster_free(loader->cluster);
	free(loader->name_by_id);
	free(loader->why);
}

int cluster_parse(const char *text, size_t len, struct cluster **ret_cluster, char **ret_why)
{
	_cleanup_(loader_deinit) struct loader loader = {
		.cluster = calloc(1, sizeof(struct cluster)),
		.node_names = json_object(),
		.urls = json_object(),
		.shard_names = json_object(),
		.name_by_id = calloc(NODE_IDS + 1, sizeof(char *)),
	};
	int r;

	r = loader_run(&loader, text, len);
	if (r == -ENOMEM && !loader.why)
		loader.why = strdup("out of memory");
	if (r < 0) {
		*ret_why = take_ptr(loader.why);
		return r;
	}
	*ret_cluster = take_ptr(loader.cluster);
	return 0;
}

static int read_file(const char *path, struct buf *ret_text)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (ret_text->len <= CLUSTER_FILE_MAX) {
		ssize_t n;

		if (buf_reserve(ret_text, 64 * 1024) < 0)
			return -ENOMEM;
		n = read(fd, ret_text->data + ret_text->len, 64 * 1024);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		ret_text->len += (size_t)n;
	}
	return -EFBIG;
}

int cluster_load(const char *path, struct cluster **ret_cluster, char **ret_why)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	_cleanup_(freep) char *why = NULL;
	int r;

	r = read_file(path, &text);
	if (r < 0) {
		if (asprintf(ret_why, "can't read the cluster file %s: %s", path, strerror(-r)) < 0)
			*ret_why = NULL;
		return r;
	}
	r = cluster_parse((const char *)text.data, text.len, ret_cluster, &why);
	if (r < 0 &&
	    asprintf(ret_why, "cluster file %s: %s", path, why ? why : "out of memory") < 0)
		*ret_why = NULL;
	return r;
}

struct cluster *cluster_free(struct cluster *cluster)
{
	if (!cluster)
		return NULL;
	for (unsigned i = 0; i < cluster->shard_count; i++) {
		struct cluster_shard *shard = &cluster->shards[i];

		for (unsigned n = 0; n < shard->node_count; n++) {
			free(shard->nodes[n].name);
			free(shard->nodes[n].url);
		}
		free(shard->nodes);
		free(shard->name);
	}
	free(cluster->shards);
	free(cluster->name);
	free(cluster);
	return NULL;
}

const struct cluster_node *cluster_find_node(const struct cluster *cluster, const char *name)
{
	for (unsigned i = 0; i < cluster->shard_count; i++) {
		const struct cluster_shard *shard = &cluster->shards[i];

		for (unsigned n = 0; n < shard->node_count; n++) {
			if (strcmp(shard->nodes[n].name, name) == 0)
				return &shard->nodes[n];
		}
	}
	return NULL;
}

const struct cluster_node *cluster_shard_node(const struct cluster_shard *shard, uint16_t id)
{
	for (unsigned i = 0; i < shard->node_count; i++) {
		if (shard->nodes[i].id == id)
			return &shard->nodes[i];
	}
	return NULL;
}

static json_t *slots_to_json(const struct cluster *cluster, unsigned shard_index)
{
	json_t *slots = json_array();

	for (int first = 0; first < SLOT_COUNT;) {
		int last = first;

		while (last + 1 < SLOT_COUNT &&
		       cluster->slot_to_shard[last + 1] == cluster->slot_to_shard[first])
			last++;
		if (cluster->slot_to_shard[first] == shard_index &&
		    json_array_append_new(slots, json_pack("[i, i]", first, last)) < 0) {
			json_decref(slots);
			return NULL;
		}
		first = last + 1;
	}
	return slots;
}

static json_t *nodes_to_json(const struct cluster_shard *shard)
{
	json_t *nodes = json_array();

	for (unsigned i = 0; i < shard->node_count; i++) {
		json_t *node = json_pack("{s:s, s:s}", "name", shard->nodes[i].name, "url",
					 shard->nodes[i].url);

		if (json_array_append_new(nodes, node) < 0) {
			json_decref(nodes);
			return NULL;
		}
	}
	return nodes;
}

json_t *cluster_to_json(const struct cluster *cluster)
{
	_cleanup_(json_decrefp) json_t *shards = json_array();

	for (unsigned i = 0; i < cluster->shard_count; i++) {
		const struct cluster_shard *shard = &cluster->shards[i];
		json_t *json;

		/* "o" takes its reference even when packing fails. */
		json = json_pack("{s:s, s:o, s:s, s:o}", "name", shard->name, "slots",
				 slots_to_json(cluster, i), "leader",
				 shard->nodes[shard->leader].name, "nodes", nodes_to_json(shard));
		if (json_array_append_new(shards, json) < 0)
			return NULL;
	}
	return json_pack("{s:s, s:s, s:O}", "cluster", cluster->name, "ack", ack_name(cluster->ack),
			 "shards", shards);
}

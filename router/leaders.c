/* SPDX-License-Identifier: MIT */
/* The leader of a shard is read for every request, so it is one word; the rest is behind a lock. */
#include "router/leaders.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mutex.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A leader with a lower epoch than one that has been gone for so long is believed: the whole shard
 * was begun anew. */
#define FORGET_MS 3000

struct known_node {
	struct leaders_role role;
	bool heard;
};

struct known_shard {
	_Atomic uint32_t leader; /* place << 1 | it leads */
	/* protected by lock */
	uint64_t epoch;
	uint64_t lost_ms;
	unsigned turn;
};

struct leaders {
	const struct cluster *cluster;
	_Atomic uint64_t generation, changes;
	atomic_bool doubt;
	struct mutex lock;
	struct known_shard *shards;
	struct known_node *nodes; /* by index - 1; protected by lock */
};

struct leaders *leaders_new(const struct cluster *cluster)
{
	struct leaders *leaders = calloc(1, sizeof(*leaders));
	unsigned count = 0;

	if (!leaders)
		return NULL;
	mutex_init(&leaders->lock);
	leaders->cluster = cluster;
	for (unsigned i = 0; i < cluster->shard_count; i++)
		count += cluster->shards[i].node_count;
	leaders->shards = calloc(cluster->shard_count, sizeof(*leaders->shards));
	leaders->nodes = calloc(count, sizeof(*leaders->nodes));
	if (!leaders->shards || !leaders->nodes)
		return leaders_free(leaders);
	for (unsigned i = 0; i < cluster->shard_count; i++)
		leaders->shards[i].leader = cluster->shards[i].leader << 1 | 1;
	return leaders;
}

struct leaders *leaders_free(struct leaders *leaders)
{
	if (!leaders)
		return NULL;
	mutex_deinit(&leaders->lock);
	free(leaders->shards);
	free(leaders->nodes);
	free(leaders);
	return NULL;
}

static const struct cluster_shard *shard_of(const struct leaders *leaders,
					    const struct cluster_node *node)
{
	return &leaders->cluster->shards[node->shard];
}

static uint32_t place_of(const struct leaders *leaders, const struct cluster_node *node)
{
	return (uint32_t)(node - shard_of(leaders, node)->nodes);
}

static bool is_leader(const struct leaders *leaders, const struct cluster_node *node)
{
	return leaders->shards[node->shard].leader >> 1 == place_of(leaders, node);
}

/* @leads: the node leads its shard; otherwise it did, and nobody does now. */
static void set_leader(struct leaders *leaders, const struct cluster_node *node, bool leads)
	REQUIRES(&leaders->lock)
{
	struct known_shard *shard = &leaders->shards[node->shard];
	uint32_t leader = place_of(leaders, node) << 1 | leads;

	if (shard->leader == leader)
		return;
	if (shard->leader >> 1 != leader >> 1) {
		atomic_fetch_add(&leaders->changes, 1);
		log_info("leader changed", "shard=%s leader=%s epoch=%" PRIx64,
			 shard_of(leaders, node)->name, node->name, shard->epoch);
	}
	if (leads)
		shard->lost_ms = 0;
	else if (shard->lost_ms == 0)
		shard->lost_ms = clock_monotonic_ms();
	shard->leader = leader;
	atomic_fetch_add(&leaders->generation, 1);
}

static bool is_believed(const struct leaders *leaders, const struct cluster_node *node,
			uint64_t epoch)
{
	const struct known_shard *shard = &leaders->shards[node->shard];

	if (epoch >= shard->epoch || is_leader(leaders, node))
		return true;
	return shard->lost_ms > 0 && clock_monotonic_ms() - shard->lost_ms > FORGET_MS;
}

void leaders_heard(struct leaders *leaders, const struct cluster_node *node,
		   const struct leaders_role *role)
{
	struct known_node *known = &leaders->nodes[node->index - 1];

	mutex_lock(&leaders->lock);
	if (known->heard != true || known->role.reads != role->reads)
		atomic_fetch_add(&leaders->generation, 1);
	known->role = *role;
	known->heard = true;
	if (role->leads && is_believed(leaders, node, role->epoch)) {
		leaders->shards[node->shard].epoch = role->epoch;
		set_leader(leaders, node, true);
	} else if (is_leader(leaders, node)) {
		set_leader(leaders, node, false);
	}
	mutex_unlock(&leaders->lock);
}

void leaders_heard_nothing(struct leaders *leaders, const struct cluster_node *node)
{
	mutex_lock(&leaders->lock);
	leaders->nodes[node->index - 1] = (struct known_node){ .heard = true };
	if (leaders->shards[node->shard].epoch == 0 && is_leader(leaders, node))
		set_leader(leaders, node, true);
	mutex_unlock(&leaders->lock);
}

void leaders_lost(struct leaders *leaders, const struct cluster_node *node)
{
	struct known_node *known = &leaders->nodes[node->index - 1];
	uint64_t before;

	mutex_lock(&leaders->lock);
	before = leaders->generation;
	if (known->heard)
		atomic_fetch_add(&leaders->generation, 1);
	known->heard = false;
	if (is_leader(leaders, node))
		set_leader(leaders, node, false);
	if (leaders->generation != before)
		leaders_doubt(leaders);
	mutex_unlock(&leaders->lock);
}

void leaders_refused(struct leaders *leaders, const struct cluster_node *node)
{
	mutex_lock(&leaders->lock);
	if (is_leader(leaders, node))
		set_leader(leaders, node, false);
	mutex_unlock(&leaders->lock);
	leaders_doubt(leaders);
}

void leaders_doubt(struct leaders *leaders)
{
	leaders->doubt = true;
}

bool leaders_take_doubt(struct leaders *leaders)
{
	return atomic_load_explicit(&leaders->doubt, memory_order_relaxed) &&
	       atomic_exchange(&leaders->doubt, false);
}

const struct cluster_node *leaders_leader(struct leaders *leaders, unsigned shard, bool *ret_leads)
{
	uint32_t leader =
		atomic_load_explicit(&leaders->shards[shard].leader, memory_order_relaxed);

	*ret_leads = leader & 1;
	return &leaders->cluster->shards[shard].nodes[leader >> 1];
}

static bool may_be_read(const struct leaders *leaders, const struct cluster_node *node,
			bool with_leader)
{
	const struct known_node *known = &leaders->nodes[node->index - 1];

	if (is_leader(leaders, node))
		return with_leader && (leaders->shards[node->shard].leader & 1);
	return known->heard && known->role.reads;
}

const struct cluster_node *leaders_reader(struct leaders *leaders, unsigned shard, bool with_leader)
{
	const struct cluster_shard *s = &leaders->cluster->shards[shard];
	struct known_shard *known = &leaders->shards[shard];
	const struct cluster_node *found = NULL;

	mutex_lock(&leaders->lock);
	for (unsigned i = 0; i < s->node_count && !found; i++) {
		const struct cluster_node *node = &s->nodes[known->turn++ % s->node_count];

		if (may_be_read(leaders, node, with_leader))
			found = node;
	}
	mutex_unlock(&leaders->lock);
	return found;
}

uint64_t leaders_lost_ms(struct leaders *leaders, unsigned shard)
{
	uint64_t lost_ms;

	mutex_lock(&leaders->lock);
	lost_ms = leaders->shards[shard].lost_ms;
	mutex_unlock(&leaders->lock);
	return lost_ms;
}

bool leaders_is_waited_for(struct leaders *leaders)
{
	for (unsigned i = 0; i < leaders->cluster->shard_count; i++) {
		uint64_t lost_ms;

		if (leaders->shards[i].leader & 1)
			continue;
		lost_ms = leaders_lost_ms(leaders, i);
		if (lost_ms > 0 && clock_monotonic_ms() - lost_ms < LEADERS_WAIT_MS)
			return true;
	}
	return false;
}

uint64_t leaders_generation(struct leaders *leaders)
{
	return leaders->generation;
}

void leaders_view(struct leaders *leaders, const struct cluster_node *node,
		  struct leaders_view *ret_view)
{
	const struct known_node *known = &leaders->nodes[node->index - 1];

	mutex_lock(&leaders->lock);
	ret_view->role = known->role;
	ret_view->heard = known->heard;
	mutex_unlock(&leaders->lock);
}

uint64_t leaders_epoch(struct leaders *leaders, unsigned shard)
{
	uint64_t epoch;

	mutex_lock(&leaders->lock);
	epoch = leaders->shards[shard].epoch;
	mutex_unlock(&leaders->lock);
	return epoch;
}

uint64_t leaders_changes(struct leaders *leaders)
{
	return leaders->changes;
}

/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard.h"

#include "tests/sim/shard_clients.h"
#include "tests/sim/shard_oracle.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STARTED_WITHIN_US 1500000
#define CALM_FIRST_US     5000000
#define CALM_WITHIN_US    120000000
#define LOG_BYTES_ALL     (64 << 20)
#define LOOK_EVERY_US     50000
#define PROBE_EVERY_US    3000000
#define HELP_EVERY_US     20000000

void shard_break(struct shard *shard, const char *format, ...)
{
	va_list args;

	if (shard_is_broken(shard))
		return;
	va_start(args, format);
	vsnprintf(shard->broken, sizeof(shard->broken), format, args);
	va_end(args);
}

void shard_note(struct shard *shard, const char *format, ...)
{
	va_list args;

	if (!shard->verbose)
		return;
	fprintf(stderr, "%10" PRIu64 " ", shard->events.now_us);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

bool shard_is_broken(const struct shard *shard)
{
	return shard->broken[0] != '\0';
}

void shard_trace(struct shard *shard, const void *data, size_t len)
{
	shard->trace = hash64(data, len, shard->trace);
}

void shard_trace_number(struct shard *shard, uint64_t number)
{
	shard_trace(shard, &number, sizeof(number));
}

static uint64_t one_of(struct shard *shard, const uint64_t *choices, size_t count)
{
	return choices[shard_random_below(&shard->random, count)];
}

#define ONE_OF(shard, ...)                                                                         \
	one_of(shard, (const uint64_t[]){ __VA_ARGS__ },                                           \
	       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t))

/* Small memtables make many runs and compactions, little retention logs that are trimmed and so
 * bootstraps, a low bound many value files. */
static void choose_profile(struct shard *shard)
{
	struct shard_profile *profile = &shard->profile;

	profile->nodes = (unsigned)ONE_OF(shard, 2, 2, 3, 3, 3, 4, 5);
	profile->keys = (unsigned)ONE_OF(shard, 6, 24, 24, 100, 400);
	profile->clients = (unsigned)ONE_OF(shard, 1, 3, 6);
	profile->think_us = ONE_OF(shard, 6000, 20000, 80000);
	profile->memtable_bytes = ONE_OF(shard, 1024, 4096, 16384);
	profile->inline_bytes = ONE_OF(shard, 16, 256, 1024, 4096);
	profile->log_retain_bytes = ONE_OF(shard, 16384, 65536, LOG_BYTES_ALL);
	profile->log_retain_s = (uint32_t)ONE_OF(shard, 3, 15, 600, 600);
	profile->keeps_ids =
		profile->log_retain_s == 600 && profile->log_retain_bytes == LOG_BYTES_ALL;
	profile->cache_bytes = ONE_OF(shard, 0, 65536);
	profile->bootstrap_bytes_per_s = ONE_OF(shard, 0, 0, 20000, 200000);
	profile->many_chunks = shard_random_percent(&shard->random, 4);
	/* A copy has to be through before the calm is over. */
	if (profile->many_chunks && profile->bootstrap_bytes_per_s > 0)
		profile->bootstrap_bytes_per_s = 200000;
	profile->memory_percent = (unsigned)ONE_OF(shard, 0, 20, 60);
	profile->quorum_percent = (unsigned)ONE_OF(shard, 0, 30, 60);
	profile->all_percent = (unsigned)ONE_OF(shard, 0, 10, 30);
	profile->fault_every_us = ONE_OF(shard, 400000, 1200000, 3000000);
	profile->faulty_us = ONE_OF(shard, 8000000, 15000000, 30000000);
}

static struct cluster *make_cluster(unsigned nodes)
{
	struct cluster *cluster = NULL;
	char text[1024];
	char *why = NULL;
	int len;

	len = snprintf(text, sizeof(text),
		       "{\"cluster\":\"sim\",\"shards\":[{\"name\":\"s\",\"slots\":[[0,4095]],"
		       "\"leader\":\"n0\",\"nodes\":[");
	for (unsigned i = 0; i < nodes; i++)
		len += snprintf(text + len, sizeof(text) - (size_t)len,
				"%s{\"name\":\"n%u\",\"url\":\"http://127.0.0.1:%u\"}",
				i > 0 ? "," : "", i, 8000 + i);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "]}]}");
	if (cluster_parse(text, (size_t)len, &cluster, &why) < 0) {
		fprintf(stderr, "%s\n", why);
		abort();
	}
	return cluster;
}

static void message_seen(void *state, unsigned from, unsigned to, const struct buf *message)
{
	shard_oracle_message(state, from, to, message);
}

struct shard *shard_new(uint64_t seed, enum shard_sabotage sabotage)
{
	struct shard *shard = calloc(1, sizeof(*shard));

	assert(shard);
	shard->seed = seed;
	shard->sabotage = sabotage;
	shard->random.state = seed;
	shard->served.state = ~seed;
	shard_random_serve(&shard->served);
	choose_profile(shard);
	shard->node_count = shard->profile.nodes;
	shard->cluster = make_cluster(shard->node_count);
	shard->net = (struct shard_net){
		.events = &shard->events,
		.random = &shard->random,
		.hooks = { shard_node_asked, shard_node_answered, message_seen },
		.state = shard,
	};
	shard_clients_new(shard);
	shard_oracle_new(shard);
	for (unsigned i = 0; i < shard->node_count; i++) {
		shard_node_init(shard, i);
		shard_node_start_in(&shard->nodes[i],
				    shard_random_below(&shard->random, STARTED_WITHIN_US));
	}
	return shard;
}

static void run_until(struct shard *shard, uint64_t until_us)
{
	while (!shard_is_broken(shard) && shard_events_step(&shard->events, until_us))
		shard->counts.events++;
}

static void say_why_not_calm(struct shard *shard)
{
	char text[400];
	int len = 0;

	for (unsigned i = 0; i < shard->node_count; i++)
		len += shard_oracle_describe(&shard->nodes[i], text + len,
					     sizeof(text) - (size_t)len);
	shard_break(shard, "after %d s of calm the nodes are not the same:%s",
		    CALM_WITHIN_US / 1000000, text);
}

static bool has_more(const struct store_standing *a, const struct store_standing *b)
{
	int order = version_compare(a->end, b->end);

	return order > 0 || (order == 0 && a->promise > b->promise);
}

/* The data of all others give way. */
static struct lineage oldest_lineage(struct shard *shard)
{
	struct lineage oldest = { 0 };
	struct store_standing standing;

	for (unsigned i = 0; i < shard->node_count; i++) {
		if (!shard_node_is_up(&shard->nodes[i]))
			continue;
		store_standing(shard->nodes[i].store, &standing);
		if (lineage_is_set(&standing.lineage) &&
		    (!lineage_is_set(&oldest) || lineage_compare(&standing.lineage, &oldest) < 0))
			oldest = standing.lineage;
	}
	return oldest;
}

/* Where every whole copy is lost nobody leads by himself: somebody has to say that what is left is
 * all there is. */
static void lead_what_is_left(struct shard *shard)
{
	struct store_standing most = { 0 }, standing;
	struct lineage lineage = oldest_lineage(shard);
	struct shard_node *best = NULL;

	for (unsigned i = 0; i < shard->node_count; i++) {
		struct replica_view view;

		if (!shard_node_is_up(&shard->nodes[i]))
			return;
		store_standing(shard->nodes[i].store, &standing);
		if (lineage_is_set(&standing.lineage) &&
		    !lineage_equal(&standing.lineage, &lineage))
			continue;
		replica_view(shard->nodes[i].replica, &view);
		if (view.reads || view.role == REPLICA_LEADER)
			return;
		if (best && !has_more(&standing, &most))
			continue;
		best = &shard->nodes[i];
		most = standing;
	}
	shard->counts.left_overs++;
	shard_faults_promote(shard, best, true);
}

/* Until all nodes are the same, and stay so while one more write goes through. */
static void calm_down(struct shard *shard)
{
	uint64_t until_us = shard->events.now_us + CALM_WITHIN_US;
	uint64_t help_at_us = shard->events.now_us + HELP_EVERY_US, probe_at_us = 0;

	while (!shard_is_broken(shard)) {
		run_until(shard, shard->events.now_us + LOOK_EVERY_US);
		if (shard_oracle_is_calm(shard)) {
			if (shard->clients->probed)
				return;
			if (shard->events.now_us >= probe_at_us) {
				shard_clients_probe(shard);
				probe_at_us = shard->events.now_us + PROBE_EVERY_US;
			}
		}
		if (shard->events.now_us > help_at_us) {
			lead_what_is_left(shard);
			help_at_us += HELP_EVERY_US;
		}
		if (shard->events.now_us > until_us)
			say_why_not_calm(shard);
	}
}

bool shard_run(struct shard *shard)
{
	shard_note(shard, "seed %" PRIu64 ": %u nodes, %u keys, %u clients", shard->seed,
		   shard->profile.nodes, shard->profile.keys, shard->profile.clients);
	/* So that there is something to lose, mostly. */
	run_until(shard, shard_random_below(&shard->random, CALM_FIRST_US));
	shard_faults_begin(shard);
	run_until(shard, shard->profile.faulty_us);
	shard_clients_rest(shard);
	shard_note(shard, "calm");
	if (!shard_is_broken(shard))
		shard_faults_end(shard);
	calm_down(shard);
	if (!shard_is_broken(shard))
		shard_oracle_finish(shard);
	shard_trace_number(shard, shard->events.now_us);
	return !shard_is_broken(shard);
}

struct shard *shard_free(struct shard *shard)
{
	if (!shard)
		return NULL;
	for (unsigned i = 0; i < shard->node_count; i++)
		shard_node_deinit(&shard->nodes[i]);
	shard_oracle_free(shard);
	shard_clients_free(shard);
	shard_events_deinit(&shard->events);
	shard_net_deinit(&shard->net);
	cluster_free(shard->cluster);
	shard_random_serve(NULL);
	free(shard);
	return NULL;
}

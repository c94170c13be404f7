/* SPDX-License-Identifier: MIT */
/*
 * hexkv-router: where clients come in. This file reads the options; the rest of the program is
 *
 *   router           what all workers share: cluster, counters, the JSON door's budget
 *   service          one worker: its connections to the nodes, the table of routes
 *   json_door        /: what all methods share, then one of
 *     json_put         PUT: collect, parse, write, answer with the record
 *     json_post        POST: key in the body, its record as JSON
 *     json_record      a record as JSON, both ways  (json_plain: the usual one, fast)
 *     json_key         which key a body names
 *   object_door      /kv/{hex}: what all methods check first, then one of
 *     forward          one exchange becomes one call  (upload, download)
 *     move             MOVE between two shards  (copy)
 *   keys             /keys over all shards  (cursor)
 *   status           /status, /health/ready: what all nodes say  (survey)
 *   admin            /health/live, /topology, /metrics  (counters)
 *
 *   leaders          who leads each shard, and whom else to read  (prober: asks the nodes;
 *                 node_answer: what they say)
 *   hop              one request to a node: address, fields, accounting, failures  (hop_wait)
 *   gather           a hop whose answer is collected whole
 *   pipe             bounded bytes between two sides of a stream
 *   budget, work     a bound on memory held together; computing that would hold the loop
 */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/server_settings.h"
#include "router/service.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define PROGRAM "hexkv-router"

struct settings {
	struct server_settings server;
	const char *cluster_file;
	unsigned node_timeout_ms;
	bool no_listing;
};

static const struct settings defaults = {
	.server = SERVER_SETTINGS_DEFAULT,
	.node_timeout_ms = 10000,
};

static int parse_arguments(int argc, char **argv, struct settings *s, int *ret_exit)
{
	const struct option_spec own[] = {
		{ "cluster", 0, OPTION_STRING, &s->cluster_file, "FILE", "the cluster file", 0, 0 },
		{ "listen", 0, OPTION_STRING, &s->server.server.listen, "ADDR:PORT",
		  "where it is asked (127.0.0.1:8080)", 0, 0 },
		{ "node-timeout-ms", 0, OPTION_UNSIGNED, &s->node_timeout_ms, "MS",
		  "how long a node may take to answer (10000)", 10, 3600000 },
		{ "no-listing", 0, OPTION_FLAG, &s->no_listing, NULL, "refuse to list keys", 0, 0 },
	};
	struct option_spec specs[sizeof(own) / sizeof(own[0]) + SERVER_SETTINGS_SPECS];
	const struct options options = {
		.program = PROGRAM,
		.summary = "Serves the records of a hexkv cluster: JSON at /, objects at /kv/.",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	int first_operand;

	memcpy(specs, own, sizeof(own));
	server_settings_specs(&s->server, specs + sizeof(own) / sizeof(own[0]));
	return options_parse(&options, argc, argv, &first_operand, ret_exit);
}

static int complain(const char *sentence)
{
	fprintf(stderr, PROGRAM ": %s\n", sentence);
	return 2;
}

static int load(const struct settings *s, struct router *router)
{
	_cleanup_(freep) char *why = NULL;

	if (!s->cluster_file)
		return complain("--cluster is missing; name the cluster file");
	if (cluster_load(s->cluster_file, &router->cluster, &why) < 0)
		return complain(why ? why : "the cluster file can't be read: memory is out");
	for (unsigned i = 0; i < router->cluster->shard_count; i++)
		router->node_count += router->cluster->shards[i].node_count;
	router->leaders = leaders_new(router->cluster);
	if (!router->leaders || counters_init(&router->counters, router->node_count) < 0)
		return complain("memory is out");
	router->token = s->server.token;
	router->node_timeout_ms = s->node_timeout_ms;
	router->listing = !s->no_listing;
	router->json.limit = ROUTER_JSON_TOTAL_MAX;
	router->started_ms = clock_monotonic_ms();
	return 0;
}

/* Values of many MiB come and go: they are to leave the process when they are freed, not to widen
 * the heap of the thread that held them. */
static void return_large_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 512 * 1024);
}

static int serve(struct settings *s, struct router *router)
{
	return_large_memory();
	/* Both before there are threads. */
	json_object_seed(0);
	if (http_client_global_init() < 0) {
		log_error("libcurl does not start", "%s", "");
		return 1;
	}
	if (!s->server.server.listen)
		s->server.server.listen = "127.0.0.1:8080";
	s->server.server.http.offer_mux = true;
	s->server.server.http.mux_of_clients = true;
	return server_run(&s->server.server, &router_service, router);
}

int main(int argc, char **argv)
{
	static struct router router;
	struct settings settings = defaults;
	int status;

	if (parse_arguments(argc, argv, &settings, &status) != 0)
		return status;
	status = server_settings_apply(&settings.server, PROGRAM);
	if (status == 0)
		status = load(&settings, &router);
	if (status == 0)
		status = serve(&settings, &router);
	leaders_free(router.leaders);
	cluster_free(router.cluster);
	counters_deinit(&router.counters);
	server_settings_deinit(&settings.server);
	return status;
}

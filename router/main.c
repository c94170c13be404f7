/* SPDX-License-Identifier: MIT */
/*
 * hexkv-router: where clients come in. This file reads the options; the rest of the program is
 *
 *   router           what all workers share: cluster, counters, the JSON door's budget
 *   service          one worker: its connections to the nodes, the table of routes
 *   json_door        /: what all methods share, then one of
 *     json_put         PUT: collect, parse, write, answer with the record
 *     json_post        POST: key in the body, its record as JSON
 *     json_record      a record as JSON, both ways  (base64)
 *     json_key         which key a body names
 *   object_door      /kv/{hex}: what all methods check first, then one of
 *     forward          one exchange becomes one call  (upload, download)
 *     move             MOVE between two shards  (copy)
 *   keys             /keys over all shards  (cursor)
 *   status           /status, /health/ready: what all nodes say  (survey)
 *   admin            /health/live, /topology, /metrics  (counters)
 *
 *   hop              one request to a node: address, fields, accounting, failures
 *   gather           a hop whose answer is collected whole
 *   pipe             bounded bytes between two sides of a stream
 *   budget, work     a bound on memory held together; computing that would hold the loop
 */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/options.h"
#include "router/service.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define PROGRAM "hexkv-router"

struct settings {
	struct server_options server;
	const char *cluster_file;
	const char *token_file;
	const char *log_level;
	unsigned node_timeout_ms;
	unsigned idle_timeout_s;
	unsigned head_timeout_s;
	unsigned drain_s;
	bool no_listing;
};

static const struct settings defaults = {
	.server = {
		.listen = "127.0.0.1:8080",
		.workers = 2,
		.http = { .connection_limit = 1024 },
	},
	.log_level = "info",
	.node_timeout_ms = 10000,
	.idle_timeout_s = 120,
	.head_timeout_s = 10,
	.drain_s = 30,
};

static int parse_arguments(int argc, char **argv, struct settings *s, int *ret_exit)
{
	const struct option_spec specs[] = {
		{ "cluster", 0, OPTION_STRING, &s->cluster_file, "FILE", "the cluster file", 0, 0 },
		{ "listen", 0, OPTION_STRING, &s->server.listen, "ADDR:PORT",
		  "where it is asked (127.0.0.1:8080)", 0, 0 },
		{ "port-file", 0, OPTION_STRING, &s->server.port_file, "FILE",
		  "write the port there once it listens", 0, 0 },
		{ "workers", 0, OPTION_UNSIGNED, &s->server.workers, "N", "threads that serve (2)",
		  1, 64 },
		{ "connection-limit", 0, OPTION_UNSIGNED, &s->server.http.connection_limit, "N",
		  "open connections of a worker at most (1024)", 8, 65536 },
		{ "node-timeout-ms", 0, OPTION_UNSIGNED, &s->node_timeout_ms, "MS",
		  "how long a node may take to answer (10000)", 10, 3600000 },
		{ "idle-timeout", 0, OPTION_UNSIGNED, &s->idle_timeout_s, "SECONDS",
		  "close a connection that is idle that long (120)", 1, 86400 },
		{ "head-timeout", 0, OPTION_UNSIGNED, &s->head_timeout_s, "SECONDS",
		  "time to send the head of a request (10)", 1, 3600 },
		{ "drain-timeout", 0, OPTION_UNSIGNED, &s->drain_s, "SECONDS",
		  "time for what is under way at SIGTERM (30)", 0, 3600 },
		{ "no-listing", 0, OPTION_FLAG, &s->no_listing, NULL, "refuse to list keys", 0, 0 },
		{ "token-file", 0, OPTION_STRING, &s->token_file, "FILE",
		  "ask for the bearer token in FILE, and show it to the nodes", 0, 0 },
		{ "log-level", 0, OPTION_STRING, &s->log_level, "LEVEL",
		  "error, warn, info or debug (info)", 0, 0 },
	};
	const struct options options = {
		.program = PROGRAM,
		.summary = "Serves the records of a hexkv cluster: JSON at /, objects at /kv/.",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	int first_operand;

	return options_parse(&options, argc, argv, &first_operand, ret_exit);
}

static int complain(const char *sentence)
{
	fprintf(stderr, PROGRAM ": %s\n", sentence);
	return 2;
}

static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("file limit not raised", "limit=%llu", (unsigned long long)limit.rlim_cur);
}

static int load(const struct settings *s, struct router *router)
{
	_cleanup_(freep) char *why = NULL;

	if (!s->cluster_file)
		return complain("--cluster is missing; name the cluster file");
	if (cluster_load(s->cluster_file, &router->cluster, &why) < 0)
		return complain(why ? why : "the cluster file can't be read: memory is out");
	if (s->token_file && read_token_file(s->token_file, &router->token) < 0)
		return complain("--token-file must name a readable file whose first line is the "
				"token");
	for (unsigned i = 0; i < router->cluster->shard_count; i++)
		router->node_count += router->cluster->shards[i].node_count;
	if (counters_init(&router->counters, router->node_count) < 0)
		return complain("memory is out");
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
	s->server.http.token = router->token;
	s->server.http.idle_timeout_ms = s->idle_timeout_s * 1000;
	s->server.http.head_timeout_ms = s->head_timeout_s * 1000;
	s->server.drain_ms = s->drain_s * 1000;
	raise_file_limit();
	return_large_memory();
	/* Both before there are threads. */
	json_object_seed(0);
	if (http_client_global_init() < 0) {
		log_error("libcurl does not start", "%s", "");
		return 1;
	}
	return server_run(&s->server, &router_service, router);
}

int main(int argc, char **argv)
{
	static struct router router;
	struct settings settings = defaults;
	enum log_level level;
	int status;

	if (parse_arguments(argc, argv, &settings, &status) != 0)
		return status;
	if (log_level_parse(settings.log_level, &level) < 0)
		return complain("--log-level must be error, warn, info or debug");
	log_init(PROGRAM, level);
	status = load(&settings, &router);
	if (status == 0)
		status = serve(&settings, &router);
	cluster_free(router.cluster);
	counters_deinit(&router.counters);
	free(router.token);
	return status;
}

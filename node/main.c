/* SPDX-License-Identifier: MIT */
/*
 * hexkv-node: one storage node. This file reads the options; the rest of the program is
 *
 *   service          what all requests share: cluster, store, pools, counters
 *   routes, request  from a path to its handler; the ways to answer
 *   object_door      /kv/{hex}: what all methods check first, then one of
 *     object_get       GET, HEAD          (record_read, value_stream)
 *     object_put       PUT                (value_upload, object_write)
 *     object_change    DELETE, PATCH, MOVE  (object_write)
 *   keys             /keys
 *   admin            /health, /status, /topology, /metrics  (traffic, store_metrics)
 *   check            --check
 *
 *   store            versions, preconditions, group commit; it joins
 *     wal              the write-ahead log
 *     lsm              memtables, segments, manifest, flush and compaction
 *     value_file       values in files of their own
 *   entry, vfs       one version of one record as bytes; all file access
 */
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/options.h"
#include "node/check.h"
#include "node/service.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define PROGRAM "hexkv-node"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

struct settings {
	struct service_options service;
	struct server_options server;
	const char *token_file;
	const char *log_level;
	const char *check;
	unsigned idle_timeout_s;
	unsigned head_timeout_s;
	unsigned drain_s;
};

static const struct settings defaults = {
	.service = {
		.memtable_bytes = 1 * MIB,
		.inline_bytes = 64 * KIB,
		.cache_bytes = 64 * MIB,
		.log_retain_bytes = 64 * MIB,
		.log_retain_s = 600,
	},
	.server = {
		.workers = 2,
		.http = { .connection_limit = 1024, .offer_mux = true },
	},
	.log_level = "info",
	.idle_timeout_s = 120,
	.head_timeout_s = 10,
	.drain_s = 30,
};

static int parse_arguments(int argc, char **argv, struct settings *s, int *ret_exit)
{
	struct service_options *service = &s->service;
	struct http_server_options *http = &s->server.http;
	const struct option_spec specs[] = {
		{ "data", 0, OPTION_STRING, &service->data, "DIR",
		  "where its records are (made if missing)", 0, 0 },
		{ "listen", 0, OPTION_STRING, &s->server.listen, "ADDR:PORT",
		  "where it is asked; default: as the cluster file says", 0, 0 },
		{ "cluster", 0, OPTION_STRING, &service->cluster_file, "FILE", "the cluster file",
		  0, 0 },
		{ "name", 0, OPTION_STRING, &service->name, "NAME",
		  "which node of the cluster file this is", 0, 0 },
		{ "check", 0, OPTION_STRING, &s->check, "DIR",
		  "verify every byte of a stopped node's directory and exit", 0, 0 },
		{ NULL, 0, OPTION_GROUP, NULL, NULL, "Serving", 0, 0 },
		{ "port-file", 0, OPTION_STRING, &s->server.port_file, "FILE",
		  "write the port there once it listens", 0, 0 },
		{ "workers", 0, OPTION_UNSIGNED, &s->server.workers, "N", "threads that serve", 1,
		  64 },
		{ "connections", 0, OPTION_UNSIGNED, &http->connection_limit, "N",
		  "open connections of a worker at most", 8, 65536 },
		{ "idle-timeout", 0, OPTION_UNSIGNED, &s->idle_timeout_s, "SECONDS",
		  "close a connection that is idle that long", 1, 86400 },
		{ "head-timeout", 0, OPTION_UNSIGNED, &s->head_timeout_s, "SECONDS",
		  "time to send the head of a request", 1, 3600 },
		{ "drain-timeout", 0, OPTION_UNSIGNED, &s->drain_s, "SECONDS",
		  "time for what is under way at SIGTERM", 0, 3600 },
		{ "no-listing", 0, OPTION_FLAG, &service->no_listing, NULL, "refuse to list keys",
		  0, 0 },
		{ "token-file", 0, OPTION_STRING, &s->token_file, "FILE",
		  "ask for the bearer token in FILE", 0, 0 },
		{ "log-level", 0, OPTION_STRING, &s->log_level, "LEVEL",
		  "error, warn, info or debug", 0, 0 },
		{ NULL, 0, OPTION_GROUP, NULL, NULL, "Storage", 0, 0 },
		{ "memtable-bytes", 0, OPTION_SIZE, &service->memtable_bytes, "SIZE",
		  "seal a memtable at this size (1M)", 4 * KIB, GIB },
		{ "inline-bytes", 0, OPTION_SIZE, &service->inline_bytes, "SIZE",
		  "larger values get files of their own (64K)", 0, 256 * KIB },
		{ "cache-bytes", 0, OPTION_SIZE, &service->cache_bytes, "SIZE",
		  "memory for blocks that were read (64M)", 0, 0 },
		{ "log-retain-bytes", 0, OPTION_SIZE, &service->log_retain_bytes, "SIZE",
		  "keep that much log behind the flush (64M)", 0, 0 },
		{ "log-retain-seconds", 0, OPTION_UNSIGNED, &service->log_retain_s, "SECONDS",
		  "but none that is older (600)", 0, 0 },
	};
	const struct options options = {
		.program = PROGRAM,
		.summary = "Stores the records of one shard of a hexkv cluster.",
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

/* Opens files without a bound of its own: segments, value files, connections. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("file limit not raised", "limit=%llu", (unsigned long long)limit.rlim_cur);
}

/* Before there are threads: all inherit the mask, so that only the server takes these signals. */
static void block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int missing_argument(const struct settings *s)
{
	if (!s->service.data)
		return complain("--data is missing; name the directory for the records");
	if (!s->service.cluster_file)
		return complain("--cluster is missing; name the cluster file");
	if (!s->service.name)
		return complain("--name is missing; say which node of the cluster file this is");
	return 0;
}

/* The cluster file says where others expect this node. */
static const char *default_listen(const struct service *service)
{
	const char *host = strstr(service->node->url, "://");

	return host ? host + 3 : service->node->url;
}

static int serve(struct settings *s)
{
	_cleanup_(freep) char *why = NULL;
	struct service *service = NULL;
	int status;

	status = service_open(&s->service, &service, &why);
	if (status != 0) {
		complain(why ? why : "memory is out");
		return status;
	}
	if (!s->server.listen)
		s->server.listen = default_listen(service);
	s->server.drain_ms = s->drain_s * 1000;
	s->server.http.idle_timeout_ms = s->idle_timeout_s * 1000;
	s->server.http.head_timeout_ms = s->head_timeout_s * 1000;
	status = server_run(&s->server, &service_callbacks, service);
	service_close(service);
	return status;
}

static int start(struct settings *s)
{
	_cleanup_(freep) char *token = NULL;
	enum log_level level;
	int status;

	if (log_level_parse(s->log_level, &level) < 0)
		return complain("--log-level must be error, warn, info or debug");
	log_init(PROGRAM, level);
	if (s->check)
		return check_run(s->check);
	status = missing_argument(s);
	if (status != 0)
		return status;
	if (s->token_file && read_token_file(s->token_file, &token) < 0)
		return complain("--token-file must name a readable file whose first line is the "
				"token");
	s->server.http.token = token;
	raise_file_limit();
	block_signals();
	return serve(s);
}

int main(int argc, char **argv)
{
	struct settings settings = defaults;
	int status;

	if (parse_arguments(argc, argv, &settings, &status) != 0)
		return status;
	return start(&settings);
}

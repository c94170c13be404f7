/* SPDX-License-Identifier: MIT */
/*
 * hexkv-node: one storage node. This file reads the options; the rest of the program is
 *
 *   service          what all requests share: cluster, store, pools, counters
 *   routes, request  from a path to its handler; the ways to answer
 *   object_door      /kv/{hex}: what all methods check first, then one of
 *     object_get       GET, HEAD          (record_read, value_stream, pin_token)
 *     object_put       PUT                (value_upload, object_write)
 *     object_change    DELETE, PATCH, MOVE  (object_write, object_patch)
 *   keys             /keys
 *   role             /role, /admin/promote; who may read and write here
 *   admin            /health, /status, /topology, /metrics
 *                      (traffic, store_metrics, replica_metrics)
 *   checkpoint_door  /admin/checkpoint
 *   check            --check
 *   diverged_print   --diverged
 *
 *   replication      the thread around the replication core, and its clock
 *     replica_door     /replica: what other nodes ask
 *     replica_calls    what they are asked
 *     replica          the core, its own map: who leads, pulls, divergence, whole copies
 *       replica_message  what nodes say to each other  (replica_items)
 *     acks             writes that wait until followers have them
 *
 *   store            versions, preconditions, group commit; store_role: leading and following,
 *                    store_renew: with a new log; it joins
 *     epoch, lineage   who led, and in which life of the shard; in the small files history
 *                      and standing
 *     wal              the write-ahead log; log_read: as it is shipped to followers
 *     commit           the thread that writes: groups of writes, and a follower's batches;
 *                      commit_cold: writes whose old version is on a disk
 *     lsm              memtables, segments, manifest, flush, compaction, reclaim
 *     value_file       values in files of their own; value_pins: those kept for a reader
 *     checkpoint       a copy by hard links, for a backup or another node
 *     install          such a copy takes the place of the store
 *     diverged         what the shard went on without, saved in a file
 *   entry, vfs       one version of one record as bytes; all file access
 */
#include "lib/cleanup.h"
#include "lib/http_client.h"
#include "lib/log.h"
#include "lib/options.h"
#include "lib/server_settings.h"
#include "node/check.h"
#include "node/diverged_print.h"
#include "node/service.h"

#include <stdio.h>
#include <string.h>

#define PROGRAM "hexkv-node"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

struct settings {
	struct server_settings server;
	struct service_options service;
	const char *check;
	const char *diverged;
	const char *diverged_values;
};

static const struct settings defaults = {
	.server = SERVER_SETTINGS_DEFAULT,
	.service = {
		.memtable_bytes = 1 * MIB,
		.inline_bytes = 64 * KIB,
		.cache_bytes = 64 * MIB,
		.log_retain_bytes = 64 * MIB,
		.log_retain_s = 600,
		.log_hold_bytes = 16 * GIB,
		.ack_timeout_ms = 5000,
	},
};

static int parse_arguments(int argc, char **argv, struct settings *s, int *ret_exit)
{
	struct service_options *service = &s->service;
	const struct option_spec own[] = {
		{ "data", 0, OPTION_STRING, &service->data, "DIR",
		  "where its records are (made if missing)", 0, 0 },
		{ "listen", 0, OPTION_STRING, &s->server.server.listen, "ADDR:PORT",
		  "where it is asked; default: as the cluster file says", 0, 0 },
		{ "cluster", 0, OPTION_STRING, &service->cluster_file, "FILE", "the cluster file",
		  0, 0 },
		{ "name", 0, OPTION_STRING, &service->name, "NAME",
		  "which node of the cluster file this is", 0, 0 },
		{ "no-listing", 0, OPTION_FLAG, &service->no_listing, NULL, "refuse to list keys",
		  0, 0 },
		{ "check", 0, OPTION_STRING, &s->check, "DIR",
		  "verify every byte of a stopped node's directory and exit", 0, 0 },
		{ "diverged", 0, OPTION_STRING, &s->diverged, "FILE",
		  "print a diverged log as JSON lines and exit", 0, 0 },
		{ "diverged-values", 0, OPTION_STRING, &s->diverged_values, "DIR",
		  "with it: write values too large for a line to files here", 0, 0 },
		{ NULL, 0, OPTION_GROUP, NULL, NULL, "Replication", 0, 0 },
		{ "ack-timeout-ms", 0, OPTION_UNSIGNED, &service->ack_timeout_ms, "MS",
		  "wait that long for other nodes to have a write (5000)", 1, 3600000 },
		{ "bootstrap-rate", 0, OPTION_SIZE, &service->bootstrap_bytes_per_s, "SIZE",
		  "fetch a whole copy with at most that many bytes a second (no limit)", 64 * KIB,
		  0 },
		{ "log-retain-bytes", 0, OPTION_SIZE, &service->log_retain_bytes, "SIZE",
		  "keep that much log for followers that were away (64M)", 0, 0 },
		{ "log-retain-seconds", 0, OPTION_UNSIGNED, &service->log_retain_s, "SECONDS",
		  "but none that is older (600)", 0, 0 },
		{ "log-hold-bytes", 0, OPTION_SIZE, &service->log_hold_bytes, "SIZE",
		  "keep at most that much for one that fetches a copy (16G)", MIB, 0 },
		{ NULL, 0, OPTION_GROUP, NULL, NULL, "Storage", 0, 0 },
		{ "memtable-bytes", 0, OPTION_SIZE, &service->memtable_bytes, "SIZE",
		  "seal a memtable at this size (1M)", 4 * KIB, GIB },
		{ "inline-bytes", 0, OPTION_SIZE, &service->inline_bytes, "SIZE",
		  "larger values get files of their own (64K)", 0, 256 * KIB },
		{ "cache-bytes", 0, OPTION_SIZE, &service->cache_bytes, "SIZE",
		  "memory for blocks that were read (64M)", 0, 0 },
	};
	struct option_spec specs[sizeof(own) / sizeof(own[0]) + SERVER_SETTINGS_SPECS];
	const struct options options = {
		.program = PROGRAM,
		.summary = "Stores the records of one shard of a hexkv cluster.",
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

/* Until SIGTERM, or until there is another copy to serve from: opening takes it over. */
static int serve_once(const struct settings *s)
{
	_cleanup_(freep) char *why = NULL;
	struct server_options server = s->server.server;
	struct service *service = NULL;
	int status;

	status = service_open(&s->service, &service, &why);
	if (status != 0) {
		complain(why ? why : "memory is out");
		return status;
	}
	if (!server.listen)
		server.listen = default_listen(service);
	server.http.offer_mux = true;
	status = server_run(&server, &service_callbacks, service);
	service_close(service);
	return status;
}

static int serve(struct settings *s)
{
	struct replica_counters counters = { 0 };
	int status;

	s->service.token = s->server.token;
	s->service.counters = &counters;
	if (http_client_global_init() < 0)
		return complain("memory is out");
	do
		status = serve_once(s);
	while (status == SERVER_RESTART);
	return status;
}

static int start(struct settings *s)
{
	int status;

	if (s->check) { /* before signals are blocked: it may be interrupted */
		log_init(PROGRAM, LOG_LEVEL_INFO);
		return check_run(s->check);
	}
	if (s->diverged) {
		log_init(PROGRAM, LOG_LEVEL_INFO);
		return diverged_print(vfs_posix(), s->diverged, s->diverged_values, stdout);
	}
	status = server_settings_apply(&s->server, PROGRAM);
	if (status == 0)
		status = missing_argument(s);
	return status != 0 ? status : serve(s);
}

int main(int argc, char **argv)
{
	struct settings settings = defaults;
	int status;

	if (parse_arguments(argc, argv, &settings, &status) != 0)
		return status;
	status = start(&settings);
	server_settings_deinit(&settings.server);
	return status;
}

/* SPDX-License-Identifier: MIT */
#include "node/service.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "node/replication.h"
#include "node/routes.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define READ_THREADS  4
#define WRITE_THREADS 4

#define STREAM_WAIT_MS 5000
/* Of a reader that reads nothing, when others wait for the memory of its value. */
#define STREAM_IDLE_MS 1000

static int find_place(struct service *service, const struct service_options *options,
		      char **ret_why)
{
	if (cluster_load(options->cluster_file, &service->cluster, ret_why) < 0)
		return 2;
	service->node = cluster_find_node(service->cluster, options->name);
	if (!service->node) {
		if (asprintf(ret_why, "%s does not name a node \"%s\"; check --name",
			     options->cluster_file, options->name) < 0)
			*ret_why = NULL;
		return 2;
	}
	service->shard = &service->cluster->shards[service->node->shard];
	return 0;
}

static int open_store(struct service *service, const struct service_options *options,
		      char **ret_why)
{
	struct store_options store_options = {
		.vfs = vfs_posix(),
		.dir = options->data,
		.cluster = service->cluster->name,
		.node = service->node->name,
		.memtable_bytes = options->memtable_bytes,
		.cache_bytes = options->cache_bytes,
		.inline_bytes = options->inline_bytes,
		.log_retain_bytes = options->log_retain_bytes,
		.log_retain_s = options->log_retain_s,
		.log_spare_s = service->shard->node_count > 1 ? options->log_retain_s / 10 : 0,
		.log_hold_bytes = options->log_hold_bytes,
		.keep_old_s = PIN_SECONDS_MAX,
		.keeps_deletions = service->shard->node_count > 1,
		.threads = true,
	};
	int r;

	r = store_open(&store_options, &service->store, ret_why);
	if (r == -EPERM || r == -EBUSY)
		return 2;
	return r < 0 ? 1 : 0;
}

static int start_pools(struct service *service, char **ret_why)
{
	int r;

	r = pool_new(READ_THREADS, &service->read_pool);
	if (r >= 0)
		r = pool_new(WRITE_THREADS, &service->write_pool);
	if (r >= 0)
		return 0;
	if (asprintf(ret_why, "can't start threads: %s", strerror(-r)) < 0)
		*ret_why = NULL;
	return 1;
}

static int start_replication(struct service *service, const struct service_options *options,
			     char **ret_why)
{
	struct replication_options replication = {
		.store = service->store,
		.vfs = vfs_posix(),
		.dir = options->data,
		.cluster = service->cluster,
		.shard = service->shard,
		.self = (unsigned)(service->node - service->shard->nodes),
		.token = options->token,
		.bootstrap_bytes_per_s = options->bootstrap_bytes_per_s,
	};
	int printed, r = -ENOMEM;

	if (options->counters)
		replication.before = *options->counters;
	service->acks = acks_new(service->shard->node_count);
	replication.acks = service->acks;
	if (service->acks)
		r = replication_new(&replication, &service->replication);
	if (r >= 0) {
		service->counters = options->counters;
		return 0;
	}
	if (r == -E2BIG)
		printed = asprintf(ret_why, "shard %s has more than %d nodes; remove some",
				   service->shard->name, REPLICA_NODES_MAX);
	else
		printed = asprintf(ret_why, "replication can't start: %s", strerror(-r));
	if (printed < 0)
		*ret_why = NULL;
	return r == -E2BIG ? 2 : 1;
}

int service_open(const struct service_options *options, struct service **ret_service,
		 char **ret_why)
{
	struct service *service;
	int status;

	*ret_why = NULL;
	service = calloc(1, sizeof(*service));
	if (!service)
		return 1;
	service->listing = !options->no_listing;
	service->inline_bytes = options->inline_bytes;
	service->stream_wait_ms = STREAM_WAIT_MS;
	service->stream_idle_ms = STREAM_IDLE_MS;
	service->ack_timeout_ms = options->ack_timeout_ms;
	service->started_ms = clock_monotonic_ms();
	status = find_place(service, options, ret_why);
	if (status == 0)
		status = open_store(service, options, ret_why);
	if (status == 0)
		file_system_id(options->data, service->file_system);
	if (status == 0)
		status = start_pools(service, ret_why);
	if (status == 0)
		status = start_replication(service, options, ret_why);
	if (status != 0) {
		service_close(service);
		return status;
	}
	*ret_service = service;
	return 0;
}

static void keep_counters(struct service *service)
{
	struct replica_view view;

	if (!service->counters)
		return;
	replication_view(service->replication, &view);
	*service->counters = view.counters;
}

struct service *service_close(struct service *service)
{
	if (!service)
		return NULL;
	keep_counters(service);
	pool_free(service->read_pool);
	pool_free(service->write_pool);
	service->replication = replication_free(service->replication);
	store_close(service->store);
	acks_free(service->acks);
	cluster_free(service->cluster);
	free(service);
	return NULL;
}

void service_submit(struct service_worker *worker, struct pool *pool, struct pool_job *job)
{
	worker->in_flight++;
	job->loop = worker->worker->loop;
	pool_submit(pool, job);
}

void service_job_done(struct service_worker *worker)
{
	assert(worker->in_flight > 0);
	worker->in_flight--;
}

static int start_worker(struct worker *worker, void *program)
{
	struct service_worker *state;

	state = calloc(1, sizeof(*state));
	if (!state)
		return -ENOMEM;
	state->service = program;
	state->worker = worker;
	worker->state = state;
	replication_attach(state->service->replication, worker->server);
	return 0;
}

static void stop_worker(struct worker *worker)
{
	struct service_worker *state = worker->state;

	replication_detach(state->service->replication);
	free(worker->state);
	worker->state = NULL;
}

static bool worker_is_busy(struct worker *worker)
{
	const struct service_worker *state = worker->state;

	return state && (state->in_flight > 0 || state->waiting);
}

/* Every worker says so, and once would do. */
static void drain_worker(struct worker *worker)
{
	struct service_worker *state = worker->state;

	replication_drain(state->service->replication);
}

const struct server_service service_callbacks = {
	.start = start_worker,
	.stop = stop_worker,
	.begin = routes_begin,
	.busy = worker_is_busy,
	.drain = drain_worker,
};

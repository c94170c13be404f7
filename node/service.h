/* SPDX-License-Identifier: MIT */
/*
 * What all requests to this node share: the cluster and this node's place in it, the store, the
 * pools for what may block, and the counters.
 *
 * Threads: a service is immutable after open but for what its members guard themselves; a
 * service_worker belongs to its worker's thread.
 */
#pragma once

#include "lib/cluster.h"
#include "lib/pool.h"
#include "lib/server.h"
#include "node/acks.h"
#include "node/file_system.h"
#include "node/replica.h"
#include "node/store.h"
#include "node/traffic.h"

struct service_options {
	const char *data;
	const char *cluster_file;
	const char *name;
	uint64_t memtable_bytes;
	uint64_t inline_bytes;
	uint64_t cache_bytes;
	uint64_t log_retain_bytes;
	unsigned log_retain_s;
	uint64_t log_hold_bytes;
	bool no_listing;
	unsigned ack_timeout_ms;
	uint64_t bootstrap_bytes_per_s; /* 0: as fast as it goes */
	const char *token; /* to show to the other nodes; NULL: none. Borrowed */
	struct replica_counters *counters; /* go on from one service to the next; NULL: from 0 */
};

struct replication;

struct service {
	struct cluster *cluster;
	const struct cluster_node *node; /* this one */
	const struct cluster_shard *shard; /* its shard */
	bool listing;
	uint64_t inline_bytes;
	uint64_t started_ms; /* monotonic */
	char file_system[FILE_SYSTEM_ID_SIZE]; /* that the store is on */
	struct store *store;
	struct acks *acks; /* writes that wait for copies */
	unsigned ack_timeout_ms;
	struct replica_counters *counters; /* NULL: nobody wants them at the end */
	struct replication *replication; /* who leads, and how the others come to have it all */
	unsigned stream_wait_ms; /* how long a value waits for memory to be sent with */
	unsigned stream_idle_ms; /* how long a reader may keep that from others without reading */
	struct pool *read_pool; /* reads, so that they never queue behind a sync */
	struct pool *write_pool; /* value files being written */
	struct traffic traffic;
};

/* Memory that value streams of one worker may hold. */
#define SERVICE_STREAM_BYTES_MAX (64u * 1024 * 1024)
/* Memory for the values that one worker takes in at once, those of up to inline_bytes aside. */
#define SERVICE_UPLOAD_BYTES_MAX (64u * 1024 * 1024)

struct value_stream;

struct service_worker {
	struct service *service;
	struct worker *worker;
	unsigned in_flight; /* jobs and writes that will post to the loop */
	uint64_t stream_bytes;
	struct value_stream *waiting; /* for stream_bytes, oldest first */
	struct value_stream *sending; /* those that may hold some */
	struct loop_timer reclaim; /* while anybody waits */
	uint64_t upload_bytes;
};

/* 0, or the program's exit status (2: bad cluster file or the wrong data directory; 1: anything
 * else) and a sentence in @ret_why (to be freed; NULL if memory is out). */
int service_open(const struct service_options *options, struct service **ret_service,
		 char **ret_why);
/* Once no request is under way. */
struct service *service_close(struct service *service);

/* The callbacks for server_run(), whose program is the service. */
extern const struct server_service service_callbacks;

/* Submits @job; its done() must call service_job_done() first. */
void service_submit(struct service_worker *worker, struct pool *pool, struct pool_job *job);
void service_job_done(struct service_worker *worker);

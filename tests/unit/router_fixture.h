/* SPDX-License-Identifier: MIT */
/*
 * One worker of the router and two nodes that do as a test tells them, in one loop in a thread of
 * its own; tests ask over HTTP, or as frames, from theirs. The nodes keep records in memory, know
 * If-Match and "If-None-Match: *", and misbehave where the key says so:
 *
 *   /kv/ee04   never answers
 *   /kv/ee15   answers 421
 *   /kv/ee01   answers 401
 *   /kv/ee02   announces 1,000,000 bytes and breaks off in the middle
 */
#pragma once

#include "lib/http_sync.h"
#include "router/service.h"

#include <pthread.h>

#define FIXTURE_RECORDS 64

struct fake_record {
	char path[300];
	struct buf value;
	struct fields fields; /* content type, encoding, mtime */
	unsigned version; /* 0: none */
};

/* What a node says of itself. */
enum fake_role {
	FAKE_SILENT, /* it has no /role */
	FAKE_LEADER,
	FAKE_FOLLOWER, /* which refuses writes, and reads that want the leader */
	FAKE_STARTING, /* refuses everything */
	FAKE_STUCK, /* answers nothing at all */
};

struct fake_node {
	struct fixture *fixture;
	_Atomic enum fake_role role;
	_Atomic unsigned epoch;
	_Atomic unsigned refused, reads, role_asked;
	int fd;
	struct http_server *http;
	unsigned next_version;
	struct fake_record records[FIXTURE_RECORDS];
	/* So many DELETEs meet a record that somebody has just written anew; the next are honest.
	 */
	_Atomic unsigned races;
	_Atomic unsigned deletes, puts;
	struct fields seen; /* of the newest request */
};

struct fixture {
	struct router router;
	struct worker worker;
	struct loop *loop;
	int fd;
	struct http_server *http;
	struct fake_node nodes[2];
	struct loop_task stop;
	pthread_t thread;
	struct http_sync *client;
	bool frames; /* what is small is asked as frames */
};

void fixture_start(struct fixture *fixture);
/* Both nodes are of one shard, the first one its leader, the second one a follower. */
void fixture_start_shard(struct fixture *fixture);
void fixture_stop(struct fixture *fixture);

struct fixture_answer {
	unsigned status;
	struct fields fields;
	struct buf body; /* with a NUL behind it that len does not count */
	int result; /* of http_sync_perform() */
};

/* One request to the router. @fields may be NULL; its content is taken. @body may be NULL. */
struct fixture_answer fixture_ask(struct fixture *fixture, enum method method, const char *target,
				  struct fields *fields, const void *body, size_t len);
void fixture_answer_deinit(struct fixture_answer *answer);
/* The index of the node that owns the key. */
unsigned fixture_shard(const struct fixture *fixture, const char *hex);
/* A key of that shard that begins with @prefix, which has at most 8 digits. */
void fixture_key(const struct fixture *fixture, unsigned shard, const char *prefix,
		 char ret_hex[16]);

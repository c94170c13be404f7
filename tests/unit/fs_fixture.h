/* SPDX-License-Identifier: MIT */
/*
 * A router that answers the mount's requests as a test tells it, and a client of it. Requests are
 * answered one at a time, so that a respond function may keep state. Threads: between start and
 * stop the state belongs to the respond function and to holders of the lock.
 */
#pragma once

#include "fs/remote.h"
#include "tests/unit/fake_server.h"

#include <pthread.h>

enum fs_answer {
	FS_ANSWER, /* send what was written */
	FS_HANG_UP, /* send what was written, then close */
	FS_SILENCE, /* send what was written, then nothing until the other side closes */
};

typedef enum fs_answer fs_respond(void *state, const char *request, struct buf *ret_answer);

struct fs_router {
	struct fake_server *server;
	struct remote *remote;
	pthread_mutex_t lock;
	fs_respond *respond;
	void *state;
	unsigned requests;
	char last[8192]; /* the last request, as text */
};

void fs_router_start(struct fs_router *router, fs_respond *respond, void *state,
		     uint32_t timeout_ms);
void fs_router_stop(struct fs_router *router);
/* How many requests there were so far. */
unsigned fs_router_requests(struct fs_router *router);
/* Waits up to 10 s until there were @count requests. */
bool fs_router_wait(struct fs_router *router, unsigned count);

/* An answer with a body and further fields ("Name: value\r\n..." or ""). */
void fs_write_answer(struct buf *answer, unsigned status, const char *fields, const void *body,
		     size_t len);
/* The fields of a record of @size bytes in version (10001, @sequence), written to @fields. */
#define FS_EPOCH 0x10001
void fs_record_fields(char *fields, size_t fields_size, uint64_t sequence, uint64_t size);
/* The value of a field of a request, "" if there is none; good until the next call. */
const char *fs_request_field(const char *request, const char *name);

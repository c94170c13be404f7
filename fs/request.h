/* SPDX-License-Identifier: MIT */
/*
 * One request of the mount, made again with the same request id while the cluster can't be reached,
 * until nothing has moved for what is left of the timeout (fs/patience). Threads: a request belongs
 * to one thread.
 */
#pragma once

#include "fs/interrupt.h"
#include "lib/http_sync.h"

#define TARGET_MAX 1024

/* For commit() to return; nothing else is called so. */
#define REQUEST_BROKEN_OFF (-ECANCELED)

struct request {
	enum method method;
	char target[TARGET_MAX];
	struct fields fields;
	bool has_body;
	uint64_t upload_bytes; /* HTTP_SYNC_LENGTH_UNKNOWN: until upload() has no more */
	ssize_t (*upload)(void *state, uint64_t offset, void *data, size_t len);
	/* As in http_sync_request. */
	int (*trailer)(void *state, struct fields *ret_fields);
	/* Bytes of a successful answer with their offset in its body, from 0 again when it is made
	 * again. */
	int (*body)(void *state, uint64_t offset, const void *data, size_t len);
	bool partial; /* as in http_sync_request */
	void *state;
	const struct interrupt *interrupt;
	/* Of a write: called before the last of it is handed over, from when on it may be applied.
	 * An error breaks it off. May be NULL. */
	int (*commit)(void *commit_state);
	void *commit_state;
	uint32_t timeout_ms;
	bool small; /* set by request_init(): nothing that is long comes back */
	bool changes_nothing; /* although its method could */
	bool quiet; /* that it failed is for the caller to say */

	/* The request's own. */
	bool unsure; /* it may have been applied, or be applied yet, and no answer says so */
	uint64_t received; /* in this attempt */
	uint64_t sent_furthest, received_furthest; /* in any */
	uint64_t moved_at_ms;
	uint32_t patience_ms; /* of the timeout, for an attempt */
};

/* @key may be NULL: @target is then the whole path and query. */
int request_init(struct request *request, enum method method, const char *prefix, const char *key);
void request_deinit(struct request *request);
/* 0: an answer of any status is in @ret_answer. -EIO, -ETIMEDOUT, -EINTR, -ENOMEM, or what upload,
 * commit or body returned. */
int request_perform(struct request *request, struct http_sync *client,
		    struct http_sync_answer *ret_answer);

/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 client for threads that may wait: the mount's. Keeps warm connections; each is used by
 * one thread at a time. Small requests go as frames where the other side takes them.
 *
 * Threads: an http_sync may be used by any number of threads at once.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/field.h"
#include "lib/outcome.h"

struct http_sync;

/* An upload that ends when upload() says so. */
#define HTTP_SYNC_LENGTH_UNKNOWN UINT64_MAX

struct http_sync_options {
	const char *base; /* "http://127.0.0.1:8080", copied */
	const char *token; /* NULL: none; copied */
	unsigned connections_max;
	uint32_t connect_timeout_ms;
};

struct http_sync_request {
	enum method method;
	const char *target; /* path and query */
	struct fields fields; /* owned by the caller */
	bool has_body;
	uint64_t upload_len;
	/* Body to send: fills up to @len bytes from @offset on. Bytes, 0 = end (before upload_len:
	 * -EIO), negative errno = break off. It may be asked from 0 again when a dead connection
	 * makes the request be sent anew. It may block; that time counts as progress. */
	ssize_t (*upload)(void *state, uint64_t offset, void *data, size_t len);
	/* Fields that follow an upload of unknown length, asked for once it has ended (again if it
	 * is sent anew). 0 or a negative errno, which breaks off. NULL: none. */
	int (*trailer)(void *state, struct fields *ret_fields);
	/* Bytes of a successful (2xx) answer. 0 or a negative errno, which breaks off. NULL:
	 * discard. */
	int (*body)(void *state, const void *data, size_t len);
	/* Only a part of a value may come (206): the body of any other successful answer is
	 * -EPROTO before a byte of it is given to body(). So is in any case a part that begins
	 * elsewhere than Range, and another version than that of If-Match. */
	bool partial;
	/* Asked several times a second; true breaks off with -EINTR. May be NULL. */
	bool (*interrupted)(void *state);
	void *state;
	/* Its answer is small, too: it may go as a frame if the other side offers that, and without
	 * libcurl's work for a transfer. */
	bool small;
	uint32_t timeout_ms; /* without progress; also the longest wait for a free connection */
};

struct http_sync_answer {
	unsigned status;
	struct fields fields;
	int64_t content_length; /* -1: unknown */
	struct buf problem; /* body of an answer that is not 2xx, at most 64 KiB */
};

int http_sync_new(const struct http_sync_options *options, struct http_sync **ret_client);
struct http_sync *http_sync_free(struct http_sync *client);
/* Blocks. 0: an answer of any status arrived whole. -ETIMEDOUT, -ECONNREFUSED (nothing was sent),
 * -EIO (broke off), -EINTR, -EINVAL (no such URL), -ENOMEM, or what upload or body returned. */
int http_sync_perform(struct http_sync *client, const struct http_sync_request *request,
		      struct http_sync_answer *ret_answer);
void http_sync_answer_deinit(struct http_sync_answer *answer);

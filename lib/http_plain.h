/* SPDX-License-Identifier: MIT */
/*
 * Requests and answers of the plainest kind, without what libcurl does around each transfer: a
 * small body that goes out in one piece with its head, and an answer of HTTP/1.1 that says how long
 * it is. libcurl makes the connection. Whatever is not so plain is left to libcurl as a whole.
 * Internal to lib/http_sync.
 *
 * Threads: a connection is used by one thread at a time; a peer is immutable.
 */
#pragma once

#include "lib/http_performance.h"

struct http_plain; /* a connection */

struct http_plain_peer {
	const char *base; /* "http://host:port", borrowed like the token */
	const char *token; /* NULL: none */
	uint32_t connect_timeout_ms;
	char *authority; /* NULL: this peer is not for us */
	char *path; /* what targets are appended to */
};

/* -ENOMEM */
int http_plain_peer_init(struct http_plain_peer *peer, const char *base, const char *token,
			 uint32_t connect_timeout_ms);
void http_plain_peer_deinit(struct http_plain_peer *peer);

/* Whether the request can be made in this way. */
bool http_plain_suits(const struct http_plain_peer *peer, const struct http_sync_request *request);

/* NULL if memory is out. */
struct http_plain *http_plain_new(void);
struct http_plain *http_plain_free(struct http_plain *plain);

enum http_plain_result {
	HTTP_PLAIN_OTHERWISE = 1, /* the answer is of another kind, nothing of it was delivered: the
				     request is to be made again by libcurl */
};

/* As http_sync_perform(), or HTTP_PLAIN_OTHERWISE. */
int http_plain_perform(struct http_plain *plain, const struct http_plain_peer *peer,
		       struct performance *performance);

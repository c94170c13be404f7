/* SPDX-License-Identifier: MIT */
/*
 * One call under way over libcurl: the part of lib/http_client that feeds libcurl's callbacks from
 * a struct call and the other way round. Internal to lib/http_client.
 *
 * libcurl never holds a pointer into the call: a cancelled call is forgotten at once (call is NULL,
 * every callback breaks off), and the handle is removed when no function of libcurl is running.
 */
#pragma once

#include "lib/call.h"
#include "lib/http_curl.h"
#include "lib/loop.h"

struct http_client;

struct transfer {
	struct http_client *client;
	struct call *call; /* NULL once it was cancelled */
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *known_address; /* taken because the name did not resolve */
	struct loop_timer timer;
	struct transfer *previous, *next; /* all of the client's */
	struct transfer *next_pending;
	bool pending; /* waits for the client's next turn */
	bool in_multi;
	bool reached; /* there was a connection: the request may have arrived */
	bool timed_out;
	bool reusable; /* the handle: the transfer has ended well */

	/* the answer */
	struct http_curl_head head;
	struct buf rest; /* what body() did not take yet: at most one of libcurl's chunks */
	bool ended; /* whole; done() waits for the rest to be taken */

	/* the upload */
	bool streamed; /* from upload(), not from call->body */
	bool chunked; /* and of unknown length: a trailer may follow */
	bool waiting; /* upload() had nothing */
	uint64_t sent;

	uint64_t moved_ms; /* when something last moved, or the call was resumed */
};

/* Sets up the handle for @call. 0, -ENOMEM or -EINVAL. */
int transfer_prepare(struct transfer *transfer, const char *base, const char *token);
/* Hands over what was kept. True if nothing is left of it and the call is still there. */
bool transfer_deliver_rest(struct transfer *transfer);
/* Waits for its user, not for the other side: no timeout. */
bool transfer_is_paused(const struct transfer *transfer);
/* lib/http_client: resumes it in the client's next turn. */
void http_client_go_on(struct transfer *transfer);
/* How the call ended. */
enum outcome transfer_result(const struct transfer *transfer, CURLcode code,
			     bool *ret_maybe_applied);

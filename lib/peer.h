/* SPDX-License-Identifier: MIT */
/*
 * Another node, as one worker sees it: one multiplexed connection for what is small, libcurl for
 * what streams. A call that is not marked streaming goes by frame; where the answer says that its
 * body is too large for one, the peer asks again over libcurl (GET only), and the caller sees one
 * answer.
 *
 * A lost connection: what waits ends with BAD_GATEWAY (maybe applied); reads and calls that were
 * not yet sent are sent once more. The next call reconnects; while connecting fails, calls end at
 * once with UNAVAILABLE, and one attempt every 100 ms is made. Threads: the loop's.
 */
#pragma once

#include "lib/call.h"
#include "lib/http_client.h"

struct peer;

struct peer_options {
	const char *url; /* "http://127.0.0.1:8081", copied */
	const char *token; /* bearer token, NULL: none; copied */
	uint32_t connect_timeout_ms;
	unsigned in_flight_max; /* frames that wait for an answer; at most 65536 */
};

/* Borrows @http, which streams for all peers of a worker. */
int peer_new(struct loop *loop, struct http_client *http, const struct peer_options *options,
	     struct peer **ret_peer);
/* Cancels all calls that go by frame first (no callbacks); those that stream must have ended. */
struct peer *peer_free(struct peer *peer);
/* Never calls back from inside. 0 and done() will come; -ENOMEM; -EBUSY: in_flight_max calls wait
 * already. */
int peer_call(struct peer *peer, struct call *call);
/* False after a failed connect or a timeout, until it answers again. */
bool peer_is_up(const struct peer *peer);

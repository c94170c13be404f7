/* SPDX-License-Identifier: MIT */
/*
 * Small requests as frames (docs/PROTOCOL.md, "Frames"), for threads that may wait: a connection
 * carries one request at a time, for the thread that has it, so nobody waits behind another's
 * answer and nobody has to be woken. libcurl makes the connection. Internal to lib/http_sync.
 *
 * A connection that was kept and turns out to be dead is made anew, once, and the request sent
 * again, as libcurl does it; for the same reason writes carry an id.
 * Threads: a connection is used by one thread at a time; a peer by any number.
 */
#pragma once

#include "lib/http_performance.h"

#include <stdatomic.h>

#define MUX_SYNC_BODY_MAX (64 * 1024) /* of a request */

struct mux_sync; /* a connection */

struct mux_sync_peer {
	const char *base; /* "http://host:port", borrowed */
	uint32_t connect_timeout_ms; /* until the handshake is done, too */
	char *handshake; /* NULL: this peer is not for us */
	_Atomic uint64_t refused_until_ms; /* it does not take frames, or did not then */
};

/* -ENOMEM */
int mux_sync_peer_init(struct mux_sync_peer *peer, const char *base, const char *token,
		       uint32_t connect_timeout_ms);
void mux_sync_peer_deinit(struct mux_sync_peer *peer);

/* NULL if memory is out. */
struct mux_sync *mux_sync_new(void);
struct mux_sync *mux_sync_free(struct mux_sync *mux);

enum mux_sync_result {
	MUX_SYNC_OTHERWISE = 1, /* nothing was delivered: the request is to be made by HTTP */
};

/* Whether the request may be made as a frame, as things stand. */
bool mux_sync_suits(const struct mux_sync_peer *peer, const struct http_sync_request *request);
/* As http_sync_perform(), or MUX_SYNC_OTHERWISE. */
int mux_sync_perform(struct mux_sync *mux, struct mux_sync_peer *peer,
		     struct performance *performance);

/* SPDX-License-Identifier: MIT */
/*
 * The asking side of one multiplexed connection: calls go out as frames, answers come back by id,
 * in any order (docs/PROTOCOL.md, "Frames"). It connects when the first call needs it, and again
 * after a loss; while that fails, calls end at once and one attempt every 100 ms is made.
 *
 * A lost connection: a read, and whatever was not wholly handed to the kernel, is sent once more on
 * the next connection; the rest ends with BAD_GATEWAY, maybe applied.
 * Threads: the loop's.
 */
#pragma once

#include "lib/call.h"
#include "lib/loop.h"

struct mux_client;

struct mux_client_options {
	const char *url; /* "http://127.0.0.1:8081", copied */
	const char *token; /* NULL: none; copied */
	uint32_t connect_timeout_ms; /* until the handshake is done */
	unsigned in_flight_max; /* at most 65536 */
	/* The answer to @call does not fit into a frame. The call is idle again: ask elsewhere. */
	void (*too_large)(struct call *call, void *state);
	void *state;
};

/* May ask the resolver, if the URL does not hold an address. -EINVAL, -ENOMEM. */
int mux_client_new(struct loop *loop, const struct mux_client_options *options,
		   struct mux_client **ret_client);
/* Cancels all calls first (no callbacks). */
struct mux_client *mux_client_free(struct mux_client *client);
/* 0 and done() will come, never from inside; -EMSGSIZE: does not fit into a frame; -EBUSY:
 * in_flight_max calls wait already. */
int mux_client_call(struct mux_client *client, struct call *call);
/* False after a failed connect or a timeout, until something is received. */
bool mux_client_is_up(const struct mux_client *client);

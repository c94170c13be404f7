/* SPDX-License-Identifier: MIT */
/*
 * Serves one multiplexed connection: requests come in as frames, each becomes an exchange of the
 * service, and answers go out as frames in the order in which they are given
 * (docs/PROTOCOL.md, "Frames").
 *
 * An answer whose body does not fit into a frame goes out as its status and fields with
 * FRAME_FLAG_STREAM.
 * Threads: the loop's.
 */
#pragma once

#include "lib/http_server.h"

struct mux_server;

struct mux_server_options {
	int fd; /* non-blocking; borrowed until mux_server_free() */
	const void *received; /* bytes that came with the handshake; copied */
	size_t received_len;
	const struct http_service *service; /* borrowed */
	bool of_client; /* and not of a program of the cluster: it is trusted with less memory */
	unsigned *busy; /* of all connections: counts exchanges that have begun and not finished */
	/* The connection ended or broke: mux_server_free() is the answer. Never from inside
	 * mux_server_new(). */
	void (*closed)(struct mux_server *mux, void *state);
	void *state;
};

int mux_server_new(struct loop *loop, const struct mux_server_options *options,
		   struct mux_server **ret_mux);
/* Requests that come from now on are answered with 503; those under way finish. */
void mux_server_drain(struct mux_server *mux);
/* Exchanges that have begun and not finished. */
unsigned mux_server_busy(const struct mux_server *mux);
/* Bytes that went either way. */
uint64_t mux_server_moved(const struct mux_server *mux);
/* Answers are left that the client has not taken. */
bool mux_server_has_unsent(const struct mux_server *mux);
/* Exchanges are under way, and what keeps them is not a client that does not read. */
bool mux_server_is_working(const struct mux_server *mux);
/* Cancels what is under way (finish() with answered = false). */
struct mux_server *mux_server_free(struct mux_server *mux);

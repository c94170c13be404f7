/* SPDX-License-Identifier: MIT */
/*
 * The socket below a mux_client: connects, asks for the upgrade without blocking, then moves bytes
 * between two buffers and the kernel. Knows no frames.
 * Threads: the loop's.
 */
#pragma once

#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/name_lookup.h"

enum mux_socket_state {
	MUX_CLOSED,
	MUX_RESOLVING,
	MUX_CONNECTING,
	MUX_UPGRADING,
	MUX_OPEN,
};

struct mux_socket {
	struct loop *loop;
	enum mux_socket_state state;
	struct loop_fd socket;
	struct buf in; /* what was received and not consumed */
	struct buf out; /* what is not sent; appended to by the user while MUX_OPEN */
	size_t sent; /* of out */
	uint64_t sent_total; /* bytes of out that the kernel took, over the connection's life */
	char *host, *port; /* if the other side is named: looked up anew for every connection */
	struct name_lookup *lookup; /* MUX_RESOLVING; socket.fd is its */
	uint64_t resolved_ms;
	struct addrinfo *addresses; /* of the other side, as known last */
	struct addrinfo *address; /* the one to connect to; NULL: the name was never found */
	bool unknown; /* which was said */
	char *handshake;
};

/* @url "http://host:port". -EINVAL, -ENOMEM. */
int mux_socket_init(struct mux_socket *ms, struct loop *loop, const char *url, const char *token,
		    void (*ready)(struct loop_fd *, uint32_t events));
void mux_socket_deinit(struct mux_socket *ms);
/* MUX_CLOSED -> MUX_CONNECTING, by way of MUX_RESOLVING if there is a name that was not looked up
 * just now: who comes back may do so under another address. -EHOSTUNREACH: there is none (logged
 * once), ... */
int mux_socket_connect(struct mux_socket *ms);
/* Goes on with the lookup and the handshake. 1: open now; 0: not yet; negative: it failed
 * (-ECONNREFUSED, -EPROTO for an answer that is not 101, ...). */
int mux_socket_advance(struct mux_socket *ms);
/* One recv. Bytes, 0: none now; negative: lost (-ECONNRESET if the other side closed). */
ssize_t mux_socket_receive(struct mux_socket *ms);
/* One send of all that is queued. 0, or negative: lost. */
int mux_socket_flush(struct mux_socket *ms);
/* Bytes ever put into out. */
uint64_t mux_socket_queued_total(const struct mux_socket *ms);
void mux_socket_close(struct mux_socket *ms);

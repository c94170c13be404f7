/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 server side: a libmicrohttpd daemon in external mode, driven by an event loop. With
 * lib/mux_server the only place that knows libmicrohttpd.
 *
 * Refuses by itself: Content-Length with Transfer-Encoding and repeated Content-Length (400), other
 * transfer codings (501), a head with a NUL or with lines that do not end as they should (400), a
 * missing or wrong bearer token (401), more connections than the limits (503, 429, while those that
 * are idle for longest give way). Breaks off (finish() with answered = false): a head that takes
 * too long, a body or an answer that drips (so each has an absolute deadline), a body that goes on
 * for 10 s after its early answer, a request of which nothing has moved for 120 s while it waited
 * for the service, a client that has gone. Threads: one server belongs to one loop and its thread.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/loop.h"

struct http_server;

struct http_service {
	/* The head of a request is here. Sets ex->handler and ex->state, or answers at once. */
	void (*begin)(struct exchange *ex, void *state);
	void *state;
};

struct http_server_options {
	unsigned connection_limit; /* more are answered 503 */
	unsigned address_limit; /* connections of one client's address, more are answered 429; 0:
				   no bound of its own */
	unsigned idle_timeout_ms; /* of a connection on which nothing moves, unless a request waits
				     for its service */
	unsigned head_timeout_ms; /* absolute, from the first byte of a request to the end of its
				     head */
	unsigned body_timeout_ms; /* for every 4 KiB of a request's body, and ten times that for
				     128 KiB of an answer, or for its end; 0: 30 s */
	unsigned body_rate; /* bytes a second that both must reach on the whole, once that time is
			       over; 0: 4096 */
	unsigned linger_timeout_ms; /* for a client to read an early answer and to stop sending; 0:
				       10 s */
	unsigned stall_timeout_ms; /* of a request that waits for its service without anything
				      moving; 0: 120 s */
	const char *token; /* bearer token that every request must show, except GET /health/...;
			      NULL: none */
	bool offer_mux; /* GET /mux with Upgrade: hexkv-mux/1 opens a multiplexed connection */
	bool mux_of_clients; /* who opens one is no program of the cluster: it may hold less memory,
				and it is idle for no longer than others */
};

/* Borrows @listen_fd until http_server_free(). */
int http_server_new(struct loop *loop, int listen_fd, const struct http_service *service,
		    const struct http_server_options *options, struct http_server **ret_server);
/* Stops to accept, once all who wait to be accepted were; every further answer carries Connection:
 * close; connections are closed once they are idle. */
void http_server_drain(struct http_server *server);
/* Exchanges that have begun and not finished, multiplexed ones included. Of a server that drains:
 * also connections that may still bring one. */
unsigned http_server_busy(const struct http_server *server);
/* Whether libmicrohttpd refuses by itself, in its own words, what could be read in two ways: 0.9.75
 * (Debian 12) does not. */
bool http_server_parser_is_strict(void);
/* Cancels what is left (finish() is called with answered = false). */
struct http_server *http_server_free(struct http_server *server);

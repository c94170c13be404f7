/* SPDX-License-Identifier: MIT */
/*
 * What router and node share as programs: workers (a thread, a loop and an HTTP server each, all
 * listening on one address with SO_REUSEPORT), readiness, SIGTERM and SIGINT, drain.
 *
 * Drain: readiness turns 503 first, then no new connections, requests under way finish (bounded by
 * drain_ms), then the services are stopped.
 */
#pragma once

#include "lib/http_server.h"

#include <signal.h>

struct server;

struct worker {
	struct server *server;
	struct loop *loop;
	unsigned index;
	void *state; /* the service's, set by start() */
};

struct server_service {
	/* In the worker's thread before it serves. 0 or a negative errno, which ends the program.
	 */
	int (*start)(struct worker *worker, void *program);
	/* In the worker's thread; its loop still runs tasks. All exchanges have finished. */
	void (*stop)(struct worker *worker);
	/* NULL, or: whether something goes on that has outlived its exchange and will post to the
	 * loop (a write in the commit thread, a read in a pool). The drain waits for it before
	 * stop(), also beyond drain_ms. In the worker's thread. */
	bool (*busy)(struct worker *worker);
	/* NULL, or: the drain begins. In the worker's thread, before it waits for what is under
	 * way: for what would otherwise wait longer than the drain. */
	void (*drain)(struct worker *worker);
	void (*begin)(struct exchange *ex, struct worker *worker);
};

struct server_options {
	const char *listen; /* "127.0.0.1:8080"; port 0: any, see port_file */
	const char *port_file; /* written with the port once it listens (temporary + rename); NULL:
				  none */
	unsigned workers;
	unsigned drain_ms;
	struct http_server_options http;
};

/* What server_run() does first. A program with threads of its own calls it before they start, so
 * that only the server takes SIGTERM and SIGINT. @ret_signals may be NULL. */
void server_block_signals(sigset_t *ret_signals);

/* What server_run() returns if server_restart() ended it. */
#define SERVER_RESTART (-1)

/* Blocks the signals, binds, runs the workers and returns after a drain: the program's exit status
 * (0; 1 if the address is taken or a start failed, after a log line that names what to mend), or
 * SERVER_RESTART. @program is handed to start(). */
int server_run(const struct server_options *options, const struct server_service *service,
	       void *program);
/* From any thread. A server is ready once all workers have started, until it drains. */
bool server_is_ready(const struct server *server);
/* Ends server_run() as SIGTERM does, for a program that closes what it serves from, opens it again
 * and calls server_run() anew. From any thread, until the last stop() has returned. SIGTERM wins.
 */
void server_restart(struct server *server);

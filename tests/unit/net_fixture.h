/* SPDX-License-Identifier: MIT */
/*
 * A real HTTP server on a loopback port, in a thread of its own, with a service whose paths are the
 * situations that the tests need; and a blocking client over a plain socket.
 *
 *   /echo           the body, whole
 *   /hello          1 KiB
 *   /whole?size=N   N bytes in one piece
 *   /later          as /hello, 20 ms later
 *   /never          no answer
 *   /working        as /hello, 600 ms later, and says every 20 ms that it is being worked on
 *   /early          413 before the body
 *   /full           507 once 100000 bytes of the body have come
 *   /slow-body      takes 1000 bytes at a time and pauses between them; answers the count
 *   /stream?size=N  N bytes of a pattern from a source that pauses; ?fail=M breaks off at M
 *   /fields         the request's content type and encoding come back as fields
 *   /path           the decoded path and the query
 */
#pragma once

#include "lib/http_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct net_server {
	struct http_server_options options;
	struct loop *loop;
	struct http_server *http;
	int listen_fd;
	uint16_t port;
	char url[64];
	pthread_t thread;
	struct loop_task stop;
	_Atomic unsigned begun;
	_Atomic unsigned answered; /* finish() with true */
	_Atomic unsigned lost; /* finish() with false */
};

/* @options may be NULL. @port 0: any. */
void net_server_start(struct net_server *server, const struct http_server_options *options,
		      uint16_t port);
void net_server_stop(struct net_server *server);

/* Byte @offset of what /stream sends. */
uint8_t net_pattern(uint64_t offset);

/* Waits up to 10 s until *@counter is at least @value. */
bool net_wait_for(_Atomic unsigned *counter, unsigned value);

struct net_client {
	int fd;
	struct buf in;
};

struct net_response {
	unsigned status;
	char head[8192];
	int64_t content_length; /* -1: none */
	struct buf body;
	bool closed; /* the connection ended before the body was whole */
};

int net_connect(const struct net_server *server);
void net_send(int fd, const void *data, size_t len);
void net_send_text(int fd, const char *text);
/* Reads one response; @head_only: of HEAD. False if the connection ended before its head. */
bool net_receive(struct net_client *client, bool head_only, struct net_response *ret_response);
void net_response_deinit(struct net_response *response);
void net_client_deinit(struct net_client *client);
/* One request on a connection of its own; returns the status, 0 if there was no answer. */
unsigned net_ask(const struct net_server *server, const char *request,
		 struct net_response *ret_response);

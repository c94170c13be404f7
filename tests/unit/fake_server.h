/* SPDX-License-Identifier: MIT */
/*
 * A raw socket server on loopback that misbehaves as a test tells it: every connection is served by
 * a thread of its own that runs the test's script.
 */
#pragma once

#include "lib/buf.h"

#include <stdbool.h>

struct fake_server;

/* Serves one connection, the @number-th (from 0); the descriptor is closed afterwards. */
typedef void fake_script(int fd, unsigned number, void *state);

struct fake_server *fake_server_start(fake_script *script, void *state);
/* Closes what is open and waits for the threads. */
struct fake_server *fake_server_stop(struct fake_server *server);
/* The script sees connections that ask for frames (GET /mux), too. Otherwise they are answered 404,
 * and don't count. Before the first of them. */
void fake_server_take_frames(struct fake_server *server);
/* "http://127.0.0.1:port" */
const char *fake_server_url(const struct fake_server *server);
unsigned fake_server_connections(struct fake_server *server);

/* A port of loopback at which nobody listens. */
void fake_unused_url(char *ret_url, size_t size);

/* Reads one request with its body (by length, or chunked to its last chunk) as text. False: the
 * other side closed before. */
bool fake_read_request(int fd, struct buf *ret_text);
/* Reads up to and with the empty line. */
bool fake_read_head(int fd, struct buf *ret_text);
/* Reads until the other side closes. */
void fake_drain(int fd, struct buf *ret_text);
void fake_write(int fd, const char *text);
void fake_write_bytes(int fd, const void *data, size_t len);

/* SPDX-License-Identifier: MIT */
/* Listening sockets that several workers share by SO_REUSEPORT. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Binds a socket to @listen ("127.0.0.1:8080"). The @first of a program finds out whether the port
 * is taken; the others join it. *port is the first's answer if @listen says 0, and what the others
 * bind to.
 * Errors: logged with what to mend; -EADDRINUSE: taken; -EINVAL: not an address.
 */
int listen_bind(const char *listen, bool first, uint16_t *port, int *ret_fd);
int listen_start(int fd);
/* Atomically: whoever finds the file finds the port in it. */
int listen_write_port_file(const char *path, uint16_t port);

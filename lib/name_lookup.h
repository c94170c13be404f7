/* SPDX-License-Identifier: MIT */
/*
 * Asks for a name's addresses in a thread of its own: the system's resolver blocks, for seconds if
 * its servers are away. Threads: all functions from one thread; the lookup's own goes on by itself
 * once it is no longer wanted.
 */
#pragma once

#include <netdb.h>

struct name_lookup;

/* -ENOMEM, or another negative errno. Copies the names. */
int name_lookup_start(const char *host, const char *port, struct name_lookup **ret_lookup);
/* Becomes readable, once, when the lookup has ended. Borrowed. */
int name_lookup_fd(const struct name_lookup *lookup);
/* Of one that has ended, once: 0 and the addresses, which are the caller's; -EHOSTUNREACH: there
 * are none now; -ENOMEM. */
int name_lookup_take(struct name_lookup *lookup, struct addrinfo **ret_addresses);
struct name_lookup *name_lookup_free(struct name_lookup *lookup);

/* SPDX-License-Identifier: MIT */
#include "lib/name_lookup.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct name_lookup {
	atomic_uint references; /* the thread's and the user's */
	int fd;
	/* The thread's until it has written to fd. */
	struct addrinfo *addresses;
	int error;
	char *port;
	char host[];
};

static void unref(struct name_lookup *lookup)
{
	if (atomic_fetch_sub(&lookup->references, 1) > 1)
		return;
	if (lookup->addresses)
		freeaddrinfo(lookup->addresses);
	close(lookup->fd);
	free(lookup);
}

static void *look_up(void *arg)
{
	struct name_lookup *lookup = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	uint64_t one = 1;
	int r = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->addresses);

	if (r != 0)
		lookup->addresses = NULL;
	lookup->error = r == 0 ? 0 : r == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
	/* It has room for 2^64 - 1. */
	(void)!write(lookup->fd, &one, sizeof(one));
	unref(lookup);
	return NULL;
}

static int start_thread(struct name_lookup *lookup)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int r = pthread_attr_init(&attributes);

	if (r != 0)
		return -r;
	r = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (r == 0)
		r = pthread_create(&thread, &attributes, look_up, lookup);
	pthread_attr_destroy(&attributes);
	return -r;
}

int name_lookup_start(const char *host, const char *port, struct name_lookup **ret_lookup)
{
	size_t host_len = strlen(host), port_len = strlen(port);
	struct name_lookup *lookup = calloc(1, sizeof(*lookup) + host_len + port_len + 2);
	int r;

	if (!lookup)
		return -ENOMEM;
	memcpy(lookup->host, host, host_len + 1);
	lookup->port = lookup->host + host_len + 1;
	memcpy(lookup->port, port, port_len + 1);
	atomic_init(&lookup->references, 2);
	lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = lookup->fd < 0 ? -errno : start_thread(lookup);
	if (r < 0) {
		if (lookup->fd >= 0)
			close(lookup->fd);
		free(lookup);
		return r;
	}
	*ret_lookup = lookup;
	return 0;
}

int name_lookup_fd(const struct name_lookup *lookup)
{
	return lookup->fd;
}

int name_lookup_take(struct name_lookup *lookup, struct addrinfo **ret_addresses)
{
	uint64_t count;

	if (read(lookup->fd, &count, sizeof(count)) < 0)
		return -errno;
	if (lookup->error < 0)
		return lookup->error;
	*ret_addresses = lookup->addresses;
	lookup->addresses = NULL;
	return 0;
}

struct name_lookup *name_lookup_free(struct name_lookup *lookup)
{
	if (lookup)
		unref(lookup);
	return NULL;
}

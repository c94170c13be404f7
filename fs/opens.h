/* SPDX-License-Identifier: MIT */
/* All open files and directories of a mount, so that those that the kernel never closes (the mount
 * was ended by force) are freed as well. Threads: the owner's lock protects the ring. */
#pragma once

#include <stddef.h>

struct opened {
	struct opened *next, *previous;
	void (*free)(struct opened *); /* frees what it is embedded in */
};

static inline void opens_init(struct opened *ring)
{
	ring->next = ring->previous = ring;
}

static inline void opens_add(struct opened *ring, struct opened *one)
{
	one->next = ring;
	one->previous = ring->previous;
	ring->previous->next = one;
	ring->previous = one;
}

static inline void opens_remove(struct opened *one)
{
	one->next->previous = one->previous;
	one->previous->next = one->next;
}

/* Each free() removes its own from the ring. */
static inline void opens_free_all(struct opened *ring)
{
	while (ring->next != ring)
		ring->next->free(ring->next);
}

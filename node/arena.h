/* SPDX-License-Identifier: MIT */
/*
 * Memory that is given out piece by piece and freed at once. Zero-initialise.
 * Threads: the caller serialises arena_alloc(); what it gave out may be used by any.
 */
#pragma once

#include <stddef.h>

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks;
	char *at; /* free space in the current chunk */
	size_t left;
	size_t bytes; /* of all chunks */
};

/* Aligned to 8 bytes; NULL if memory is out. */
void *arena_alloc(struct arena *arena, size_t size);
void arena_deinit(struct arena *arena);

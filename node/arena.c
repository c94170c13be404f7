/* SPDX-License-Identifier: MIT */
#include "node/arena.h"

#include <stdint.h>
#include <stdlib.h>

#define CHUNK_BYTES_MIN ((size_t)8 * 1024)
#define CHUNK_BYTES_MAX ((size_t)128 * 1024)

struct arena_chunk {
	struct arena_chunk *next;
	uint64_t data[];
};

static void *new_chunk(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);

	if (!chunk)
		return NULL;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	arena->bytes += sizeof(*chunk) + size;
	return chunk->data;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t chunk_size = arena->bytes;
	void *data;

	size = (size + 7) & ~(size_t)7;
	if (size <= arena->left) {
		data = arena->at;
		arena->at += size;
		arena->left -= size;
		return data;
	}
	if (chunk_size < CHUNK_BYTES_MIN)
		chunk_size = CHUNK_BYTES_MIN;
	if (chunk_size > CHUNK_BYTES_MAX)
		chunk_size = CHUNK_BYTES_MAX;
	/* A large piece gets a chunk of its own, and the current one stays in use. */
	if (size > chunk_size / 4)
		return new_chunk(arena, size);
	data = new_chunk(arena, chunk_size);
	if (data) {
		arena->at = (char *)data + size;
		arena->left = chunk_size - size;
	}
	return data;
}

void arena_deinit(struct arena *arena)
{
	while (arena->chunks) {
		struct arena_chunk *next = arena->chunks->next;

		free(arena->chunks);
		arena->chunks = next;
	}
	*arena = (struct arena){ 0 };
}

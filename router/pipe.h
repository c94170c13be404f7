/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of bytes between the two sides of a stream: what one side can't take now waits
 * here, and when it is full the other side pauses.
 * Ownership: owns its memory, PIPE_BYTES once initialised. Threads: the caller serialises.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIPE_BYTES ((size_t)256 * 1024)

struct pipe {
	uint8_t *data;
	size_t start;
	size_t len;
};

/* -ENOMEM */
int pipe_init(struct pipe *pipe);
void pipe_deinit(struct pipe *pipe);
/* Both return how many bytes were moved, 0 if the pipe is full or empty. */
size_t pipe_write(struct pipe *pipe, const void *data, size_t len);
size_t pipe_read(struct pipe *pipe, void *data, size_t len);
/* Enough room that waking a paused writer is worth its while. */
static inline bool pipe_is_low(const struct pipe *pipe)
{
	return pipe->len <= PIPE_BYTES / 2;
}

/* SPDX-License-Identifier: MIT */
#include "router/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pipe_init(struct pipe *pipe)
{
	*pipe = (struct pipe){ .data = malloc(PIPE_BYTES) };
	return pipe->data ? 0 : -ENOMEM;
}

void pipe_deinit(struct pipe *pipe)
{
	free(pipe->data);
	*pipe = (struct pipe){ 0 };
}

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t pipe_write(struct pipe *pipe, const void *data, size_t len)
{
	const uint8_t *from = data;
	size_t end = (pipe->start + pipe->len) % PIPE_BYTES;
	size_t total = at_most(len, PIPE_BYTES - pipe->len);
	size_t first = at_most(total, PIPE_BYTES - end);

	if (total == 0)
		return 0;
	memcpy(pipe->data + end, from, first);
	memcpy(pipe->data, from + first, total - first);
	pipe->len += total;
	return total;
}

size_t pipe_read(struct pipe *pipe, void *data, size_t len)
{
	uint8_t *to = data;
	size_t total = at_most(len, pipe->len);
	size_t first = at_most(total, PIPE_BYTES - pipe->start);

	if (total == 0)
		return 0;
	memcpy(to, pipe->data + pipe->start, first);
	memcpy(to + first, pipe->data, total - first);
	pipe->start = (pipe->start + total) % PIPE_BYTES;
	pipe->len -= total;
	return total;
}

/* SPDX-License-Identifier: MIT */
#include "router/download.h"

#include <errno.h>
#include <stdlib.h>

int download_new(struct exchange *ex, struct call *call, struct download **ret_download)
{
	struct download *download = malloc(sizeof(*download));

	if (!download)
		return -ENOMEM;
	*download = (struct download){ .ex = ex, .call = call, .references = 1 };
	if (pipe_init(&download->pipe) < 0) {
		free(download);
		return -ENOMEM;
	}
	*ret_download = download;
	return 0;
}

static void unref(struct download *download)
{
	if (--download->references > 0)
		return;
	pipe_deinit(&download->pipe);
	free(download);
}

static ssize_t source_read(void *state, struct exchange *ex, uint64_t offset, void *data,
			   size_t len)
{
	struct download *download = state;
	size_t n = pipe_read(&download->pipe, data, len);

	(void)ex;
	(void)offset;
	if (download->call_waits && pipe_is_low(&download->pipe)) {
		download->call_waits = false;
		call_resume(download->call);
	}
	if (n > 0)
		return (ssize_t)n;
	/* Whoever reads wants more of the announced length, but nothing follows. */
	if (download->ended || !download->ex)
		return -EIO;
	download->client_waits = true;
	return 0;
}

static void source_close(void *state)
{
	unref(state);
}

static const struct body_source source = { .read = source_read, .close = source_close };

void download_attach(struct download *download, struct answer *answer, uint64_t length)
{
	download->references++;
	answer->source = &source;
	answer->source_state = download;
	answer->stream_bytes = length;
}

static void wake_client(struct download *download)
{
	if (!download->client_waits)
		return;
	download->client_waits = false;
	exchange_resume_answer(download->ex);
}

size_t download_push(struct download *download, const void *data, size_t len)
{
	size_t taken = pipe_write(&download->pipe, data, len);

	download->call_waits = taken < len;
	wake_client(download);
	return taken;
}

void download_end(struct download *download)
{
	download->call = NULL;
	download->call_waits = false;
	download->ended = true;
	wake_client(download);
}

struct download *download_release(struct download *download)
{
	if (!download)
		return NULL;
	download->ex = NULL;
	download->call = NULL;
	download->call_waits = false;
	unref(download);
	return NULL;
}

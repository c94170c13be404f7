/* SPDX-License-Identifier: MIT */
#include "router/upload.h"

int upload_init(struct upload *upload, struct exchange *ex, struct call *call)
{
	*upload = (struct upload){ .ex = ex, .call = call };
	return pipe_init(&upload->pipe);
}

void upload_deinit(struct upload *upload)
{
	pipe_deinit(&upload->pipe);
}

static void wake_call(struct upload *upload)
{
	if (!upload->call_waits)
		return;
	upload->call_waits = false;
	call_resume(upload->call);
}

size_t upload_push(struct upload *upload, const void *data, size_t len)
{
	size_t taken = pipe_write(&upload->pipe, data, len);

	/* Set before the call is woken: it may pull at once. */
	upload->client_waits = taken < len;
	wake_call(upload);
	return taken;
}

void upload_end(struct upload *upload)
{
	upload->ended = true;
	wake_call(upload);
}

ssize_t upload_pull(struct upload *upload, void *data, size_t len)
{
	size_t n = pipe_read(&upload->pipe, data, len);

	if (upload->client_waits && pipe_is_low(&upload->pipe)) {
		upload->client_waits = false;
		exchange_resume_body(upload->ex);
	}
	if (n > 0)
		return (ssize_t)n;
	if (upload->ended)
		return CALL_UPLOAD_END;
	upload->call_waits = true;
	return 0;
}

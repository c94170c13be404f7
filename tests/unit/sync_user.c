/* SPDX-License-Identifier: MIT */
#include "tests/unit/sync_user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static int on_body(void *state, const void *data, size_t len)
{
	struct sync_user *user = state;

	if (user->body_error)
		return user->body_error;
	return buf_append(&user->body, data, len);
}

ssize_t sync_upload(void *state, uint64_t offset, void *data, size_t len)
{
	struct sync_user *user = state;
	size_t size = strlen(user->upload);
	size_t left = size - offset;

	if (offset == 0)
		user->from_start++;
	if (user->upload_error && offset >= size / 2)
		return user->upload_error;
	if (user->upload_short && offset >= size / 2)
		return 0;
	if (left > len)
		left = len;
	if (left > 3)
		left = 3;
	memcpy(data, user->upload + offset, left);
	return (ssize_t)left;
}

static bool on_interrupted(void *state)
{
	struct sync_user *user = state;

	return atomic_load(&user->interrupt);
}

struct http_sync *sync_client_new(const char *base, const char *token, unsigned connections,
				  uint32_t connect_timeout_ms)
{
	const struct http_sync_options options = { .base = base,
						   .token = token,
						   .connections_max = connections,
						   .connect_timeout_ms = connect_timeout_ms };
	struct http_sync *client;

	assert_int_equal(http_sync_new(&options, &client), 0);
	return client;
}

struct http_sync_request sync_request_of(struct sync_user *user, enum method method)
{
	struct http_sync_request request = { .method = method,
					     .target = "/kv/00ff",
					     .body = on_body,
					     .interrupted = on_interrupted,
					     .state = user,
					     .timeout_ms = 5000 };

	if (user->upload) {
		request.has_body = true;
		request.upload = sync_upload;
		request.upload_len = strlen(user->upload);
	}
	return request;
}

/* SPDX-License-Identifier: MIT */
/* The user's side of requests that http_sync makes: what is uploaded, and what became of the
 * answer. Threads: a user belongs to the thread of its request, but for interrupt. */
#pragma once

#include "lib/http_sync.h"

#include <stdatomic.h>

struct sync_user {
	struct buf body; /* the caller's to free */
	const char *upload;
	int body_error;
	ssize_t upload_error; /* once half was sent */
	bool upload_short;
	unsigned from_start; /* how often the upload was asked from 0 */
	atomic_bool interrupt;
};

/* Fails the test if it can't be made. */
struct http_sync *sync_client_new(const char *base, const char *token, unsigned connections,
				  uint32_t connect_timeout_ms);
/* At most 3 bytes of the user's upload at once. */
ssize_t sync_upload(void *state, uint64_t offset, void *data, size_t len);
/* Of /kv/00ff, with 5 s. Borrows @user; a body if it uploads something. */
struct http_sync_request sync_request_of(struct sync_user *user, enum method method);

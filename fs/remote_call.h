/* SPDX-License-Identifier: MIT */
/* What all requests to the router have in common. For fs/remote and fs/remote_list only. Threads:
 * any number of calls at once. */
#pragma once

#include "fs/doubt.h"
#include "fs/remote.h"
#include "fs/request.h"

struct remote {
	struct http_sync *client;
	uint32_t timeout_ms;
	struct changes changes;
	struct doubts doubts;
};

/* Makes the request and turns a refusal into an errno. What changes a record goes through
 * fence_call(). */
int remote_call(struct remote *remote, struct request *request, const struct interrupt *interrupt,
		struct http_sync_answer *ret_answer);
/* The same as it is. */
int remote_call_plain(struct remote *remote, struct request *request,
		      struct http_sync_answer *ret_answer);

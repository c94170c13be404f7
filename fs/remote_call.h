/* SPDX-License-Identifier: MIT */
/* What all requests to the router have in common. For fs/remote and fs/remote_list only. Threads:
 * any number of calls at once. */
#pragma once

#include "fs/remote.h"
#include "fs/request.h"

struct remote {
	struct http_sync *client;
	uint32_t timeout_ms;
	struct changes changes;
};

/* Makes the request and turns a refusal into an errno. */
int remote_call(struct remote *remote, struct request *request, const struct interrupt *interrupt,
		struct http_sync_answer *ret_answer);

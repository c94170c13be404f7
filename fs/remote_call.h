/* SPDX-License-Identifier: MIT */
/* What all requests to the router have in common. For fs/remote and fs/remote_list only. Threads:
 * any number of calls at once. */
#pragma once

#include "fs/doubt.h"
#include "fs/lately.h"
#include "fs/remote.h"
#include "fs/request.h"

struct remote {
	struct http_sync *client;
	uint32_t timeout_ms;
	struct changes changes;
	struct doubts doubts;
	struct lately lately;
	_Atomic uint64_t stale_at_ms; /* when a follower answered last in the place of a leader */
	_Atomic uint64_t no_wait_until_ms; /* a leader was waited for in vain just now */
};

/* Whether a follower answered, while there is no leader. */
bool remote_is_stale(const struct http_sync_answer *answer);
/* How old the answer to what was asked at @asked_ms may be. */
struct remote_age remote_age_of(const struct http_sync_answer *answer, uint64_t asked_ms);

/* Makes the request and turns a refusal into an errno. What changes a record goes through
 * fence_call(). */
int remote_call(struct remote *remote, struct request *request, const struct interrupt *interrupt,
		struct http_sync_answer *ret_answer);
/* The same as it is. */
int remote_call_plain(struct remote *remote, struct request *request,
		      struct http_sync_answer *ret_answer);

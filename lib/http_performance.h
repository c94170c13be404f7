/* SPDX-License-Identifier: MIT */
/*
 * One request of lib/http_sync under way, whoever moves its bytes: libcurl, or lib/mux_sync.
 * Internal to these two. Threads: the calling thread's.
 */
#pragma once

#include "lib/http_curl.h"
#include "lib/http_sync.h"

struct performance {
	const struct http_sync_request *request;
	struct http_curl_head head;
	struct buf problem;
	uint64_t sent; /* of the upload */
	uint64_t moved_ms;
	bool reached; /* the other side may have seen the request */
	int error; /* what a callback of the user returned */
};

void performance_deinit(struct performance *performance);
/* Forgets the answer so far, for another attempt. */
void performance_restart(struct performance *performance);
/* Drives @easy, the one transfer of @multi, to its end, in *ret_code. -ETIMEDOUT, -EINTR, -EIO. */
int performance_run(const struct performance *performance, CURLM *multi, CURL *easy,
		    CURLcode *ret_code);
/* 0 or the errno of a transfer that has ended. */
int performance_error(const struct performance *performance, CURLcode code);
/* How long the next wait may be, in *ret_ms. -ETIMEDOUT or -EINTR if it is over. */
int performance_wait(const struct performance *performance, int *ret_ms);
/* Up to @room more bytes of the upload; 0: it has ended; negative errno, kept in error. */
ssize_t performance_upload(struct performance *performance, void *data, size_t room);
/* Bytes of the answer's body. 0 or a negative errno, kept in error. */
int performance_body(struct performance *performance, const void *data, size_t len);

/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.1 client side in an event loop: one libcurl multi handle, driven by its socket interface
 * (https://curl.se/libcurl/c/curl_multi_socket_action.html). With lib/http_sync the only place that
 * knows libcurl. Threads: the loop's.
 */
#pragma once

#include "lib/call.h"
#include "lib/loop.h"

struct http_client;

/* Once per process, before threads. */
int http_client_global_init(void);

int http_client_new(struct loop *loop, struct http_client **ret_client);
struct http_client *http_client_free(struct http_client *client);
/* @base is "http://host:port"; @token NULL for none. Both borrowed until done(). */
int http_client_call(struct http_client *client, const char *base, const char *token,
		     struct call *call);

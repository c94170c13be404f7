/* SPDX-License-Identifier: MIT */
/*
 * What lib/http_client and lib/http_sync share: how hexkv sets up a libcurl handle, and how it
 * reads the head of an answer. Internal to these two.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/field.h"

#include <curl/curl.h>

struct http_curl_request {
	enum method method;
	const char *base; /* "http://host:port" */
	const char *target; /* path and query */
	const char *token; /* NULL: none */
	const struct fields *fields;
	bool has_body; /* read by CURLOPT_READFUNCTION */
	int64_t body_len; /* -1: chunked */
	uint32_t connect_timeout_ms;
};

/* Sets everything but the callbacks. libcurl copies or is handed *ret_headers, which must outlive
 * the transfer. 0, -ENOMEM, or -EINVAL. */
int http_curl_prepare(CURL *easy, const struct http_curl_request *request,
		      struct curl_slist **ret_headers);

/* For a handle that makes a connection and nothing more. */
CURLcode http_curl_prepare_connection(CURL *easy, const char *base, uint32_t connect_timeout_ms);

struct http_curl_callbacks {
	curl_write_callback header, body;
	curl_read_callback upload;
	curl_seek_callback seek;
	curl_trailer_callback trailer; /* NULL: none */
	void *state; /* handed to these five */
	bool *reached; /* set once there is a connection: from then on the request may arrive */
};

CURLcode http_curl_set_callbacks(CURL *easy, const struct http_curl_callbacks *callbacks);

/* For the trailer callback. 0 or -ENOMEM. */
int http_curl_append_trailers(struct curl_slist **list, const struct fields *fields);

/* The head of an answer, line by line. Zero-initialise. */
struct http_curl_head {
	unsigned status;
	int64_t content_length; /* -1: not announced */
	struct fields fields;
	bool complete;
};

/* A line of CURLOPT_HEADERFUNCTION. 1: the head is complete now; 0: go on; -EBADMSG: not an answer
 * of ours; -ENOMEM. Interim answers (1xx) and trailers are skipped. */
int http_curl_head_line(struct http_curl_head *head, const char *line, size_t len);
void http_curl_head_deinit(struct http_curl_head *head);

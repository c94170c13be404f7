/* SPDX-License-Identifier: MIT */
#include "lib/http_transfer.h"

#include "lib/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define CONNECT_TIMEOUT_MS 3000

static size_t on_header(char *data, size_t size, size_t count, void *userdata)
{
	struct transfer *transfer = userdata;
	struct call *call = transfer->call;
	size_t len = size * count;
	int r;

	if (!call)
		return 0;
	r = http_curl_head_line(&transfer->head, data, len);
	if (r < 0)
		return 0;
	if (r > 0) {
		transfer->moved_ms = clock_monotonic_ms();
		/* An early refusal: libcurl asks for no more of the upload, but one that is paused
		 * is not over until it goes on. */
		if (transfer->head.status >= 300 && transfer->waiting) {
			transfer->waiting = false;
			http_client_go_on(transfer);
		}
		call->handler->head(call, transfer->head.status, &transfer->head.fields,
				    transfer->head.content_length);
	}
	return transfer->call ? len : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
	struct transfer *transfer = userdata;
	struct call *call = transfer->call;
	size_t len = size * count;
	size_t taken = len;

	if (!call)
		return 0;
	/* libcurl keeps this chunk and hands it out whole again; so only one is kept here. */
	if (transfer->rest.len > 0)
		return CURL_WRITEFUNC_PAUSE;
	transfer->moved_ms = clock_monotonic_ms();
	if (call->handler->body)
		taken = call->handler->body(call, data, len);
	if (!transfer->call)
		return 0;
	assert(taken <= len);
	if (taken < len && buf_append(&transfer->rest, data + taken, len - taken) < 0)
		return 0;
	return len;
}

bool transfer_deliver_rest(struct transfer *transfer)
{
	struct buf *rest = &transfer->rest;

	if (rest->len > 0) {
		size_t taken = transfer->call->handler->body(transfer->call, rest->data, rest->len);

		if (!transfer->call)
			return false;
		assert(taken <= rest->len);
		buf_consume(rest, taken);
	}
	return rest->len == 0;
}

static size_t read_whole(struct transfer *transfer, char *data, size_t room)
{
	const struct call *call = transfer->call;
	size_t left = call->body_len - (size_t)transfer->sent;
	size_t len = left < room ? left : room;

	if (len > 0)
		memcpy(data, (const char *)call->body + transfer->sent, len);
	transfer->sent += len;
	return len;
}

static size_t on_upload(char *data, size_t size, size_t count, void *userdata)
{
	struct transfer *transfer = userdata;
	struct call *call = transfer->call;
	size_t room = size * count;
	ssize_t len;

	if (!call)
		return CURL_READFUNC_ABORT;
	if (!transfer->streamed)
		return read_whole(transfer, data, room);
	if (call->upload_len >= 0) {
		uint64_t left = (uint64_t)call->upload_len - transfer->sent;

		if (left == 0)
			return 0;
		room = left < room ? (size_t)left : room;
	}
	len = call->handler->upload(call, data, room);
	if (!transfer->call)
		return CURL_READFUNC_ABORT;
	if (len == CALL_UPLOAD_END && call->upload_len < 0)
		return 0;
	if (len < 0)
		return CURL_READFUNC_ABORT;
	assert((size_t)len <= room);
	transfer->waiting = len == 0;
	if (len == 0)
		return CURL_READFUNC_PAUSE;
	transfer->sent += (uint64_t)len;
	transfer->moved_ms = clock_monotonic_ms();
	return (size_t)len;
}

/* A dead connection makes libcurl send the request once more. What was streamed is gone. */
static int on_seek(void *userdata, curl_off_t offset, int origin)
{
	struct transfer *transfer = userdata;

	if (!transfer->call || origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	if ((uint64_t)offset == transfer->sent)
		return CURL_SEEKFUNC_OK;
	if (transfer->streamed || (uint64_t)offset > transfer->call->body_len)
		return CURL_SEEKFUNC_FAIL;
	transfer->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_trailer(struct curl_slist **list, void *userdata)
{
	struct transfer *transfer = userdata;

	if (!transfer->call || http_curl_append_trailers(list, &transfer->call->trailer) < 0)
		return CURL_TRAILERFUNC_ABORT;
	return CURL_TRAILERFUNC_OK;
}

static CURLcode set_callbacks(struct transfer *transfer)
{
	const struct http_curl_callbacks callbacks = {
		.header = on_header,
		.body = on_body,
		.upload = on_upload,
		.seek = on_seek,
		.trailer = transfer->chunked ? on_trailer : NULL,
		.state = transfer,
		.reached = &transfer->reached,
	};
	CURLcode code = http_curl_set_callbacks(transfer->easy, &callbacks);

	if (code == CURLE_OK)
		code = curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, (void *)transfer);
	return code;
}

static bool may_have_body(enum method method)
{
	return method == METHOD_PUT || method == METHOD_PATCH || method == METHOD_POST;
}

int transfer_prepare(struct transfer *transfer, const char *base, const char *token)
{
	const struct call *call = transfer->call;
	struct http_curl_request request = {
		.method = call->method,
		.base = base,
		.target = call->target,
		.token = token,
		.fields = &call->fields,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
	};
	CURLcode code;
	int r;

	transfer->streamed = call->handler->upload && !call->body && may_have_body(call->method);
	transfer->chunked = transfer->streamed && call->upload_len < 0;
	request.has_body = transfer->streamed || call->has_body;
	request.body_len = transfer->streamed ? call->upload_len : (int64_t)call->body_len;
	if (call->timeout_ms && call->timeout_ms < CONNECT_TIMEOUT_MS)
		request.connect_timeout_ms = call->timeout_ms;
	r = http_curl_prepare(transfer->easy, &request, &transfer->headers);
	if (r < 0)
		return r;
	code = set_callbacks(transfer);
	if (code != CURLE_OK)
		return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	return 0;
}

bool transfer_is_paused(const struct transfer *transfer)
{
	return transfer->waiting || transfer->rest.len > 0;
}

enum outcome transfer_result(const struct transfer *transfer, CURLcode code,
			     bool *ret_maybe_applied)
{
	*ret_maybe_applied = transfer->reached;
	if (transfer->timed_out)
		return OUTCOME_TIMEOUT;
	if (code == CURLE_OK && transfer->head.complete)
		return OUTCOME_OK;
	return transfer->reached ? OUTCOME_BAD_GATEWAY : OUTCOME_UNAVAILABLE;
}

/* SPDX-License-Identifier: MIT */
/* Answers as libmicrohttpd wants them: bytes that it frees, or a reader that it asks for more. */
#include "lib/http_date.h"
#include "lib/http_internal.h"

#include "lib/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define STREAM_BLOCK    (128 * 1024)
#define DIRECT_BODY_MAX 4096

static ssize_t read_answer(void *cls, uint64_t offset, char *data, size_t len)
{
	struct http_request *request = cls;
	struct exchange *ex = &request->exchange;
	ssize_t n;

	if (ex->finished)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	request->progress_ms = request->server->now_ms;
	http_server_progress(request->server);
	request->in_handler = true;
	do {
		request->resume_seen = false;
		n = request->answer.source->read(request->answer.source_state, ex, offset, data,
						 len);
	} while (n == 0 && request->resume_seen);
	request->in_handler = false;
	if (n < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (n == 0)
		http_request_suspend(request);
	request->streamed_bytes = offset + (uint64_t)n;
	return n;
}

/* Only for HEAD: the length is announced, the body never asked for. */
static ssize_t read_nothing(void *cls, uint64_t offset, char *data, size_t len)
{
	(void)cls;
	(void)offset;
	(void)data;
	(void)len;
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void release_exchange(void *cls)
{
	struct http_request *request = cls;

	exchange_unref(&request->exchange);
}

static struct MHD_Response *create_streamed(struct http_request *request)
{
	uint64_t size = request->answer.stream_bytes;
	size_t block = size < STREAM_BLOCK ? (size_t)size : STREAM_BLOCK;
	struct MHD_Response *response = MHD_create_response_from_callback(
		size, block, read_answer, request, release_exchange);

	/* libmicrohttpd may ask for the last time after the request has finished. */
	if (response)
		exchange_ref(&request->exchange);
	return response;
}

/* The Content-Length of an answer without body is that of the answer to GET (RFC 9110, 8.6). */
static uint64_t length_without_body(const struct answer *answer)
{
	const char *size = fields_get(&answer->fields, FIELD_SIZE, NULL);

	if (answer->stream_bytes || answer->bytes.len)
		return answer->stream_bytes ? answer->stream_bytes : answer->bytes.len;
	if (answer->status == MHD_HTTP_NOT_MODIFIED)
		return size ? strtoull(size, NULL, 10) : MHD_SIZE_UNKNOWN;
	return 0;
}

static struct MHD_Response *create_response(struct http_request *request)
{
	struct answer *answer = &request->answer;
	struct buf body;

	if (request->exchange.method == METHOD_HEAD || answer->status == MHD_HTTP_NOT_MODIFIED)
		return MHD_create_response_from_callback(length_without_body(answer), 1,
							 read_nothing, NULL, NULL);
	if (answer->source && answer->stream_bytes > 0)
		return create_streamed(request);
	if (answer->bytes.len == 0)
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	body = buf_take(&answer->bytes);
	{
		struct MHD_Response *response =
			MHD_create_response_from_buffer(body.len, body.data, MHD_RESPMEM_MUST_FREE);

		if (!response)
			buf_deinit(&body);
		return response;
	}
}

static int add_fields(struct MHD_Response *response, const struct fields *fields)
{
	enum field field = 0;

	while ((field = fields_next(fields, field)) < FIELD_COUNT) {
		const char *value = fields_get(fields, field, NULL);

		/* libmicrohttpd refuses an empty value; an empty field says nothing anyway. */
		if (*value &&
		    MHD_add_response_header(response, field_name(field), value) != MHD_YES)
			return -ENOMEM;
	}
	return 0;
}

int http_answer_prepare(struct http_request *request)
{
	struct MHD_Response *response = create_response(request);

	if (!response)
		return -ENOMEM;
	if (add_fields(response, &request->answer.fields) < 0 ||
	    ((request->close || request->server->draining) &&
	     MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close") != MHD_YES)) {
		MHD_destroy_response(response);
		return -ENOMEM;
	}
	request->status = request->answer.status;
	request->response = response;
	return 0;
}

static int print_answer(const struct answer *answer, struct buf *out)
{
	char date[30];
	int r;

	http_date_format(clock_realtime_ns() / 1000000000, date);
	r = buf_printf(out, "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\n", answer->status,
		       MHD_get_reason_phrase_for(answer->status), date);
	for (enum field field = 1; field < FIELD_COUNT && r == 0; field++) {
		const char *value = fields_get(&answer->fields, field, NULL);

		if (value)
			r = buf_printf(out, "%s: %s\r\n", field_name(field), value);
	}
	if (r == 0)
		r = buf_printf(out, "Content-Length: %zu\r\n\r\n", answer->bytes.len);
	if (r == 0 && answer->bytes.len)
		r = buf_append(out, answer->bytes.data, answer->bytes.len);
	return r;
}

bool http_answer_at_once(struct http_request *request)
{
	const struct answer *answer = &request->answer;
	struct buf out = { 0 };
	bool sent = false;
	ssize_t n;

	if (answer->source || answer->bytes.len > DIRECT_BODY_MAX ||
	    request->exchange.method == METHOD_HEAD || answer->status < 200 ||
	    answer->status == MHD_HTTP_NO_CONTENT || answer->status == MHD_HTTP_NOT_MODIFIED)
		return false;
	if (print_answer(answer, &out) == 0) {
		/* Nothing has been sent on this connection for this request, so that it fits the
		 * socket's buffer unless the client does not read: then the connection is cut. */
		n = send(request->connection->fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		sent = true;
		request->cut = n != (ssize_t)out.len;
		shutdown(request->connection->fd, SHUT_WR);
	}
	buf_deinit(&out);
	return sent;
}

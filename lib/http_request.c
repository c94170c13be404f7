/* SPDX-License-Identifier: MIT */
/*
 * The life of a request between libmicrohttpd's callbacks and the service.
 *
 * libmicrohttpd calls the access handler once for the head, again and again while the body comes,
 * and once when it is complete; then on every MHD_run until a response is queued. A response can be
 * queued only at the head, which closes the connection on unread bytes, so that a reset may
 * overtake the answer; or after the body. An answer that comes earlier waits for the rest of a
 * short body. For a long one it goes to the socket at once, and the body is thrown away until the
 * client has seen it and closes.
 *
 * Suspending costs three system calls, so a request whose answer is not there yet is called for a
 * few turns before it is suspended: most answers come within them.
 */
#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/http_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SPINS_BEFORE_SUSPEND 6

static struct http_request *request_of(struct exchange *ex)
{
	return container_of(ex, struct http_request, exchange);
}

void http_request_suspend(struct http_request *request)
{
	assert(!request->suspended);
	request->suspended = true;
	request->suspended_ms = request->server->now_ms;
	MHD_suspend_connection(request->connection->mhd);
}

void http_request_resume(struct http_request *request)
{
	if (request->suspended) {
		/* In a turn that has just begun the server's clock stands where it suspended. */
		request->server->now_ms = clock_monotonic_ms();
		request->suspended = false;
		request->paused_ms += request->server->now_ms - request->suspended_ms;
		MHD_resume_connection(request->connection->mhd);
	}
	request->progress_ms = request->server->now_ms;
	http_server_progress(request->server);
}

static void finish(struct http_request *request, bool answered)
{
	struct exchange *ex = &request->exchange;

	if (ex->finished)
		return;
	ex->finished = true;
	if (request->response)
		MHD_destroy_response(request->response);
	request->response = NULL;
	if (request->begun) {
		request->server->busy--;
		if (ex->handler && ex->handler->finish)
			ex->handler->finish(ex, answered);
	}
	answer_deinit(&request->answer);
}

void http_request_cut(struct http_request *request)
{
	request->cut = true;
	finish(request, request->state == REQUEST_LINGERING);
	http_request_resume(request);
}

/* The transport */

/* Whether so much of the body is to come that the client should know at once. */
static bool body_is_long(const struct http_request *request)
{
	int64_t length = request->exchange.content_length;

	return request->state == REQUEST_BODY &&
	       (length < 0 || (uint64_t)length - request->body_bytes > BODY_DISCARD_MAX);
}

static void respond(struct exchange *ex, struct answer *answer)
{
	struct http_request *request = request_of(ex);

	request->answer = *answer;
	if (body_is_long(request) && !request->expects_continue && http_answer_at_once(request)) {
		request->state = REQUEST_LINGERING;
		http_connection_set_phase(request->connection, CONNECTION_BUSY);
	} else if (http_answer_prepare(request) < 0) {
		request->cut = true;
	}
	if (request->in_handler)
		request->resume_seen = true;
	else
		http_request_resume(request);
}

static void resume(struct exchange *ex)
{
	struct http_request *request = request_of(ex);

	if (request->in_handler)
		request->resume_seen = true;
	else
		http_request_resume(request);
}

static void free_request(struct exchange *ex)
{
	struct http_request *request = request_of(ex);

	assert(ex->finished);
	fields_deinit(&ex->request);
	fields_deinit(&ex->trailer);
	free(request);
}

static void moving(struct exchange *ex)
{
	struct http_request *request = request_of(ex);

	request->progress_ms = request->server->now_ms;
}

const struct exchange_transport http_transport = {
	.moving = moving,
	.respond = respond,
	.resume_body = resume,
	.resume_answer = resume,
	.free = free_request,
};

/* libmicrohttpd's callbacks */

void *http_request_new(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct http_connection *connection = http_connection_of(mhd);
	size_t len = strlen(uri);
	struct http_request *request;

	(void)cls;
	if (!connection)
		return NULL;
	/* Behind the target there is room for its decoded path, which is never longer; "/" stands
	 * in for the empty path of an absolute target. */
	request = calloc(1, sizeof(*request) + 2 * (len + 2));
	if (!request)
		return NULL;
	memcpy(request->target, uri, len + 1);
	request->path = request->target + len + 2;
	request->server = connection->server;
	request->connection = connection;
	request->exchange.transport = &http_transport;
	request->exchange.references = 1;
	request->exchange.loop = connection->server->loop;
	request->exchange.path = request->exchange.query = "";
	connection->request = request;
	http_connection_set_phase(connection, CONNECTION_HEAD);
	return request;
}

static enum MHD_Result queue_response(struct http_request *request)
{
	struct MHD_Response *response = request->response;
	enum MHD_Result r;

	request->response = NULL;
	request->state = REQUEST_SENDING;
	request->pace = (struct http_pace){ 0 };
	request->progress_ms = request->server->now_ms;
	http_server_progress(request->server);
	r = MHD_queue_response(request->connection->mhd, request->status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result handle_head(struct http_request *request, const struct request_line *line)
{
	request->state = REQUEST_BODY;
	request->progress_ms = request->server->now_ms;
	http_connection_set_phase(request->connection, CONNECTION_BUSY);
	http_server_progress(request->server);
	http_head_begin(request, line);
	/* A client that asked first sends no body that could get in the way. */
	if (request->response &&
	    (request->close || (request->expects_continue && request->exchange.has_body)))
		return queue_response(request);
	/* From here on libmicrohttpd invites the body. */
	request->expects_continue = false;
	return MHD_YES;
}

static enum MHD_Result handle_body(struct http_request *request, const char *data, size_t *len)
{
	struct exchange *ex = &request->exchange;
	size_t left = *len;

	request->progress_ms = request->server->now_ms;
	request->body_bytes += left;
	http_server_progress(request->server);
	/* What the service refuses comes again. */
	while (left > 0 && !ex->answered && ex->handler && ex->handler->body) {
		size_t taken;

		request->resume_seen = false;
		taken = ex->handler->body(ex, data, left);
		assert(taken <= left);
		data += taken;
		left -= taken;
		if (left > 0 && !request->resume_seen) {
			*len = left;
			request->body_bytes -= left;
			http_request_suspend(request);
			return MHD_YES;
		}
	}
	*len = 0;
	return MHD_YES;
}

static enum MHD_Result handle_whole(struct http_request *request)
{
	struct exchange *ex = &request->exchange;

	if (request->state == REQUEST_BODY) {
		request->state = REQUEST_WAITING;
		request->progress_ms = request->server->now_ms;
		if (!ex->answered)
			http_head_take_trailer(request);
		if (!ex->answered && ex->handler && ex->handler->end)
			ex->handler->end(ex);
	}
	if (request->response)
		return queue_response(request);
	if (request->cut || request->state == REQUEST_LINGERING)
		return MHD_NO;
	if (request->spin_turn != request->server->turns) {
		request->spin_turn = request->server->turns;
		request->spins++;
	}
	if (request->spins > SPINS_BEFORE_SUSPEND)
		http_request_suspend(request);
	else
		request->server->waiting++;
	return MHD_YES;
}

enum MHD_Result http_request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
				    const char *method, const char *version, const char *data,
				    size_t *len, void **context)
{
	struct http_request *request = *context;
	enum MHD_Result r;

	(void)cls;
	(void)mhd;
	if (!request || request->cut)
		return MHD_NO;
	request->in_handler = true;
	if (request->state == REQUEST_HEAD) {
		r = handle_head(request, &(struct request_line){ method, url, version });
	} else if (*len > 0) {
		r = handle_body(request, data, len);
	} else {
		r = handle_whole(request);
	}
	request->in_handler = false;
	return request->cut ? MHD_NO : r;
}

void http_request_completed(void *cls, struct MHD_Connection *mhd, void **context,
			    enum MHD_RequestTerminationCode code)
{
	struct http_request *request = *context;

	(void)cls;
	(void)mhd;
	if (!request)
		return;
	*context = NULL;
	finish(request, request->state == REQUEST_LINGERING ||
				(code == MHD_REQUEST_TERMINATED_COMPLETED_OK &&
				 request->state == REQUEST_SENDING));
	request->connection->request = NULL;
	if (request->connection->phase != CONNECTION_MUX)
		http_connection_set_phase(request->connection, CONNECTION_IDLE);
	request->connection = NULL;
	exchange_unref(&request->exchange);
}

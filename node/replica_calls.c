/* SPDX-License-Identifier: MIT */
#include "node/replica_calls.h"

#include "lib/container_of.h"
#include "lib/http_client.h"
#include "node/replica_message.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct outgoing {
	struct replica_calls *calls; /* NULL: free */
	struct call call;
	uint64_t id;
	struct buf message, answer;
	unsigned status;
	int error;
	struct loop_task refused; /* it could not even begin */
};

struct replica_calls {
	struct replica_calls_options options;
	struct http_client *client;
	unsigned free_count;
	unsigned free[REPLICA_CALLS_MAX]; /* indexes of those that are not under way */
	struct outgoing outgoing[REPLICA_CALLS_MAX];
};

static void end(struct outgoing *out)
{
	struct replica_calls *calls = out->calls;

	fields_deinit(&out->call.fields);
	buf_deinit(&out->message);
	buf_deinit(&out->answer);
	out->calls = NULL;
	calls->free[calls->free_count++] = (unsigned)(out - calls->outgoing);
}

/* The slot is free again before the core hears of it: it may send anew at once. */
static void tell(struct outgoing *out, int error)
{
	struct replica_calls *calls = out->calls;
	struct buf answer = buf_take(&out->answer);
	uint64_t id = out->id;

	end(out);
	calls->options.answered(calls->options.state, id, error, error < 0 ? NULL : answer.data,
				error < 0 ? 0 : answer.len);
	buf_deinit(&answer);
}

static struct outgoing *from_call(struct call *call)
{
	return container_of(call, struct outgoing, call);
}

static void on_head(struct call *call, unsigned status, struct fields *fields,
		    int64_t content_length)
{
	struct outgoing *out = from_call(call);

	(void)fields;
	out->status = status;
	/* What is not announced grows as it comes. */
	if (status == 200 && content_length > 0 && content_length <= REPLICA_MESSAGE_BYTES_MAX &&
	    buf_reserve_exact(&out->answer, (size_t)content_length) < 0)
		out->error = -ENOMEM;
}

/* Whoever sends too much, or something else than a message, is read to his end all the same, so
 * that the connection can be used again; the transfer's deadline bounds it. */
static size_t on_body(struct call *call, const void *data, size_t len)
{
	struct outgoing *out = from_call(call);

	if (out->status != 200 || out->error < 0)
		return len;
	if (len > REPLICA_MESSAGE_BYTES_MAX - out->answer.len)
		out->error = -EMSGSIZE;
	else if (buf_append(&out->answer, data, len) < 0)
		out->error = -ENOMEM;
	return len;
}

static int error_of(const struct outgoing *out, enum outcome result)
{
	if (result == OUTCOME_TIMEOUT)
		return -ETIMEDOUT;
	if (result == OUTCOME_UNAVAILABLE)
		return -ECONNREFUSED;
	if (result != OUTCOME_OK)
		return -ECONNRESET;
	if (out->status == 401 || out->status == 403)
		return -EACCES;
	if (out->status == 503)
		return -EAGAIN; /* it starts or shuts down */
	if (out->status != 200)
		return -EPROTO;
	return out->error;
}

static void on_done(struct call *call, enum outcome result, bool maybe_applied)
{
	struct outgoing *out = from_call(call);

	(void)maybe_applied;
	tell(out, error_of(out, result));
}

static const struct call_handler handler = { .head = on_head, .body = on_body, .done = on_done };

static void on_refused(struct loop_task *task)
{
	struct outgoing *out = container_of(task, struct outgoing, refused);

	tell(out, out->error);
}

void replica_calls_send(struct replica_calls *calls, unsigned place, uint64_t call,
			struct buf *message, uint32_t timeout_ms)
{
	const char *url = calls->options.shard->nodes[place].url;
	struct outgoing *out;
	int r;

	assert(calls->free_count > 0);
	out = &calls->outgoing[calls->free[--calls->free_count]];
	*out = (struct outgoing){ .calls = calls, .id = call, .message = buf_take(message) };
	out->refused.run = on_refused;
	out->call = (struct call){
		.method = METHOD_POST,
		.target = "/replica",
		.body = out->message.data,
		.body_len = out->message.len,
		.has_body = true,
		.upload_len = -1,
		.streaming = true,
		.timeout_ms = timeout_ms,
		.handler = &handler,
	};
	r = fields_set(&out->call.fields, FIELD_CONTENT_TYPE, "application/octet-stream", 24);
	if (r == 0)
		r = http_client_call(calls->client, url, calls->options.token, &out->call);
	if (r < 0) {
		out->error = r;
		loop_post(calls->options.loop, &out->refused);
	}
}

int replica_calls_new(const struct replica_calls_options *options, struct replica_calls **ret)
{
	struct replica_calls *calls = calloc(1, sizeof(*calls));
	int r;

	if (!calls)
		return -ENOMEM;
	calls->options = *options;
	for (unsigned i = 0; i < REPLICA_CALLS_MAX; i++)
		calls->free[calls->free_count++] = i;
	r = http_client_new(options->loop, &calls->client);
	if (r < 0) {
		free(calls);
		return r;
	}
	*ret = calls;
	return 0;
}

struct replica_calls *replica_calls_free(struct replica_calls *calls)
{
	if (!calls)
		return NULL;
	/* Cancels without a callback. */
	for (unsigned i = 0; i < REPLICA_CALLS_MAX; i++) {
		if (calls->outgoing[i].calls)
			call_cancel(&calls->outgoing[i].call);
	}
	calls->client = http_client_free(calls->client);
	for (unsigned i = 0; i < REPLICA_CALLS_MAX; i++) {
		if (calls->outgoing[i].calls)
			end(&calls->outgoing[i]);
	}
	free(calls);
	return NULL;
}

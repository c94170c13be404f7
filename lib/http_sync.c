/* SPDX-License-Identifier: MIT */
/*
 * A connection is a libcurl handle with a multi handle of its own, which keeps one socket warm, and
 * another for frames: most of a thread's requests are small and take that one.
 *
 * Running the multi handle here, rather than curl_easy_perform(), lets one wait end in time for
 * both the deadline and the question whether the user was interrupted.
 */
#include "lib/http_sync.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/mutex.h"
#include "lib/mux_sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* How often one that waits for a connection is asked whether it was interrupted. */
#define SLICE_MS 200

struct connection {
	struct mux_sync *mux;
	CURLM *multi;
	CURL *easy;
	struct connection *next;
};

struct http_sync {
	/* immutable */
	char *base;
	char *token;
	unsigned connections_max;
	uint32_t connect_timeout_ms;

	struct mux_sync_peer peer; /* its own */

	/* protected by lock */
	struct mutex lock;
	struct condition returned;
	struct connection *idle;
	unsigned connections;
};

static struct connection *connection_free(struct connection *connection)
{
	if (!connection)
		return NULL;
	mux_sync_free(connection->mux);
	curl_easy_cleanup(connection->easy);
	curl_multi_cleanup(connection->multi);
	free(connection);
	return NULL;
}

static struct connection *connection_new(void)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (!connection)
		return NULL;
	connection->multi = curl_multi_init();
	connection->easy = curl_easy_init();
	connection->mux = mux_sync_new();
	if (!connection->mux || !connection->multi || !connection->easy ||
	    curl_multi_setopt(connection->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK)
		return connection_free(connection);
	return connection;
}

static bool was_interrupted(const struct http_sync_request *request)
{
	return request->interrupted && request->interrupted(request->state);
}

/* Waits for a slot: *ret_idle is a warm connection or NULL, then a new one may be made. */
static int take_slot(struct http_sync *client, const struct http_sync_request *request,
		     struct connection **ret_idle)
{
	uint64_t deadline_ms = clock_monotonic_ms() + request->timeout_ms;

	mutex_lock(&client->lock);
	while (!client->idle && client->connections == client->connections_max) {
		uint64_t now = clock_monotonic_ms();
		uint64_t slice_ms = now + SLICE_MS;
		bool interrupted;

		if (now >= deadline_ms) {
			mutex_unlock(&client->lock);
			return -ETIMEDOUT;
		}
		condition_wait_until(&client->returned, &client->lock,
				     slice_ms < deadline_ms ? slice_ms : deadline_ms);
		mutex_unlock(&client->lock);
		interrupted = was_interrupted(request);
		if (interrupted)
			return -EINTR;
		mutex_lock(&client->lock);
	}
	*ret_idle = client->idle;
	if (client->idle)
		client->idle = client->idle->next;
	else
		client->connections++;
	mutex_unlock(&client->lock);
	return 0;
}

/* NULL gives back the slot of a connection that is no more. */
static void give_slot(struct http_sync *client, struct connection *connection)
{
	mutex_lock(&client->lock);
	if (connection) {
		connection->next = client->idle;
		client->idle = connection;
	} else {
		client->connections--;
	}
	condition_signal(&client->returned);
	mutex_unlock(&client->lock);
}

static size_t on_header(char *data, size_t size, size_t count, void *userdata)
{
	struct performance *state = userdata;
	int r = http_curl_head_line(&state->head, data, size * count);

	if (r > 0)
		state->moved_ms = clock_monotonic_ms();
	if (r == -ENOMEM)
		state->error = r;
	return r < 0 ? 0 : size * count;
}

static size_t on_body(char *data, size_t size, size_t count, void *userdata)
{
	return performance_body(userdata, data, size * count) < 0 ? 0 : size * count;
}

static size_t on_upload(char *data, size_t size, size_t count, void *userdata)
{
	ssize_t len = performance_upload(userdata, data, size * count);

	return len < 0 ? CURL_READFUNC_ABORT : (size_t)len;
}

static int on_seek(void *userdata, curl_off_t offset, int origin)
{
	struct performance *state = userdata;

	if (origin != SEEK_SET || offset < 0)
		return CURL_SEEKFUNC_FAIL;
	state->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static int on_trailer(struct curl_slist **list, void *userdata)
{
	struct performance *state = userdata;
	_cleanup_(fields_deinit) struct fields fields = { 0 };
	int r = state->request->trailer(state->request->state, &fields);

	if (r == 0)
		r = http_curl_append_trailers(list, &fields);
	if (r == 0)
		return CURL_TRAILERFUNC_OK;
	state->error = r;
	return CURL_TRAILERFUNC_ABORT;
}

static CURLcode set_callbacks(CURL *easy, struct performance *state)
{
	const struct http_curl_callbacks callbacks = {
		.header = on_header,
		.body = on_body,
		.upload = on_upload,
		.seek = on_seek,
		.trailer = state->request->trailer ? on_trailer : NULL,
		.state = state,
		.reached = &state->reached,
	};

	return http_curl_set_callbacks(easy, &callbacks);
}

/*
 * Not even curl_easy_reset() makes libcurl 7.88 forget that a handle has sent a trailer: the next
 * chunks would go without their framing. After a lookup that failed it takes no options any more.
 * The connection belongs to the multi handle and stays.
 */
static void renew_handle(struct connection *connection)
{
	curl_easy_cleanup(connection->easy);
	connection->easy = curl_easy_init();
}

/* With a trailer libcurl must not send the request again by itself, as it does when a connection
 * that was kept turns out to be dead. */
static CURLcode set_options(CURL *easy, struct performance *state)
{
	CURLcode code = set_callbacks(easy, state);

	if (code == CURLE_OK && state->request->trailer)
		code = curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	return code;
}

static int perform(const struct http_sync *client, struct connection *connection,
		   struct performance *state)
{
	const struct http_sync_request *request = state->request;
	const struct http_curl_request setup = {
		.method = request->method,
		.base = client->base,
		.target = request->target,
		.token = client->token,
		.fields = &request->fields,
		.has_body = request->has_body,
		.body_len = request->upload_len == HTTP_SYNC_LENGTH_UNKNOWN
				    ? -1
				    : (int64_t)request->upload_len,
		.connect_timeout_ms = client->connect_timeout_ms,
	};
	struct curl_slist *headers = NULL;
	CURLcode code;
	int r;

	if (!connection->easy)
		connection->easy = curl_easy_init();
	if (!connection->easy)
		return -ENOMEM;
	curl_easy_reset(connection->easy);
	r = http_curl_prepare(connection->easy, &setup, &headers);
	if (r < 0)
		return r;
	if (set_options(connection->easy, state) != CURLE_OK ||
	    curl_multi_add_handle(connection->multi, connection->easy) != CURLM_OK) {
		curl_slist_free_all(headers);
		return -ENOMEM;
	}
	r = performance_run(state, connection->multi, connection->easy, &code);
	if (r == 0)
		r = performance_error(state, code);
	/* Closes the connection if the transfer was not over. */
	curl_multi_remove_handle(connection->multi, connection->easy);
	curl_slist_free_all(headers);
	if (request->trailer || r < 0)
		renew_handle(connection);
	return r;
}

static int exchange(struct http_sync *client, struct connection *connection,
		    struct performance *state)
{
	int r;

	state->moved_ms = clock_monotonic_ms();
	if (mux_sync_suits(&client->peer, state->request)) {
		r = mux_sync_perform(connection->mux, &client->peer, state);
		if (r != MUX_SYNC_OTHERWISE)
			return r;
	}
	return perform(client, connection, state);
}

int http_sync_perform(struct http_sync *client, const struct http_sync_request *request,
		      struct http_sync_answer *ret_answer)
{
	struct performance state = { .request = request };
	struct connection *connection;
	int r;

	r = take_slot(client, request, &connection);
	if (r < 0)
		return r;
	if (!connection)
		connection = connection_new();
	r = connection ? exchange(client, connection, &state) : -ENOMEM;
	give_slot(client, connection);
	if (r < 0) {
		performance_deinit(&state);
		return r;
	}
	*ret_answer = (struct http_sync_answer){
		.status = state.head.status,
		.fields = fields_take(&state.head.fields),
		.content_length = state.head.content_length,
		.problem = state.problem,
	};
	return 0;
}

void http_sync_answer_deinit(struct http_sync_answer *answer)
{
	fields_deinit(&answer->fields);
	buf_deinit(&answer->problem);
}

int http_sync_new(const struct http_sync_options *options, struct http_sync **ret_client)
{
	struct http_sync *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	mutex_init(&client->lock);
	condition_init(&client->returned);
	client->connections_max = options->connections_max ? options->connections_max : 1;
	client->connect_timeout_ms = options->connect_timeout_ms;
	client->base = strdup(options->base);
	client->token = options->token ? strdup(options->token) : NULL;
	if (!client->base || (options->token && !client->token)) {
		http_sync_free(client);
		return -ENOMEM;
	}
	/* Targets begin with a slash. */
	for (size_t len = strlen(client->base); len > 0 && client->base[len - 1] == '/'; len--)
		client->base[len - 1] = '\0';
	r = mux_sync_peer_init(&client->peer, client->base, client->token,
			       client->connect_timeout_ms);
	if (r < 0) {
		http_sync_free(client);
		return r;
	}
	*ret_client = client;
	return 0;
}

struct http_sync *http_sync_free(struct http_sync *client)
{
	if (!client)
		return NULL;
	while (client->idle) {
		struct connection *next = client->idle->next;

		connection_free(client->idle);
		client->idle = next;
	}
	condition_deinit(&client->returned);
	mutex_deinit(&client->lock);
	mux_sync_peer_deinit(&client->peer);
	free(client->token);
	free(client->base);
	free(client);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/* Chooses the way of a call: a frame for what is small, libcurl for the rest. */
#include "lib/peer.h"

#include "lib/frame.h"
#include "lib/mux_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct peer {
	struct http_client *http;
	struct mux_client *mux;
	char *url;
	char *token;
};

static int stream_call(struct peer *peer, struct call *call)
{
	return http_client_call(peer->http, peer->url, peer->token, call);
}

/* The node answered a frame with "too large for a frame". Only a read may be asked again. */
static void ask_again(struct call *call, void *state)
{
	if (call->method != METHOD_GET || stream_call(state, call) < 0)
		call->handler->done(call, OUTCOME_BAD_GATEWAY, call->method != METHOD_GET);
}

static bool fits_a_frame(const struct call *call)
{
	bool writes = call->method == METHOD_PUT || call->method == METHOD_PATCH ||
		      call->method == METHOD_POST;
	bool uploads = writes && call->handler->upload && !call->body;

	return !call->streaming && !uploads && call->body_len <= FRAME_BODY_MAX;
}

int peer_call(struct peer *peer, struct call *call)
{
	int r = -EMSGSIZE;

	if (fits_a_frame(call))
		r = mux_client_call(peer->mux, call);
	return r == -EMSGSIZE ? stream_call(peer, call) : r;
}

bool peer_is_up(const struct peer *peer)
{
	return mux_client_is_up(peer->mux);
}

int peer_new(struct loop *loop, struct http_client *http, const struct peer_options *options,
	     struct peer **ret_peer)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	struct mux_client_options mux = {
		.url = options->url,
		.token = options->token,
		.connect_timeout_ms = options->connect_timeout_ms,
		.in_flight_max = options->in_flight_max,
		.too_large = ask_again,
		.state = peer,
	};
	int r = -ENOMEM;

	if (!peer)
		return r;
	peer->http = http;
	peer->url = strdup(options->url);
	if (options->token)
		peer->token = strdup(options->token);
	if (peer->url && (peer->token || !options->token))
		r = mux_client_new(loop, &mux, &peer->mux);
	if (r < 0) {
		peer_free(peer);
		return r;
	}
	*ret_peer = peer;
	return 0;
}

struct peer *peer_free(struct peer *peer)
{
	if (!peer)
		return NULL;
	mux_client_free(peer->mux);
	free(peer->url);
	free(peer->token);
	free(peer);
	return NULL;
}

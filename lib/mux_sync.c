/* SPDX-License-Identifier: MIT */
/*
 * The frame is put together in one buffer, so that it can be sent again as it is. What was received
 * is kept between requests: the answer to one that was given up may still come, and is known by its
 * id. A connection outlives an interrupt, but nothing that leaves a frame half sent or makes the
 * other side doubtful.
 */
#include "lib/mux_sync.h"

#include "lib/clock.h"
#include "lib/frame.h"
#include "lib/log.h"
#include "lib/mux_handshake.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define RECEIVE_BYTES (64 * 1024)
/* As of libcurl's connections (lib/http_curl). */
#define AGE_MAX_MS 50000
/* How long who refused frames is not asked for them again. */
#define REFUSED_MS 30000

/* The connection ended before anything of the answer: none of our results. */
#define LOST 2

struct mux_sync {
	CURLM *multi;
	CURL *easy; /* owns the connection; NULL after one that failed */
	int fd; /* -1: none */
	uint64_t used_ms;
	uint32_t id; /* of the request under way, or the last one */
	struct buf out; /* the request */
	struct buf in; /* what was received and not taken */
};

int mux_sync_peer_init(struct mux_sync_peer *peer, const char *base, const char *token,
		       uint32_t connect_timeout_ms)
{
	static const char scheme[] = "http://";
	const char *authority = base + strlen(scheme);

	peer->base = base;
	peer->connect_timeout_ms = connect_timeout_ms;
	peer->handshake = NULL;
	atomic_init(&peer->refused_until_ms, 0);
	/* TLS, paths, user names, zones of IPv6: libcurl knows what to do with them. */
	if (strncasecmp(base, scheme, strlen(scheme)) != 0 || *authority == '\0')
		return 0;
	for (const char *c = authority; *c; c++)
		if (*c <= ' ' || *c > '~' || strchr("/?#@%", *c))
			return 0;
	peer->handshake = mux_handshake_request(authority, token);
	return peer->handshake ? 0 : -ENOMEM;
}

void mux_sync_peer_deinit(struct mux_sync_peer *peer)
{
	free(peer->handshake);
	peer->handshake = NULL;
}

bool mux_sync_suits(const struct mux_sync_peer *peer, const struct http_sync_request *request)
{
	uint64_t refused_until_ms =
		atomic_load_explicit(&peer->refused_until_ms, memory_order_relaxed);

	return peer->handshake && request->small && !request->trailer &&
	       strlen(request->target) <= FRAME_TARGET_MAX &&
	       (!request->has_body || request->upload_len <= MUX_SYNC_BODY_MAX) &&
	       (refused_until_ms == 0 || clock_monotonic_ms() >= refused_until_ms);
}

static void refused(struct mux_sync_peer *peer)
{
	log_debug("router takes no frames, it is asked by HTTP", "url=%s", peer->base);
	atomic_store_explicit(&peer->refused_until_ms, clock_monotonic_ms() + REFUSED_MS,
			      memory_order_relaxed);
}

struct mux_sync *mux_sync_new(void)
{
	struct mux_sync *mux = calloc(1, sizeof(*mux));

	if (!mux)
		return NULL;
	mux->fd = -1;
	mux->multi = curl_multi_init();
	mux->easy = curl_easy_init();
	return mux->multi && mux->easy ? mux : mux_sync_free(mux);
}

static void disconnect(struct mux_sync *mux)
{
	/* The connection goes with the handle that made it. */
	if (mux->fd >= 0)
		curl_multi_remove_handle(mux->multi, mux->easy);
	mux->fd = -1;
	buf_clear(&mux->in);
}

struct mux_sync *mux_sync_free(struct mux_sync *mux)
{
	if (!mux)
		return NULL;
	disconnect(mux);
	curl_easy_cleanup(mux->easy);
	curl_multi_cleanup(mux->multi);
	buf_deinit(&mux->out);
	buf_deinit(&mux->in);
	free(mux);
	return NULL;
}

/* Bytes */

static int wait_for(const struct mux_sync *mux, const struct performance *performance, short events)
{
	struct pollfd poll_fd = { .fd = mux->fd, .events = events };

	for (;;) {
		int wait_ms, r = performance_wait(performance, &wait_ms);

		if (r < 0)
			return r;
		r = poll(&poll_fd, 1, wait_ms);
		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -EIO;
	}
}

static int send_bytes(const struct mux_sync *mux, struct performance *performance, const void *data,
		      size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(mux->fd, at, len, MSG_NOSIGNAL);
		int r = 0;

		if (n > 0) {
			at += n;
			len -= (size_t)n;
			performance->moved_ms = clock_monotonic_ms();
		} else if (errno == EAGAIN) {
			r = wait_for(mux, performance, POLLOUT);
		} else if (errno != EINTR) {
			r = LOST;
		}
		if (r != 0)
			return r;
	}
	return 0;
}

/* Waits for more, and appends it. 0 or LOST; otherwise as wait_for(). */
static int receive(struct mux_sync *mux, struct performance *performance)
{
	struct buf *in = &mux->in;
	int r = buf_reserve(in, RECEIVE_BYTES);

	while (r == 0) {
		ssize_t n;

		r = wait_for(mux, performance, POLLIN);
		if (r < 0)
			break;
		n = recv(mux->fd, in->data + in->len, in->cap - in->len, 0);
		if (n > 0) {
			in->len += (size_t)n;
			performance->moved_ms = clock_monotonic_ms();
			return 0;
		}
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return LOST;
	}
	return r;
}

/* The connection */

static int make_connection(struct mux_sync *mux, const struct mux_sync_peer *peer,
			   struct performance *performance)
{
	curl_socket_t fd;
	CURLcode code;
	int r;

	if (!mux->easy)
		mux->easy = curl_easy_init();
	if (!mux->easy)
		return -ENOMEM;
	code = http_curl_prepare_connection(mux->easy, peer->base, peer->connect_timeout_ms);
	if (code != CURLE_OK)
		return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	if (curl_multi_add_handle(mux->multi, mux->easy) != CURLM_OK)
		return -ENOMEM;
	r = performance_run(performance, mux->multi, mux->easy, &code);
	if (r == 0 && code == CURLE_OK &&
	    curl_easy_getinfo(mux->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
	    fd != CURL_SOCKET_BAD) {
		mux->fd = fd;
		return 0;
	}
	/* After a lookup that failed libcurl 7.88 lets no options be set any more. */
	curl_multi_remove_handle(mux->multi, mux->easy);
	curl_easy_cleanup(mux->easy);
	mux->easy = NULL;
	return r < 0 ? r : code == CURLE_OK ? -ECONNREFUSED : performance_error(performance, code);
}

/* 0, or negative; LOST and -EPROTO: no frames are spoken here. */
static int shake_hands(struct mux_sync *mux, const struct mux_sync_peer *peer,
		       struct performance *performance)
{
	uint64_t began_ms = performance->moved_ms;
	size_t used;
	int r = send_bytes(mux, performance, peer->handshake, strlen(peer->handshake));

	while (r == 0) {
		/* A head is short: it may come in pieces, but not for ever. */
		performance->moved_ms = began_ms;
		r = receive(mux, performance);
		if (r != 0)
			break;
		r = mux_handshake_answer(&mux->in, &used);
	}
	if (r == 1) {
		buf_consume(&mux->in, used);
		return 0;
	}
	return r;
}

/* 0, MUX_SYNC_OTHERWISE, or negative. */
static int connect_to(struct mux_sync *mux, struct mux_sync_peer *peer,
		      struct performance *performance)
{
	struct http_sync_request handshake = *performance->request;
	struct performance first = { .request = &handshake, .moved_ms = clock_monotonic_ms() };
	int r;

	/* Who takes connections and does not answer may be one who knows no upgrades. */
	if (peer->connect_timeout_ms < handshake.timeout_ms)
		handshake.timeout_ms = peer->connect_timeout_ms;
	disconnect(mux);
	r = make_connection(mux, peer, performance);
	if (r < 0)
		return r;
	r = shake_hands(mux, peer, &first);
	if (r == 0) {
		performance->moved_ms = first.moved_ms;
		return 0;
	}
	disconnect(mux);
	if (r != LOST && r != -EPROTO && r != -ETIMEDOUT)
		return r;
	refused(peer);
	return MUX_SYNC_OTHERWISE;
}

/* The request */

static int read_body(struct buf *body, struct performance *performance)
{
	size_t left = (size_t)performance->request->upload_len;

	if (buf_reserve(body, left) < 0)
		return -ENOMEM;
	while (left > 0) {
		ssize_t len = performance_upload(performance, body->data + body->len, left);

		if (len < 0)
			return (int)len;
		body->len += (size_t)len;
		left -= (size_t)len;
	}
	return 0;
}

static int write_request(struct mux_sync *mux, struct performance *performance)
{
	const struct http_sync_request *request = performance->request;
	struct frame frame = {
		.type = FRAME_REQUEST,
		.flags = request->has_body ? FRAME_FLAG_BODY : 0,
		.id = ++mux->id,
		.method = request->method,
		.deadline_ms = request->timeout_ms,
		.target = request->target,
		.target_len = strlen(request->target),
		.fields = request->fields,
	};
	struct buf body = { 0 };
	int r = request->has_body ? read_body(&body, performance) : 0;

	buf_clear(&mux->out);
	frame.body = body.data;
	frame.body_len = body.len;
	if (r == 0)
		r = frame_encode(&frame, &mux->out);
	buf_deinit(&body);
	return r == -EMSGSIZE ? MUX_SYNC_OTHERWISE : r;
}

static int send_control(struct mux_sync *mux, struct performance *performance, enum frame_type type,
			uint32_t id)
{
	const struct frame frame = { .type = type, .id = id };
	struct buf bytes = { 0 };
	int r = frame_encode(&frame, &bytes);

	if (r == 0)
		r = send_bytes(mux, performance, bytes.data, bytes.len);
	buf_deinit(&bytes);
	return r;
}

/* The answer to the request that was given up is not to be worked for. */
static void cancel(struct mux_sync *mux)
{
	const struct frame frame = { .type = FRAME_CANCEL, .id = mux->id };
	struct buf bytes = { 0 };

	if (frame_encode(&frame, &bytes) < 0 ||
	    send(mux->fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)bytes.len)
		disconnect(mux);
	buf_deinit(&bytes);
}

/* The answer */

static int take_answer(struct performance *performance, struct frame *frame)
{
	const char *size = fields_get(&frame->fields, FIELD_SIZE, NULL);
	bool head = performance->request->method == METHOD_HEAD;

	if (frame->flags & FRAME_FLAG_STREAM)
		return MUX_SYNC_OTHERWISE;
	performance->head.status = frame->status;
	performance->head.content_length = (int64_t)frame->body_len;
	if (head)
		performance->head.content_length = size ? strtoll(size, NULL, 10) : -1;
	performance->head.fields = fields_take(&frame->fields);
	performance->head.complete = true;
	return frame->body_len ? performance_body(performance, frame->body, frame->body_len) : 0;
}

/* Sets *ret_done once it was the answer, whatever became of that. */
static int take_frame(struct mux_sync *mux, struct performance *performance, struct frame *frame,
		      bool *ret_done)
{
	switch (frame->type) {
	case FRAME_RESPONSE:
		*ret_done = frame->id == mux->id;
		return *ret_done ? take_answer(performance, frame) : 0;
	case FRAME_PING:
		return send_control(mux, performance, FRAME_PONG, frame->id);
	case FRAME_PONG:
		return 0;
	case FRAME_GOODBYE:
		return LOST;
	case FRAME_REQUEST:
	case FRAME_CANCEL:
		break;
	}
	return -EBADMSG;
}

/* Frames about something else, however many, do not bring the answer nearer. */
static int receive_answer(struct mux_sync *mux, struct performance *performance, bool *ret_done)
{
	uint64_t moved_ms = performance->moved_ms;
	int r = 0;

	*ret_done = false;
	while (r == 0 && !*ret_done) {
		struct frame frame = { 0 };
		size_t used;

		r = frame_decode(mux->in.data, mux->in.len, &frame, &used);
		if (r == 0) {
			r = receive(mux, performance);
			continue;
		}
		if (r < 0)
			break;
		r = take_frame(mux, performance, &frame, ret_done);
		frame_deinit(&frame);
		buf_consume(&mux->in, used);
		if (!*ret_done)
			performance->moved_ms = moved_ms;
	}
	return r;
}

static int exchange(struct mux_sync *mux, struct performance *performance)
{
	bool answered = false;
	int r = send_bytes(mux, performance, mux->out.data, mux->out.len);
	bool sent = r == 0;

	if (sent)
		r = receive_answer(mux, performance, &answered);
	mux->used_ms = clock_monotonic_ms();
	/* A server that stops says 503 to everything: the next connection may lead to another. */
	if (answered && performance->head.status != 503)
		return r;
	if (sent && r == -EINTR)
		cancel(mux);
	else
		disconnect(mux);
	return r == -EBADMSG ? -EIO : r;
}

static int connect_and_exchange(struct mux_sync *mux, struct mux_sync_peer *peer,
				struct performance *performance)
{
	int r = connect_to(mux, peer, performance);

	return r == 0 ? exchange(mux, performance) : r;
}

int mux_sync_perform(struct mux_sync *mux, struct mux_sync_peer *peer,
		     struct performance *performance)
{
	bool kept = mux->fd >= 0 && clock_monotonic_ms() - mux->used_ms < AGE_MAX_MS;
	int r = write_request(mux, performance);

	if (r == 0 && kept)
		r = exchange(mux, performance);
	if ((r == 0 && !kept) || r == LOST)
		r = connect_and_exchange(mux, peer, performance);
	if (r == MUX_SYNC_OTHERWISE)
		performance_restart(performance);
	return r == LOST ? -EIO : r;
}

/* SPDX-License-Identifier: MIT */
/*
 * One turn of a connection: one recv, all frames in it become exchanges; whatever is answered until
 * the end of the turn leaves with one send. The hook at the turn's end also does what a service
 * must not be called for from inside its own calls: paused bodies, sources that have more, and
 * finish().
 *
 * Backpressure is not to receive: beyond unsent_max bytes of answers that the client does not read,
 * and beyond bodies_max bytes of bodies that the service works on. Beyond unsent_max no further
 * request is begun and no further source is read either, so that a crowd of large answers waits
 * where it is, not in memory; the oldest goes first.
 *
 * A request's deadline counts from when its bytes were received. What has not begun by then is
 * refused; what has begun is answered 504 and cancelled. One timer, set for the earliest deadline,
 * serves all: nearly every request is gone before it, and it is set anew only when it expires.
 */
#include "lib/mux_server.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/frame.h"
#include "lib/log.h"
#include "lib/reply.h"
#include "lib/target.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define RECEIVE_SIZE (256 * 1024)
#define NEVER        UINT64_MAX
/* The asking side gives up by itself at its deadline, and its answer is better: it knows more. */
#define DEADLINE_GRACE_MS 200

struct mux_bounds {
	size_t unsent_max; /* bytes of answers */
	size_t bodies_max; /* bytes of requests' bodies */
	unsigned in_flight_max; /* exchanges */
};

static const struct mux_bounds cluster_bounds = { 8 << 20, 32 << 20, 4096 };
/* There may be a thousand of them. */
static const struct mux_bounds client_bounds = { 1 << 20, 1 << 20, 16 };

struct mux_exchange {
	struct exchange exchange;
	struct mux_server *mux; /* NULL once finished */
	uint32_t id;
	uint64_t deadline_ms; /* NEVER: none */
	bool begun;
	bool due; /* the hook has work for it */
	bool end_seen; /* end() was called, or nobody wants it */
	struct buf body; /* what body() has not taken yet */
	struct answer answer; /* while its source is read into collected */
	struct buf collected;
	struct mux_exchange *next;
	struct mux_exchange **link;
	char *path;
	char target[];
};

struct mux_server {
	struct loop *loop;
	struct mux_server_options options;
	const struct mux_bounds *bounds;
	struct loop_fd socket;
	struct loop_hook hook;
	struct loop_timer deadline; /* not after the earliest of the exchanges under way */
	struct buf in;
	uint64_t received_ms; /* when the newest bytes of in came */
	struct buf out;
	size_t sent; /* of out */
	uint64_t moved; /* bytes, both ways */
	struct mux_exchange *exchanges; /* under way, oldest first */
	struct mux_exchange **exchanges_end;
	size_t collecting; /* bytes of answers whose sources are being read */
	struct mux_exchange *done; /* the answer is in out */
	unsigned in_flight; /* both */
	size_t body_bytes; /* of requests in flight */
	bool work; /* some exchange is due */
	bool held; /* frames were received that wait for room */
	bool draining;
	bool ended; /* the client closed, or the connection broke */
};

static struct mux_exchange *mux_exchange_of(struct exchange *ex)
{
	return container_of(ex, struct mux_exchange, exchange);
}

static void make_due(struct mux_exchange *mx)
{
	mx->due = true;
	mx->mux->work = true;
	loop_turn_again(mx->mux->loop);
}

static void link_under_way(struct mux_exchange *mx)
{
	mx->link = mx->mux->exchanges_end;
	mx->next = NULL;
	*mx->link = mx;
	mx->mux->exchanges_end = &mx->next;
}

static void link_done(struct mux_exchange *mx)
{
	mx->link = &mx->mux->done;
	mx->next = mx->mux->done;
	if (mx->next)
		mx->next->link = &mx->next;
	mx->mux->done = mx;
}

static void unlink_exchange(struct mux_exchange *mx)
{
	*mx->link = mx->next;
	if (mx->next)
		mx->next->link = mx->link;
	else if (mx->mux->exchanges_end == &mx->next)
		mx->mux->exchanges_end = mx->link;
}

static size_t unsent(const struct mux_server *mux)
{
	return mux->out.len - mux->sent;
}

/* For answers. A source that is slow holds up no more than other sources. */
static bool has_room(const struct mux_server *mux)
{
	return unsent(mux) < mux->bounds->unsent_max;
}

/* Answers */

static void encode_answer(struct mux_exchange *mx, const struct answer *answer,
			  const struct buf *body, uint8_t flags)
{
	struct frame frame = {
		.type = FRAME_RESPONSE,
		.flags = flags,
		.id = mx->id,
		.status = (uint16_t)answer->status,
		.fields = answer->fields,
		.body = body ? body->data : NULL,
		.body_len = body ? body->len : 0,
	};

	if (frame_encode(&frame, &mx->mux->out) < 0) {
		/* Out of memory, or fields over their bound: the client must not wait in vain. */
		frame = (struct frame){ .type = FRAME_RESPONSE, .id = mx->id, .status = 500 };
		if (frame_encode(&frame, &mx->mux->out) < 0)
			mx->mux->ended = true;
	}
	unlink_exchange(mx);
	link_done(mx);
	loop_turn_again(mx->mux->loop);
}

static void stop_collecting(struct mux_exchange *mx)
{
	mx->mux->collecting -= mx->collected.cap ? (size_t)mx->answer.stream_bytes : 0;
	buf_deinit(&mx->collected);
}

/* Reads the source as far as it goes, once there is room for all of it. */
static void collect(struct mux_exchange *mx)
{
	struct answer *answer = &mx->answer;

	if (!mx->collected.cap) {
		if (unsent(mx->mux) + mx->mux->collecting >= mx->mux->bounds->unsent_max) {
			mx->due = mx->mux->work = true;
			return;
		}
		if (buf_reserve(&mx->collected, (size_t)answer->stream_bytes) < 0) {
			encode_answer(mx, answer, NULL, FRAME_FLAG_STREAM);
			return;
		}
		mx->mux->collecting += (size_t)answer->stream_bytes;
	}
	while (mx->collected.len < answer->stream_bytes) {
		size_t left = (size_t)answer->stream_bytes - mx->collected.len;
		ssize_t n;

		n = answer->source->read(answer->source_state, &mx->exchange, mx->collected.len,
					 mx->collected.data + mx->collected.len, left);
		if (n == 0)
			return;
		if (n < 0) {
			/* As on a connection of its own: the client learns that it broke off. */
			struct answer broken = { .status = 502 };

			encode_answer(mx, &broken, NULL, 0);
			stop_collecting(mx);
			return;
		}
		mx->collected.len += (size_t)n;
	}
	encode_answer(mx, answer, &mx->collected, 0);
	stop_collecting(mx);
}

static void respond(struct exchange *ex, struct answer *answer)
{
	struct mux_exchange *mx = mux_exchange_of(ex);
	bool head = ex->method == METHOD_HEAD;

	mx->answer = *answer;
	if (head || (!answer->source && answer->bytes.len <= FRAME_BODY_MAX))
		encode_answer(mx, &mx->answer, head ? NULL : &mx->answer.bytes, 0);
	else if (!answer->source || answer->stream_bytes > FRAME_BODY_MAX)
		encode_answer(mx, &mx->answer, NULL, FRAME_FLAG_STREAM);
	else
		make_due(mx);
}

static void resume(struct exchange *ex)
{
	make_due(mux_exchange_of(ex));
}

static void free_exchange(struct exchange *ex)
{
	struct mux_exchange *mx = mux_exchange_of(ex);

	assert(ex->finished);
	fields_deinit(&ex->request);
	free(mx);
}

static const struct exchange_transport mux_transport = {
	.respond = respond,
	.resume_body = resume,
	.resume_answer = resume,
	.free = free_exchange,
};

static void finish(struct mux_exchange *mx, bool answered)
{
	struct exchange *ex = &mx->exchange;

	ex->finished = true;
	unlink_exchange(mx);
	mx->mux->in_flight--;
	(*mx->mux->options.busy)--;
	mx->mux->body_bytes -= (size_t)ex->content_length;
	stop_collecting(mx);
	mx->mux = NULL;
	if (mx->begun && ex->handler && ex->handler->finish)
		ex->handler->finish(ex, answered);
	answer_deinit(&mx->answer);
	buf_deinit(&mx->body);
	exchange_unref(ex);
}

/* Requests */

/* Hands over what the service has not taken yet, then end(). Keeps a copy of what it refuses. */
static void deliver(struct mux_exchange *mx, const uint8_t *data, size_t len)
{
	struct exchange *ex = &mx->exchange;

	if (mx->end_seen)
		return;
	mx->due = false;
	while (len > 0 && !ex->answered && ex->handler && ex->handler->body) {
		size_t taken = ex->handler->body(ex, data, len);

		assert(taken <= len);
		data += taken;
		len -= taken;
		if (len > 0 && !mx->due && !ex->answered)
			break;
		mx->due = false;
	}
	if (ex->answered || !ex->handler || !ex->handler->body)
		len = 0;
	if (len > 0) {
		if (mx->body.len)
			buf_consume(&mx->body, mx->body.len - len);
		else if (buf_append(&mx->body, data, len) < 0)
			mx->mux->ended = true;
	} else {
		buf_clear(&mx->body);
		mx->end_seen = true;
		if (!ex->answered && ex->handler && ex->handler->end)
			ex->handler->end(ex);
	}
}

static struct mux_exchange *new_exchange(struct mux_server *mux, struct frame *frame)
{
	struct mux_exchange *mx = calloc(1, sizeof(*mx) + 2 * (frame->target_len + 2));
	struct exchange *ex;

	if (!mx)
		return NULL;
	ex = &mx->exchange;
	memcpy(mx->target, frame->target, frame->target_len);
	mx->path = mx->target + frame->target_len + 2;
	mx->mux = mux;
	mx->id = frame->id;
	mx->deadline_ms = NEVER;
	if (frame->deadline_ms)
		mx->deadline_ms = mux->received_ms + frame->deadline_ms + DEADLINE_GRACE_MS;
	ex->method = frame->method;
	ex->path = mx->path;
	ex->request = fields_take(&frame->fields);
	ex->content_length = (int64_t)frame->body_len;
	ex->has_body = frame->flags & FRAME_FLAG_BODY;
	ex->loop = mux->loop;
	ex->over_frame = true;
	ex->transport = &mux_transport;
	ex->references = 1;
	link_under_way(mx);
	mux->in_flight++;
	(*mux->options.busy)++;
	mux->body_bytes += frame->body_len;
	return mx;
}

/* The field tells a router that its request was not begun and may go to another node. */
static void refuse_draining(struct exchange *ex)
{
	struct answer answer = { 0 };

	if (fields_setf(&answer.fields, FIELD_LEADER, "unknown") < 0 ||
	    answer_problem(&answer, ex, OUTCOME_UNAVAILABLE, APPLIED_NOT,
			   "the server is stopping; ask another") < 0)
		answer.status = outcome_info(OUTCOME_UNAVAILABLE)->status;
	exchange_respond(ex, &answer);
}

/* Out of memory: what the timer has not seen waits as if it had no deadline. */
static void watch_deadline(struct mux_server *mux, uint64_t deadline_ms)
{
	if (deadline_ms == NEVER || (mux->deadline.armed && mux->deadline.due_ms <= deadline_ms))
		return;
	(void)loop_set_timer(mux->loop, &mux->deadline, deadline_ms);
}

static void expire(struct mux_exchange *mx)
{
	struct exchange *ex = &mx->exchange;
	bool reads = ex->method == METHOD_GET || ex->method == METHOD_HEAD;
	struct answer answer = { 0 };

	if (answer_problem(&answer, ex, OUTCOME_TIMEOUT, reads ? APPLIED_NOT : APPLIED_UNKNOWN,
			   "the node did not answer in the time that the request gave it; ask "
			   "again, a write with the same HexKV-Request-Id") < 0)
		answer.status = outcome_info(OUTCOME_TIMEOUT)->status;
	ex->answered = true;
	encode_answer(mx, &answer, &answer.bytes, 0);
	answer_deinit(&answer);
	finish(mx, false);
}

static void deadline_expired(struct loop_timer *timer)
{
	struct mux_server *mux = container_of(timer, struct mux_server, deadline);
	uint64_t now = clock_monotonic_ms();
	uint64_t earliest = NEVER;
	struct mux_exchange *mx = mux->exchanges;

	while (mx) {
		if (mx->deadline_ms > now) {
			if (mx->deadline_ms < earliest)
				earliest = mx->deadline_ms;
			mx = mx->next;
			continue;
		}
		/* Others may have been answered meanwhile. */
		expire(mx);
		earliest = NEVER;
		mx = mux->exchanges;
	}
	watch_deadline(mux, earliest);
}

static bool is_too_late(const struct mux_server *mux, const struct frame *frame)
{
	/* Only frames that were held may be old. */
	return mux->held && frame->deadline_ms &&
	       clock_monotonic_ms() > mux->received_ms + frame->deadline_ms;
}

static int handle_request(struct mux_server *mux, struct frame *frame)
{
	struct mux_exchange *mx = new_exchange(mux, frame);
	struct exchange *ex;

	if (!mx)
		return -ENOMEM;
	ex = &mx->exchange;
	watch_deadline(mux, mx->deadline_ms);
	if (target_parse(mx->target, mx->path, &ex->query) < 0) {
		reply_problem(ex, OUTCOME_BAD_REQUEST,
			      "the request target is not a well-encoded path; mend its %%XX");
	} else if (mux->draining) {
		refuse_draining(ex);
	} else if (is_too_late(mux, frame)) {
		reply_problem(ex, OUTCOME_TIMEOUT,
			      "the time that the request gave was over before it could begin; "
			      "ask again");
	} else if (mux->in_flight > mux->bounds->in_flight_max) {
		reply_problem(ex, OUTCOME_TOO_MANY_REQUESTS,
			      "more than %u requests wait on one connection; ask again later",
			      mux->bounds->in_flight_max);
	} else {
		mx->begun = true;
		mux->options.service->begin(ex, mux->options.service->state);
		if (ex->answered)
			mx->end_seen = true;
		else
			deliver(mx, frame->body, frame->body_len);
	}
	return 0;
}

static void handle_cancel(struct mux_server *mux, uint32_t id)
{
	for (struct mux_exchange *mx = mux->exchanges; mx; mx = mx->next) {
		if (mx->id == id) {
			finish(mx, false);
			return;
		}
	}
}

static int handle_frame(struct mux_server *mux, struct frame *frame)
{
	struct frame pong = { .type = FRAME_PONG, .id = frame->id };

	switch (frame->type) {
	case FRAME_REQUEST:
		return handle_request(mux, frame);
	case FRAME_CANCEL:
		handle_cancel(mux, frame->id);
		return 0;
	case FRAME_PING:
		return frame_encode(&pong, &mux->out);
	case FRAME_PONG:
		return 0;
	case FRAME_RESPONSE:
	case FRAME_GOODBYE:
		break;
	}
	return -EBADMSG;
}

/* Handles the whole frames that were received, as long as there is room for answers. */
static void handle_input(struct mux_server *mux)
{
	size_t at = 0;
	int r = 0;

	while (!mux->ended && has_room(mux)) {
		struct frame frame = { 0 };
		size_t used;

		r = frame_decode(mux->in.data + at, mux->in.len - at, &frame, &used);
		if (r <= 0)
			break;
		r = handle_frame(mux, &frame);
		frame_deinit(&frame);
		if (r < 0)
			break;
		at += used;
	}
	if (r < 0) {
		log_warn("multiplexed connection refused", "error=%d", -r);
		mux->ended = true;
	}
	mux->held = !mux->ended && !has_room(mux) && at < mux->in.len;
	buf_consume(&mux->in, at);
}

static void receive(struct mux_server *mux)
{
	ssize_t n;

	if (buf_reserve(&mux->in, RECEIVE_SIZE) < 0) {
		mux->ended = true;
		return;
	}
	n = recv(mux->socket.fd, mux->in.data + mux->in.len, RECEIVE_SIZE, 0);
	if (n > 0) {
		mux->in.len += (size_t)n;
		mux->received_ms = clock_monotonic_ms();
		mux->moved += (uint64_t)n;
		handle_input(mux);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		mux->ended = true;
	}
}

static void send_queued(struct mux_server *mux)
{
	ssize_t n;

	if (unsent(mux) == 0)
		return;
	n = send(mux->socket.fd, mux->out.data + mux->sent, unsent(mux), MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			mux->ended = true;
		return;
	}
	mux->sent += (size_t)n;
	mux->moved += (uint64_t)n;
	if (unsent(mux) == 0) {
		buf_clear(&mux->out);
		mux->sent = 0;
	} else if (mux->sent > mux->bounds->unsent_max / 8) {
		buf_consume(&mux->out, mux->sent);
		mux->sent = 0;
	}
}

/* Also after the connection broke: nothing else ends it. */
static void watch(struct mux_server *mux)
{
	uint32_t events = 0;

	if (has_room(mux) && mux->body_bytes < mux->bounds->bodies_max)
		events |= EPOLLIN;
	if (unsent(mux) > 0)
		events |= EPOLLOUT;
	if (loop_change_fd(mux->loop, &mux->socket, events) < 0)
		mux->ended = true;
}

static void socket_ready(struct loop_fd *fd, uint32_t events)
{
	struct mux_server *mux = container_of(fd, struct mux_server, socket);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(mux);
	/* The hook of this turn sends, and ends what has ended. */
}

/* Goes on with the exchanges that became due. */
static void work_off(struct mux_server *mux)
{
	struct mux_exchange *next;

	mux->work = false;
	for (struct mux_exchange *mx = mux->exchanges; mx; mx = next) {
		next = mx->next;
		if (!mx->due)
			continue;
		mx->due = false;
		if (!mx->exchange.answered)
			deliver(mx, mx->body.data, mx->body.len);
		else
			collect(mx);
	}
}

static int turn(struct loop_hook *hook)
{
	struct mux_server *mux = container_of(hook, struct mux_server, hook);

	if (mux->work)
		work_off(mux);
	if (mux->held)
		handle_input(mux);
	send_queued(mux);
	if ((mux->work || mux->held) && has_room(mux))
		loop_turn_again(mux->loop);
	while (mux->done)
		finish(mux->done, !mux->ended);
	watch(mux);
	if (mux->ended)
		mux->options.closed(mux, mux->options.state);
	return -1;
}

int mux_server_new(struct loop *loop, const struct mux_server_options *options,
		   struct mux_server **ret_mux)
{
	struct mux_server *mux = calloc(1, sizeof(*mux));
	int r;

	if (!mux)
		return -ENOMEM;
	mux->loop = loop;
	mux->options = *options;
	mux->bounds = options->of_client ? &client_bounds : &cluster_bounds;
	mux->exchanges_end = &mux->exchanges;
	mux->deadline.expired = deadline_expired;
	mux->received_ms = clock_monotonic_ms();
	mux->socket = (struct loop_fd){
		.fd = options->fd,
		.events = EPOLLIN,
		.ready = socket_ready,
	};
	r = options->received_len ? buf_append(&mux->in, options->received, options->received_len)
				  : 0;
	if (r == 0)
		r = loop_add_fd(loop, &mux->socket);
	if (r < 0) {
		buf_deinit(&mux->in);
		free(mux);
		return r;
	}
	mux->hook = (struct loop_hook){ .turn = turn, .late = true };
	loop_add_hook(loop, &mux->hook);
	*ret_mux = mux;
	if (mux->in.len)
		handle_input(mux);
	return 0;
}

void mux_server_drain(struct mux_server *mux)
{
	mux->draining = true;
}

unsigned mux_server_busy(const struct mux_server *mux)
{
	return mux->in_flight;
}

uint64_t mux_server_moved(const struct mux_server *mux)
{
	return mux->moved;
}

bool mux_server_has_unsent(const struct mux_server *mux)
{
	return unsent(mux) > 0;
}

bool mux_server_is_working(const struct mux_server *mux)
{
	return mux->in_flight > 0 && unsent(mux) == 0;
}

/*
 * What arrived after the last turn, or is still on its way, is not going to be begun: who sent it
 * need not wonder. Said only if everything that was begun has been answered. What is left unread
 * would turn the end of the connection into a reset, which may overtake the goodbye.
 */
static void say_goodbye(struct mux_server *mux)
{
	struct frame goodbye = { .type = FRAME_GOODBYE };
	char unread[4096];

	if (!mux->draining || mux->ended || mux->exchanges || mux->done ||
	    frame_encode(&goodbye, &mux->out) < 0)
		return;
	send_queued(mux);
	for (int i = 0; i < 1024; i++)
		if (recv(mux->socket.fd, unread, sizeof(unread), MSG_DONTWAIT) <= 0)
			break;
}

struct mux_server *mux_server_free(struct mux_server *mux)
{
	if (!mux)
		return NULL;
	say_goodbye(mux);
	loop_remove_hook(mux->loop, &mux->hook);
	loop_clear_timer(mux->loop, &mux->deadline);
	loop_remove_fd(mux->loop, &mux->socket);
	while (mux->exchanges)
		finish(mux->exchanges, false);
	while (mux->done)
		finish(mux->done, false);
	buf_deinit(&mux->in);
	buf_deinit(&mux->out);
	free(mux);
	return NULL;
}

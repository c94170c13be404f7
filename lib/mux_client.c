/* SPDX-License-Identifier: MIT */
/*
 * Every call has a slot; its frame's id is slot and generation, so that an answer to a call that
 * was given up finds nobody. A slot is in at most one list (free, queued, due), and leaves it only
 * at its head: a call that is cancelled leaves an orphan there.
 *
 * done() is called from two places only: where an answer was received, and from the hook for slots
 * that are due. So nobody is called back from inside mux_client_call() or while the table is being
 * walked.
 */
#include "lib/mux_client.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/frame.h"
#include "lib/log.h"
#include "lib/mux_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define RECONNECT_INTERVAL_MS 100
/* A connection on which nothing answers a ping is lost. */
#define PING_TIMEOUT_MS 2000
#define NEVER           UINT64_MAX

enum slot_state {
	SLOT_FREE,
	SLOT_QUEUED, /* waits for a connection */
	SLOT_SENT, /* the frame is in the socket's hands */
	SLOT_DELIVERING, /* its user is being called */
	SLOT_PAUSED, /* its user has refused bytes */
	SLOT_RESUMED, /* due: goes on */
	SLOT_FAILED, /* due: result */
};

struct slot {
	struct mux_client *client;
	struct slot *next;
	struct call *call; /* NULL: orphan */
	enum slot_state state;
	uint16_t generation;
	bool retried;
	bool resume_seen; /* while SLOT_DELIVERING */
	uint64_t deadline_ms;
	uint64_t frame_end; /* in the bytes of the connection */
	enum outcome result;
	bool maybe_applied;
	struct buf rest; /* of the answer's body */
};

struct slot_list {
	struct slot *first;
	struct slot **end;
};

struct mux_client {
	struct loop *loop;
	struct mux_client_options options; /* url and token are not kept */
	struct mux_socket socket;
	struct loop_hook hook;
	struct loop_timer timer; /* deadlines, of calls and of the connection */
	struct slot *slots;
	unsigned used;
	struct slot_list free;
	struct slot_list queued;
	struct slot_list due;
	uint64_t connect_deadline_ms;
	uint64_t next_attempt_ms;
	uint64_t ping_deadline_ms; /* 0: none is out */
	bool goodbye; /* the server has said that it begins nothing more */
	bool lost; /* found while frames were handled; done at the end of the turn */
	bool up;
	bool refusal_logged;
};

/* Slots */

static void list_init(struct slot_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_push(struct slot_list *list, struct slot *slot)
{
	slot->next = NULL;
	*list->end = slot;
	list->end = &slot->next;
}

static struct slot *list_pop(struct slot_list *list)
{
	struct slot *slot = list->first;

	if (slot) {
		list->first = slot->next;
		if (!list->first)
			list->end = &list->first;
	}
	return slot;
}

static uint32_t slot_id(const struct slot *slot)
{
	return (uint32_t)(slot - slot->client->slots) | (uint32_t)slot->generation << 16;
}

/* The call is idle again; its slot takes another. */
static void release(struct slot *slot)
{
	if (slot->call)
		slot->call->transport_state = NULL;
	slot->call = NULL;
	slot->generation++;
	slot->state = SLOT_FREE;
	buf_deinit(&slot->rest);
	slot->client->used--;
	list_push(&slot->client->free, slot);
}

static void make_due(struct slot *slot, enum slot_state state)
{
	slot->state = state;
	list_push(&slot->client->due, slot);
	loop_turn_again(slot->client->loop);
}

static void fail(struct slot *slot, enum outcome result, bool maybe_applied)
{
	slot->result = result;
	slot->maybe_applied = maybe_applied;
	make_due(slot, SLOT_FAILED);
}

static void end_call(struct slot *slot, enum outcome result, bool maybe_applied)
{
	struct call *call = slot->call;

	release(slot);
	if (call)
		call->handler->done(call, result, maybe_applied);
}

/* Sending */

static void send_call(struct slot *slot)
{
	struct mux_client *client = slot->client;
	const struct call *call = slot->call;
	struct frame frame = {
		.type = FRAME_REQUEST,
		.flags = call->has_body ? FRAME_FLAG_BODY : 0,
		.id = slot_id(slot),
		.method = call->method,
		.deadline_ms = call->timeout_ms,
		.target = call->target,
		.target_len = strlen(call->target),
		.fields = call->fields,
		.body = call->body,
		.body_len = call->has_body ? call->body_len : 0,
	};

	if (frame_encode(&frame, &client->socket.out) < 0) {
		fail(slot, OUTCOME_UNAVAILABLE, false);
		return;
	}
	slot->state = SLOT_SENT;
	slot->frame_end = mux_socket_queued_total(&client->socket);
}

static void send_control(struct mux_client *client, enum frame_type type, uint32_t id)
{
	struct frame frame = { .type = type, .id = id };

	/* Without memory the other side merely works in vain, or a ping is not answered. */
	if (client->socket.state == MUX_OPEN)
		frame_encode(&frame, &client->socket.out);
}

static void send_queued(struct mux_client *client)
{
	struct slot *slot;

	while ((slot = list_pop(&client->queued))) {
		if (slot->call)
			send_call(slot);
		else
			release(slot);
	}
}

/* The connection */

static void fail_queued(struct mux_client *client)
{
	struct slot *slot;

	while ((slot = list_pop(&client->queued))) {
		if (slot->call)
			fail(slot, OUTCOME_UNAVAILABLE, false);
		else
			release(slot);
	}
}

static void set_timer(struct mux_client *client, uint64_t due_ms)
{
	if (due_ms != NEVER && (!client->timer.armed || due_ms < client->timer.due_ms))
		loop_set_timer(client->loop, &client->timer, due_ms);
}

static void connect_failed(struct mux_client *client, int error)
{
	if (!client->refusal_logged)
		log_warn("node can't be reached", "url=%s error=%d reason=\"%s\"",
			 client->options.url, -error, strerror(-error));
	client->refusal_logged = true;
	client->up = false;
	mux_socket_close(&client->socket);
	client->next_attempt_ms = clock_monotonic_ms() + RECONNECT_INTERVAL_MS;
	fail_queued(client);
}

static void start_connect(struct mux_client *client)
{
	int r = mux_socket_connect(&client->socket);

	if (r < 0) {
		connect_failed(client, r);
		return;
	}
	client->connect_deadline_ms = clock_monotonic_ms() + client->options.connect_timeout_ms;
	set_timer(client, client->connect_deadline_ms);
}

/* Sorts what waited: once more, or failed. */
static void connection_lost(struct mux_client *client)
{
	uint64_t sent = client->socket.sent_total;
	bool goodbye = client->goodbye;

	log_info("connection to node lost", "url=%s waiting=%u", client->options.url, client->used);
	client->lost = client->goodbye = false;
	client->ping_deadline_ms = 0;
	mux_socket_close(&client->socket);
	for (unsigned i = 0; i < client->options.in_flight_max; i++) {
		struct slot *slot = &client->slots[i];
		bool maybe_begun = slot->frame_end <= sent && !goodbye;
		bool is_read;

		if (slot->state != SLOT_SENT)
			continue;
		is_read = slot->call->method == METHOD_GET || slot->call->method == METHOD_HEAD;
		if (slot->retried || (maybe_begun && !is_read)) {
			fail(slot, OUTCOME_BAD_GATEWAY, maybe_begun);
			continue;
		}
		slot->retried = true;
		slot->state = SLOT_QUEUED;
		list_push(&client->queued, slot);
	}
	if (client->queued.first)
		start_connect(client);
}

/* Answers */

static int64_t content_length(const struct call *call, const struct frame *frame)
{
	const char *size = fields_get(&frame->fields, FIELD_SIZE, NULL);

	if (call->method != METHOD_HEAD)
		return (int64_t)frame->body_len;
	return size ? strtoll(size, NULL, 10) : -1;
}

/* The user may cancel its call, and start others, in every callback. */
static bool still_there(const struct slot *slot, uint16_t generation)
{
	return slot->generation == generation && slot->call;
}

/* Gives the user what it takes of the body. Ends the call if that is all. */
static void deliver_body(struct slot *slot, const uint8_t *data, size_t len)
{
	struct call *call = slot->call;
	uint16_t generation = slot->generation;

	while (len > 0 && call->handler->body) {
		size_t taken;

		slot->resume_seen = false;
		taken = call->handler->body(call, data, len);
		if (!still_there(slot, generation))
			return;
		assert(taken <= len);
		data += taken;
		len -= taken;
		if (len > 0 && !slot->resume_seen)
			break;
	}
	if (len == 0 || !call->handler->body) {
		end_call(slot, OUTCOME_OK, false);
		return;
	}
	slot->state = SLOT_PAUSED;
	if (slot->rest.len)
		buf_consume(&slot->rest, slot->rest.len - len);
	else if (buf_append(&slot->rest, data, len) < 0)
		fail(slot, OUTCOME_UNAVAILABLE, true);
}

static void deliver_answer(struct slot *slot, struct frame *frame)
{
	struct call *call = slot->call;
	uint16_t generation = slot->generation;

	if (frame->flags & FRAME_FLAG_STREAM) {
		release(slot);
		slot->client->options.too_large(call, slot->client->options.state);
		return;
	}
	slot->state = SLOT_DELIVERING;
	if (call->handler->head)
		call->handler->head(call, frame->status, &frame->fields,
				    content_length(call, frame));
	if (still_there(slot, generation))
		deliver_body(slot, frame->body, frame->body_len);
}

static int handle_frame(struct mux_client *client, struct frame *frame)
{
	unsigned index = frame->id & 0xffff;
	struct slot *slot = index < client->options.in_flight_max ? &client->slots[index] : NULL;

	switch (frame->type) {
	case FRAME_PONG:
		return 0;
	case FRAME_PING:
		send_control(client, FRAME_PONG, frame->id);
		return 0;
	case FRAME_GOODBYE:
		client->goodbye = client->lost = true;
		return 0;
	case FRAME_RESPONSE:
		if (slot && slot->state == SLOT_SENT && slot_id(slot) == frame->id)
			deliver_answer(slot, frame);
		return 0;
	case FRAME_REQUEST:
	case FRAME_CANCEL:
		break;
	}
	return -EBADMSG;
}

static void handle_input(struct mux_client *client)
{
	struct buf *in = &client->socket.in;
	size_t at = 0;
	int r;

	for (;;) {
		struct frame frame = { 0 };
		size_t used;

		r = frame_decode(in->data + at, in->len - at, &frame, &used);
		if (r <= 0)
			break;
		r = handle_frame(client, &frame);
		frame_deinit(&frame);
		if (r < 0)
			break;
		at += used;
	}
	buf_consume(in, at);
	if (r < 0) {
		log_warn("node sent no frame", "url=%s error=%d", client->options.url, -r);
		client->lost = true;
	}
}

static void socket_ready(struct loop_fd *fd, uint32_t events)
{
	struct mux_client *client = container_of(container_of(fd, struct mux_socket, socket),
						 struct mux_client, socket);
	int r;

	(void)events;
	if (client->socket.state != MUX_OPEN) {
		r = mux_socket_advance(&client->socket);
		if (r < 0)
			connect_failed(client, r);
		if (r <= 0)
			return;
		client->up = true;
		client->refusal_logged = false;
		send_queued(client);
	} else {
		ssize_t n = mux_socket_receive(&client->socket);

		if (n < 0)
			client->lost = true;
		if (n > 0) {
			client->up = true;
			client->ping_deadline_ms = 0;
		}
	}
	handle_input(client);
}

/* Turns and deadlines */

static void serve_due(struct mux_client *client)
{
	/* What becomes due meanwhile waits for the next turn. */
	struct slot *last =
		client->due.first ? container_of(client->due.end, struct slot, next) : NULL;
	struct slot *slot = NULL;

	while (slot != last) {
		slot = list_pop(&client->due);
		if (!slot->call) {
			release(slot);
		} else if (slot->state == SLOT_FAILED) {
			end_call(slot, slot->result, slot->maybe_applied);
		} else {
			slot->state = SLOT_DELIVERING;
			deliver_body(slot, slot->rest.data, slot->rest.len);
		}
	}
}

static int turn(struct loop_hook *hook)
{
	struct mux_client *client = container_of(hook, struct mux_client, hook);

	if (client->socket.state == MUX_OPEN && !client->lost &&
	    mux_socket_flush(&client->socket) < 0)
		client->lost = true;
	if (client->lost)
		connection_lost(client);
	serve_due(client);
	return -1;
}

static void call_expired(struct slot *slot, uint64_t now)
{
	struct mux_client *client = slot->client;
	bool sent = slot->state == SLOT_SENT;
	uint32_t id = slot_id(slot);

	client->up = false;
	if (!sent) {
		/* Still in the queue: an orphan takes its place there. */
		struct call *call = slot->call;

		slot->call = NULL;
		call->transport_state = NULL;
		call->handler->done(call, OUTCOME_UNAVAILABLE, false);
		return;
	}
	send_control(client, FRAME_CANCEL, id);
	if (!client->ping_deadline_ms) {
		client->ping_deadline_ms = now + PING_TIMEOUT_MS;
		send_control(client, FRAME_PING, 0);
	}
	end_call(slot, OUTCOME_TIMEOUT, true);
}

static uint64_t expire_calls(struct mux_client *client, uint64_t now)
{
	uint64_t next = NEVER;

	for (unsigned i = 0; i < client->options.in_flight_max; i++) {
		struct slot *slot = &client->slots[i];

		if (!slot->call || (slot->state != SLOT_SENT && slot->state != SLOT_QUEUED))
			continue;
		if (slot->deadline_ms <= now)
			call_expired(slot, now);
		else if (slot->deadline_ms < next)
			next = slot->deadline_ms;
	}
	return next;
}

static void timer_expired(struct loop_timer *timer)
{
	struct mux_client *client = container_of(timer, struct mux_client, timer);
	uint64_t now = clock_monotonic_ms();
	uint64_t next;

	if (client->socket.state != MUX_CLOSED && client->socket.state != MUX_OPEN) {
		if (client->connect_deadline_ms <= now)
			connect_failed(client, -ETIMEDOUT);
		else
			set_timer(client, client->connect_deadline_ms);
	}
	if (client->ping_deadline_ms && client->ping_deadline_ms <= now) {
		client->lost = true;
		loop_turn_again(client->loop);
	}
	next = expire_calls(client, now);
	if (client->ping_deadline_ms > now && client->ping_deadline_ms < next)
		next = client->ping_deadline_ms;
	set_timer(client, next);
}

/* The transport */

static void resume_call(struct call *call)
{
	struct slot *slot = call->transport_state;

	if (slot->state == SLOT_DELIVERING)
		slot->resume_seen = true;
	else if (slot->state == SLOT_PAUSED)
		make_due(slot, SLOT_RESUMED);
}

static void cancel_call(struct call *call)
{
	struct slot *slot = call->transport_state;

	switch (slot->state) {
	case SLOT_SENT:
		send_control(slot->client, FRAME_CANCEL, slot_id(slot));
		loop_turn_again(slot->client->loop);
		release(slot);
		break;
	case SLOT_DELIVERING:
	case SLOT_PAUSED:
		release(slot);
		break;
	case SLOT_QUEUED:
	case SLOT_RESUMED:
	case SLOT_FAILED:
		/* In a list, which it leaves at the head only. */
		slot->call = NULL;
		call->transport_state = NULL;
		break;
	case SLOT_FREE:
		break;
	}
}

static const struct call_transport mux_transport = {
	.resume = resume_call,
	.cancel = cancel_call,
};

int mux_client_call(struct mux_client *client, struct call *call)
{
	uint64_t now = clock_monotonic_ms();
	struct slot *slot;

	if (call->body_len > FRAME_BODY_MAX || strlen(call->target) > FRAME_TARGET_MAX)
		return -EMSGSIZE;
	slot = list_pop(&client->free);
	if (!slot)
		return -EBUSY;
	client->used++;
	slot->call = call;
	slot->retried = false;
	slot->deadline_ms = call->timeout_ms ? now + call->timeout_ms : NEVER;
	call->transport = &mux_transport;
	call->transport_state = slot;
	set_timer(client, slot->deadline_ms);
	/* A late hook of this turn sends it; this may itself be called by a later one. */
	loop_turn_again(client->loop);
	if (client->socket.state == MUX_OPEN) {
		send_call(slot);
		return 0;
	}
	if (client->socket.state == MUX_CLOSED && now < client->next_attempt_ms) {
		fail(slot, OUTCOME_UNAVAILABLE, false);
		return 0;
	}
	slot->state = SLOT_QUEUED;
	list_push(&client->queued, slot);
	if (client->socket.state == MUX_CLOSED)
		start_connect(client);
	return 0;
}

bool mux_client_is_up(const struct mux_client *client)
{
	return client->up;
}

int mux_client_new(struct loop *loop, const struct mux_client_options *options,
		   struct mux_client **ret_client)
{
	struct mux_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->options = *options;
	client->options.url = strdup(options->url);
	client->options.token = NULL;
	client->slots = calloc(options->in_flight_max, sizeof(client->slots[0]));
	client->hook = (struct loop_hook){ .turn = turn, .late = true };
	client->timer.expired = timer_expired;
	client->up = true;
	list_init(&client->free);
	list_init(&client->queued);
	list_init(&client->due);
	loop_add_hook(loop, &client->hook);
	r = mux_socket_init(&client->socket, loop, options->url, options->token, socket_ready);
	if (r == 0 && (!client->options.url || !client->slots))
		r = -ENOMEM;
	if (r < 0) {
		mux_client_free(client);
		return r;
	}
	for (unsigned i = 0; i < options->in_flight_max; i++) {
		client->slots[i].client = client;
		list_push(&client->free, &client->slots[i]);
	}
	*ret_client = client;
	return 0;
}

struct mux_client *mux_client_free(struct mux_client *client)
{
	if (!client)
		return NULL;
	loop_remove_hook(client->loop, &client->hook);
	loop_clear_timer(client->loop, &client->timer);
	mux_socket_deinit(&client->socket);
	for (unsigned i = 0; client->slots && i < client->options.in_flight_max; i++) {
		if (client->slots[i].call)
			client->slots[i].call->transport_state = NULL;
		buf_deinit(&client->slots[i].rest);
	}
	free(client->slots);
	free((char *)client->options.url);
	free(client);
	return NULL;
}

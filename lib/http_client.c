/* SPDX-License-Identifier: MIT */
/*
 * libcurl's multi interface in our loop. Three things drive it: a descriptor that libcurl asked to
 * watch, the one timer that it asked for, and the client's turn.
 *
 * Functions of libcurl are called from these three places only, never from a callback of libcurl:
 * what a user asks for (start, resume, cancel) is queued and done in the next turn. That is also
 * why no user is ever called back from inside its own call.
 */
#include "lib/http_client.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/http_address.h"
#include "lib/http_transfer.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

/* Connections that are kept open while nobody uses them. */
#define IDLE_CONNECTIONS_MAX 32L
#define IDLE_HANDLES_MAX     16
/* How often libcurl's clock is run if the loop has no memory for its timer. */
#define LOST_TIMER_MS 10

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer; /* libcurl's */
	struct loop_hook hook;
	struct transfer *transfers;
	struct transfer *pending;
	struct transfer **pending_end;
	CURL *idle[IDLE_HANDLES_MAX];
	unsigned idle_count;
	bool timer_lost;
};

struct watch {
	struct loop_fd fd;
	struct http_client *client;
};

int http_client_global_init(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

/* Transfers */

static void queue(struct transfer *transfer)
{
	struct http_client *client = transfer->client;

	if (transfer->pending)
		return;
	transfer->pending = true;
	transfer->next_pending = NULL;
	*client->pending_end = transfer;
	client->pending_end = &transfer->next_pending;
	/* A late hook may be asking, after this turn's has run. */
	loop_turn_again(client->loop);
}

void http_client_go_on(struct transfer *transfer)
{
	queue(transfer);
}

static void unqueue(struct transfer *transfer)
{
	struct http_client *client = transfer->client;
	struct transfer **at = &client->pending;

	if (!transfer->pending)
		return;
	while (*at != transfer)
		at = &(*at)->next_pending;
	*at = transfer->next_pending;
	if (client->pending_end == &transfer->next_pending)
		client->pending_end = at;
	transfer->pending = false;
}

static CURL *take_handle(struct http_client *client)
{
	return client->idle_count ? client->idle[--client->idle_count] : curl_easy_init();
}

/*
 * Not even curl_easy_reset() makes libcurl 7.88 forget that a handle has sent a trailer: the next
 * chunks would go without their framing. After a lookup that failed it takes no options any more.
 */
static void give_handle(struct http_client *client, CURL *easy, bool reusable)
{
	if (easy && reusable && client->idle_count < IDLE_HANDLES_MAX) {
		curl_easy_reset(easy);
		client->idle[client->idle_count++] = easy;
		return;
	}
	curl_easy_cleanup(easy);
}

static void leave_multi(struct transfer *transfer)
{
	if (transfer->in_multi)
		curl_multi_remove_handle(transfer->client->multi, transfer->easy);
	transfer->in_multi = false;
}

static void transfer_free(struct transfer *transfer)
{
	struct http_client *client = transfer->client;

	leave_multi(transfer);
	unqueue(transfer);
	loop_clear_timer(client->loop, &transfer->timer);
	if (transfer->previous)
		transfer->previous->next = transfer->next;
	else if (client->transfers == transfer)
		client->transfers = transfer->next;
	if (transfer->next)
		transfer->next->previous = transfer->previous;
	if (transfer->call)
		transfer->call->transport_state = NULL;
	give_handle(client, transfer->easy, transfer->reusable && !transfer->chunked);
	curl_slist_free_all(transfer->headers);
	curl_slist_free_all(transfer->known_address);
	http_curl_head_deinit(&transfer->head);
	buf_deinit(&transfer->rest);
	free(transfer);
}

/* The last thing that happens to a transfer whose call is still there. */
static void complete(struct transfer *transfer, CURLcode code)
{
	struct call *call = transfer->call;
	bool maybe_applied;
	enum outcome result = transfer_result(transfer, code, &maybe_applied);

	transfer_free(transfer);
	call->handler->done(call, result, maybe_applied);
}

static void start(struct transfer *transfer);

static void ended(struct transfer *transfer, CURLcode code)
{
	leave_multi(transfer);
	transfer->reusable = code == CURLE_OK;
	if (transfer->reached)
		http_address_note(transfer->easy);
	if (transfer->call && !transfer->reached && !transfer->known_address &&
	    http_address_fall_back(transfer->easy, code, &transfer->known_address))
		start(transfer);
	else if (!transfer->call)
		transfer_free(transfer);
	else if (code == CURLE_OK && transfer->rest.len > 0)
		transfer->ended = true;
	else
		complete(transfer, code);
}

static void reap(struct http_client *client)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(client->multi, &left))) {
		CURLcode code = message->data.result;
		char *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
		ended((struct transfer *)(void *)transfer, code);
	}
}

static void drive(struct http_client *client, curl_socket_t fd, int mask)
{
	int running;

	curl_multi_socket_action(client->multi, fd, mask, &running);
	reap(client);
}

static void transfer_expired(struct loop_timer *timer)
{
	struct transfer *transfer = container_of(timer, struct transfer, timer);
	struct loop *loop = transfer->client->loop;
	uint64_t now = clock_monotonic_ms();

	if (!transfer->call)
		return;
	if (transfer_is_paused(transfer))
		transfer->moved_ms = now;
	if (transfer->moved_ms + transfer->call->timeout_ms > now &&
	    loop_set_timer(loop, timer, transfer->moved_ms + transfer->call->timeout_ms) == 0)
		return;
	transfer->timed_out = true;
	complete(transfer, CURLE_OPERATION_TIMEDOUT);
}

/* What users ask for */

static void resume(struct call *call)
{
	queue(call->transport_state);
}

static void cancel(struct call *call)
{
	struct transfer *transfer = call->transport_state;

	transfer->call = NULL;
	call->transport_state = NULL;
	queue(transfer);
}

static const struct call_transport transport = { .resume = resume, .cancel = cancel };

int http_client_call(struct http_client *client, const char *base, const char *token,
		     struct call *call)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	int r;

	if (!transfer)
		return -ENOMEM;
	transfer->client = client;
	transfer->call = call;
	transfer->timer.expired = transfer_expired;
	transfer->moved_ms = clock_monotonic_ms();
	transfer->easy = take_handle(client);
	r = transfer->easy ? transfer_prepare(transfer, base, token) : -ENOMEM;
	if (r == 0 && call->timeout_ms)
		r = loop_set_timer(client->loop, &transfer->timer,
				   transfer->moved_ms + call->timeout_ms);
	if (r < 0) {
		transfer->call = NULL;
		transfer_free(transfer);
		return r;
	}
	transfer->next = client->transfers;
	if (transfer->next)
		transfer->next->previous = transfer;
	client->transfers = transfer;
	call->transport_state = transfer;
	call->transport = &transport;
	queue(transfer);
	return 0;
}

/* The client's turn */

static void start(struct transfer *transfer)
{
	CURLMcode code = curl_multi_add_handle(transfer->client->multi, transfer->easy);

	if (code != CURLM_OK) {
		complete(transfer, CURLE_FAILED_INIT);
		return;
	}
	transfer->in_multi = true;
}

static void go_on(struct transfer *transfer)
{
	bool all_taken = transfer_deliver_rest(transfer);
	CURLcode code;

	if (!transfer->call)
		return;
	transfer->moved_ms = clock_monotonic_ms();
	if (transfer->ended) {
		if (all_taken)
			complete(transfer, CURLE_OK);
		return;
	}
	transfer->waiting = false;
	code = curl_easy_pause(transfer->easy, all_taken ? CURLPAUSE_CONT : CURLPAUSE_RECV);
	/* Without a connection there is nothing to go on with: not connected yet, or its end is
	 * about to be read. */
	if (code != CURLE_OK && code != CURLE_BAD_FUNCTION_ARGUMENT)
		ended(transfer, code);
}

static int turn(struct loop_hook *hook)
{
	struct http_client *client = container_of(hook, struct http_client, hook);
	struct transfer *last = NULL;
	bool worked = client->pending != NULL;

	/* What the callbacks queue meanwhile waits for the next turn. */
	for (struct transfer *at = client->pending; at; at = at->next_pending)
		last = at;
	while (client->pending && last) {
		struct transfer *transfer = client->pending;

		if (transfer == last)
			last = NULL;
		unqueue(transfer);
		if (!transfer->call)
			transfer_free(transfer);
		else if (!transfer->in_multi && !transfer->ended)
			start(transfer);
		else
			go_on(transfer);
	}
	if (worked || client->timer_lost) {
		drive(client, CURL_SOCKET_TIMEOUT, 0);
		loop_turn_again(client->loop);
	}
	if (client->pending)
		return 0;
	return client->timer_lost ? LOST_TIMER_MS : -1;
}

/* What libcurl asks for */

static void timer_expired(struct loop_timer *timer)
{
	drive(container_of(timer, struct http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *userdata)
{
	struct http_client *client = userdata;

	(void)multi;
	client->timer_lost = false;
	if (timeout_ms < 0)
		loop_clear_timer(client->loop, &client->timer);
	else if (loop_set_timer(client->loop, &client->timer,
				clock_monotonic_ms() + (uint64_t)timeout_ms) < 0)
		client->timer_lost = true;
	return 0;
}

static void watch_ready(struct loop_fd *fd, uint32_t events)
{
	struct watch *watch = container_of(fd, struct watch, fd);
	int mask = 0;

	/* An error shows as readable or writable too, whichever libcurl waits for. */
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		mask |= CURL_CSELECT_IN;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		mask |= CURL_CSELECT_OUT;
	drive(watch->client, fd->fd, mask);
}

static void unwatch(struct http_client *client, struct watch *watch)
{
	if (!watch)
		return;
	loop_remove_fd(client->loop, &watch->fd);
	free(watch);
}

static struct watch *watch_new(struct http_client *client, curl_socket_t fd, uint32_t events)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->client = client;
	watch->fd = (struct loop_fd){ .fd = fd, .events = events, .ready = watch_ready };
	if (loop_add_fd(client->loop, &watch->fd) < 0) {
		free(watch);
		return NULL;
	}
	return watch;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data)
{
	struct http_client *client = userdata;
	struct watch *watch = socket_data;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		unwatch(client, watch);
		return 0;
	}
	if (watch) {
		loop_change_fd(client->loop, &watch->fd, events);
		return 0;
	}
	watch = watch_new(client, fd, events);
	/* Failing here would end every transfer of the client. This one ends by its timeout. */
	if (!watch)
		log_error("no memory to watch a connection", "fd=%d", (int)fd);
	else
		curl_multi_assign(client->multi, fd, watch);
	return 0;
}

static bool multi_set_up(struct http_client *client)
{
	CURLM *multi = client->multi;

	return curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
	       curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, IDLE_CONNECTIONS_MAX) == CURLM_OK;
}

int http_client_new(struct loop *loop, struct http_client **ret_client)
{
	struct http_client *client = calloc(1, sizeof(*client));

	if (!client)
		return -ENOMEM;
	client->loop = loop;
	client->pending_end = &client->pending;
	client->timer.expired = timer_expired;
	client->hook.turn = turn;
	client->multi = curl_multi_init();
	if (!client->multi || !multi_set_up(client)) {
		curl_multi_cleanup(client->multi);
		free(client);
		return -ENOMEM;
	}
	loop_add_hook(loop, &client->hook);
	*ret_client = client;
	return 0;
}

struct http_client *http_client_free(struct http_client *client)
{
	if (!client)
		return NULL;
	while (client->transfers)
		transfer_free(client->transfers);
	while (client->idle_count)
		curl_easy_cleanup(client->idle[--client->idle_count]);
	/* Tells which descriptors it no longer watches, and stops its timer. */
	curl_multi_cleanup(client->multi);
	loop_clear_timer(client->loop, &client->timer);
	loop_remove_hook(client->loop, &client->hook);
	free(client);
	return NULL;
}

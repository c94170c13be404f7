/* SPDX-License-Identifier: MIT */
/*
 * The libmicrohttpd daemon in the event loop. Its epoll descriptor sits in the loop's; whatever it
 * reports, the work is done in the turn's hook, after everything else that became ready: answers
 * that came in this turn go out in this turn.
 *
 * libmicrohttpd's own timeout counts inactivity, which a slow drip survives, and does not count
 * suspended connections at all. A sweep over all connections, a few times per shortest deadline,
 * covers both.
 */
#include "lib/http_internal.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* The pool of memory that a connection has for heads, and half of which it receives bodies in: less
 * makes more system calls for each body, more is cleared for every request, and kept by every
 * connection. */
#define CONNECTION_MEMORY (8 * 1024)
/* After a resume a response takes two runs. */
#define RUNS_PER_TURN     4
#define WAITING_SLEEP_MS  1
#define SWEEP_INTERVAL_MS 1000
/* Of a suspended request, without anything moving. */
#define STALL_TIMEOUT_MS 120000
/* For a client to read an early answer and to stop sending. */
/* Of connections that are idle, when there are as many as there may be. */
#define GIVE_WAY_IDLE_MS  100
#define GIVE_WAY_EVERY_MS 10
/* Connections beyond the limit, so that they can be told. They have so long to ask. */
#define BEYOND(limit) ((limit) / 8 + 8)
#define DOUBTFUL_MS   1000
/* How long a connection is silent before it counts as idle, and how often that is looked at. */
#define DRAIN_IDLE_MS      100
#define DRAIN_TURN_MS      10
#define LINGER_TIMEOUT_MS  10000
#define BODY_TIMEOUT_MS    30000
#define BODY_STRETCH_BYTES 4096
/* libmicrohttpd takes a streamed answer 128 KiB at a time. */
#define ANSWER_STRETCH_BYTES ((uint64_t)128 * 1024)
#define ANSWER_TIMEOUTS      10
#define BODY_RATE_BYTES      4096

void http_server_progress(struct http_server *server)
{
	if (server->running)
		server->progress = true;
	else
		loop_turn_again(server->loop);
}

/* Connections */

struct http_connection *http_connection_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void http_connection_set_phase(struct http_connection *connection, enum connection_phase phase)
{
	connection->phase = phase;
	connection->since_ms = connection->server->now_ms;
}

enum connection_excess http_connection_excess(const struct http_connection *connection)
{
	const struct http_server *server = connection->server;
	unsigned of_address = server->options.address_limit;

	if (server->connection_count - server->leaving > server->options.connection_limit)
		return EXCESS_OF_ALL;
	if (of_address && connection->address &&
	    address_count_get(connection->address) > of_address)
		return EXCESS_OF_ADDRESS;
	return EXCESS_NONE;
}

static void count_connection(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	server->connection_count++;
	if (server->options.address_limit && info && info->client_addr)
		connection->address = address_counts_add(server->addresses, info->client_addr);
	connection->doubtful = http_connection_excess(connection) != EXCESS_NONE;
	if (connection->doubtful)
		server->crowded = true;
}

static void connection_opened(struct http_server *server, struct MHD_Connection *mhd,
			      void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http_connection *connection = calloc(1, sizeof(*connection));

	/* Without it the first request finds no context and the connection is closed. */
	if (!connection)
		return;
	connection->server = server;
	connection->mhd = mhd;
	connection->fd = info->connect_fd;
	http_connection_set_phase(connection, CONNECTION_IDLE);
	connection->link = &server->connections;
	connection->next = server->connections;
	if (connection->next)
		connection->next->link = &connection->next;
	server->connections = connection;
	*context = connection;
	count_connection(connection);
	if (!server->sweep.armed)
		loop_set_timer(server->loop, &server->sweep,
			       server->now_ms + server->sweep_interval_ms);
}

static void connection_notify(void *cls, struct MHD_Connection *mhd, void **context,
			      enum MHD_ConnectionNotificationCode code)
{
	struct http_connection *connection = *context;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		connection_opened(cls, mhd, context);
		return;
	}
	if (!connection)
		return;
	/* A request line that leaves no memory for its answer ends without a word about the
	 * request. */
	if (connection->request) {
		void *request = connection->request;

		http_request_completed(cls, mhd, &request, MHD_REQUEST_TERMINATED_WITH_ERROR);
	}
	assert(!connection->request && !connection->mux);
	*connection->link = connection->next;
	if (connection->next)
		connection->next->link = connection->link;
	connection->server->connection_count--;
	connection->server->leaving -= connection->closing;
	address_count_remove(connection->address);
	free(connection);
	*context = NULL;
}

/* Multiplexed connections */

static void close_mux(struct http_connection *connection)
{
	connection->mux = mux_server_free(connection->mux);
	MHD_upgrade_action(connection->upgrade, MHD_UPGRADE_ACTION_CLOSE);
	connection->upgrade = NULL;
	http_server_progress(connection->server);
}

static void mux_closed(struct mux_server *mux, void *state)
{
	(void)mux;
	close_mux(state);
}

void http_connection_upgraded(void *cls, struct MHD_Connection *mhd, void *context,
			      const char *extra, size_t extra_len, MHD_socket fd,
			      struct MHD_UpgradeResponseHandle *upgrade)
{
	struct http_server *server = cls;
	struct http_connection *connection = http_connection_of(mhd);
	struct mux_server_options options = {
		.fd = fd,
		.received = extra,
		.received_len = extra_len,
		.service = &server->service,
		.of_client = server->options.mux_of_clients,
		.busy = &server->mux_busy,
		.closed = mux_closed,
		.state = connection,
	};
	int one = 1;
	int flags = fcntl(fd, F_GETFL);

	(void)context;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* A client whose machine is gone never says so. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	connection->upgrade = upgrade;
	http_connection_set_phase(connection, CONNECTION_MUX);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
	    mux_server_new(server->loop, &options, &connection->mux) < 0)
		close_mux(connection);
}

/* Deadlines */

static bool connection_is_overdue(const struct http_connection *connection, uint64_t now)
{
	const struct http_server *server = connection->server;
	const struct http_request *request = connection->request;
	uint64_t head = server->options.head_timeout_ms;
	uint64_t age = now - connection->since_ms;

	if (connection->doubtful && age > DOUBTFUL_MS && connection->phase <= CONNECTION_HEAD)
		return true;
	switch (connection->phase) {
	case CONNECTION_IDLE:
		/* libmicrohttpd ends idle ones; this one drips its request line. */
		return head && age > head + server->options.idle_timeout_ms;
	case CONNECTION_HEAD:
		return head && age > head;
	case CONNECTION_BUSY:
		if (request && request->state == REQUEST_LINGERING)
			return age > server->options.linger_timeout_ms;
		return request && request->suspended &&
		       now - request->progress_ms > server->options.stall_timeout_ms;
	case CONNECTION_MUX:
		return false;
	}
	return false;
}

/* Of clients: how long nothing has moved that should have. */
static uint64_t mux_idle_ms(struct http_connection *connection, uint64_t now)
{
	uint64_t moved = mux_server_moved(connection->mux);

	if (moved != connection->mux_moved || mux_server_is_working(connection->mux)) {
		connection->mux_moved = moved;
		connection->since_ms = now;
	}
	return now - connection->since_ms;
}

/* An idle one. */
static void let_go(struct http_connection *connection)
{
	connection->server->leaving += !connection->closing;
	connection->closing = true;
	shutdown(connection->fd, SHUT_RDWR);
}

/* With a goodbye: what the client is just sending has not begun. */
static void end_idle_mux(struct http_connection *connection)
{
	connection->server->leaving += !connection->closing;
	connection->closing = true;
	mux_server_drain(connection->mux);
	close_mux(connection);
}

static bool is_mux_of_client(const struct http_connection *connection)
{
	return connection->phase == CONNECTION_MUX && connection->mux &&
	       connection->server->options.mux_of_clients;
}

/* The client's: what the server made it wait does not count. */
static uint64_t client_time(const struct http_request *request, uint64_t now)
{
	if (request->suspended)
		now = request->suspended_ms;
	return now - request->paused_ms;
}

/* By the other side's kernel. What libmicrohttpd sends from one piece is not seen otherwise. */
static bool bytes_acknowledged(const struct http_connection *connection, uint64_t *ret_bytes)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
		return false;
	*ret_bytes = info.tcpi_bytes_acked;
	return true;
}

/* A client that is so slow keeps memory, or a stream here and at the node, from others. */
static bool is_too_slow(const struct http_connection *connection, uint64_t now)
{
	struct http_server *server = connection->server;
	struct http_request *request = connection->request;
	uint64_t moved;

	if (connection->phase != CONNECTION_BUSY || !request)
		return false;
	if (request->state == REQUEST_BODY)
		return !http_pace_is_kept(&request->pace, &server->body_limits,
					  client_time(request, now), request->body_bytes);
	if (request->state != REQUEST_SENDING)
		return false;
	/* A system that does not say what has arrived leaves the end to libmicrohttpd. */
	moved = request->streamed_bytes;
	if (!request->answer.source && !bytes_acknowledged(connection, &moved))
		return false;
	return !http_pace_is_kept(&request->pace, &server->answer_limits, client_time(request, now),
				  moved);
}

/* As above, of a multiplexed connection. */
static bool mux_is_too_slow(struct http_connection *connection, uint64_t now)
{
	if (!mux_server_has_unsent(connection->mux))
		connection->mux_pace.begun = false;
	else if (!http_pace_is_kept(&connection->mux_pace, &connection->server->answer_limits, now,
				    mux_server_moved(connection->mux)))
		return true;
	return false;
}

/* libmicrohttpd does not watch a suspended connection, so a client that has reset it is looked for
 * here. One that has only stopped sending may still be reading. */
static bool client_is_gone(const struct http_connection *connection)
{
	struct pollfd poll_fd = { .fd = connection->fd };

	return connection->request && connection->request->suspended && poll(&poll_fd, 1, 0) == 1 &&
	       (poll_fd.revents & (POLLERR | POLLHUP));
}

/*
 * libmicrohttpd takes a short read for the last one until epoll reports an edge. If the end of the
 * stream has arrived together with the bytes there is no further edge, and it would wait in vain.
 */
static bool end_was_missed(const struct http_connection *connection, uint64_t now)
{
	const struct http_request *request = connection->request;
	uint64_t moved = connection->since_ms;
	char byte;

	if (connection->phase == CONNECTION_MUX)
		return false;
	if (connection->phase == CONNECTION_BUSY) {
		if (!request || request->suspended ||
		    (request->state != REQUEST_BODY && request->state != REQUEST_LINGERING))
			return false;
		moved = request->progress_ms;
	}
	return now - moved >= connection->server->sweep_interval_ms / 2 &&
	       recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void cut_connection(struct http_connection *connection)
{
	shutdown(connection->fd, SHUT_RDWR);
	if (connection->request && connection->phase == CONNECTION_BUSY)
		http_request_cut(connection->request);
	http_server_progress(connection->server);
}

static bool may_give_way(const struct http_connection *connection)
{
	return connection->phase == CONNECTION_IDLE || is_mux_of_client(connection);
}

/*
 * With as many connections as there may be nobody new gets in, not even who asks for the health.
 * Clients that keep connections for later must live with their end, so those that have been idle
 * for longest give way.
 */
static void make_room(struct http_server *server, uint64_t now)
{
	unsigned left = server->options.connection_limit / 8 + 1;
	uint64_t longest = 0;
	char byte;

	if (server->connection_count - server->leaving < server->options.connection_limit ||
	    now - server->made_room_ms < GIVE_WAY_EVERY_MS)
		return;
	server->made_room_ms = now;
	for (struct http_connection *at = server->connections; at; at = at->next)
		if (!at->closing && may_give_way(at) && now - at->since_ms > longest)
			longest = now - at->since_ms;
	if (longest < GIVE_WAY_IDLE_MS)
		return;
	for (struct http_connection *at = server->connections; at && left > 0; at = at->next) {
		if (at->closing || !may_give_way(at) || now - at->since_ms < longest / 2 ||
		    recv(at->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			continue;
		left--;
		if (at->mux)
			end_idle_mux(at);
		else
			let_go(at);
	}
	http_server_progress(server);
}

static void sweep(struct loop_timer *timer)
{
	struct http_server *server = container_of(timer, struct http_server, sweep);
	struct http_connection *next;
	uint64_t now = clock_monotonic_ms();

	server->now_ms = now;
	for (struct http_connection *at = server->connections; at; at = next) {
		next = at->next;
		if (is_mux_of_client(at) && mux_idle_ms(at, now) > server->options.idle_timeout_ms)
			end_idle_mux(at);
		else if (is_mux_of_client(at) && mux_is_too_slow(at, now))
			close_mux(at);
		else if (connection_is_overdue(at, now) || client_is_gone(at) ||
			 end_was_missed(at, now) || is_too_slow(at, now))
			cut_connection(at);
	}
	make_room(server, now);
	if (server->connections)
		loop_set_timer(server->loop, timer, now + server->sweep_interval_ms);
}

/* The loop */

static void epoll_ready(struct loop_fd *fd, uint32_t events)
{
	/* The hook of this turn does the work. */
	(void)fd;
	(void)events;
}

/*
 * Of a server that drains. A client that has just been answered may be sending its next request:
 * that one is still served, and its answer says that the connection ends. Who has been silent for a
 * while is expected to live with the end of an idle connection.
 */
static void close_idle(struct http_server *server)
{
	char byte;

	for (struct http_connection *at = server->connections; at; at = at->next)
		if (at->phase == CONNECTION_IDLE && !at->closing &&
		    server->now_ms - at->since_ms >= DRAIN_IDLE_MS &&
		    recv(at->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
			let_go(at);
}

/*
 * Of a server that drains. Who has connected may have sent a request, and would never learn whether
 * it was applied: so everybody who waits in the backlog is let in first. From then on connections
 * are refused, which says that nothing was.
 */
static void stop_listening(struct http_server *server)
{
	struct pollfd poll_fd = { .fd = server->listen_fd, .events = POLLIN };

	if (poll(&poll_fd, 1, 0) != 0)
		return;
	MHD_quiesce_daemon(server->daemon);
	shutdown(server->listen_fd, SHUT_RDWR);
	server->listening = false;
}

static int turn(struct loop_hook *hook)
{
	struct http_server *server = container_of(hook, struct http_server, hook);
	MHD_UNSIGNED_LONG_LONG timeout;

	server->now_ms = clock_monotonic_ms();
	server->turns++;
	if (server->draining)
		close_idle(server);
	server->running = true;
	for (int i = 0; i < RUNS_PER_TURN; i++) {
		server->progress = false;
		server->waiting = 0;
		if (server->crowded)
			make_room(server, server->now_ms);
		server->crowded = false;
		MHD_run(server->daemon);
		if (!server->progress)
			break;
	}
	server->running = false;
	if (server->draining && server->listening)
		stop_listening(server);
	if (server->progress)
		return 0;
	if (server->waiting)
		return WAITING_SLEEP_MS;
	if (server->draining && (server->connections || server->listening))
		return DRAIN_TURN_MS;
	if (MHD_get_timeout(server->daemon, &timeout) != MHD_YES)
		return -1;
	return timeout > 60000 ? 60000 : (int)timeout;
}

__attribute__((format(printf, 2, 0))) static void log_message(void *cls, const char *format,
							      va_list args)
{
	char text[512], quoted[600];
	int n = vsnprintf(text, sizeof(text), format, args);

	(void)cls;
	if (n < 0)
		return;
	text[strcspn(text, "\r\n")] = '\0';
	log_debug("libmicrohttpd", "message=%s", log_quote(text, quoted, sizeof(quoted)));
}

/* Paths are decoded by the request itself, once, so libmicrohttpd shall not. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
	(void)cls;
	(void)mhd;
	return strlen(text);
}

static int start_daemon(struct http_server *server, int listen_fd)
{
	unsigned idle_s = (server->options.idle_timeout_ms + 999) / 1000;
	const union MHD_DaemonInfo *info;

	server->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, http_request_handle, server, MHD_OPTION_EXTERNAL_LOGGER, log_message,
		NULL, MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
		server->options.connection_limit + BEYOND(server->options.connection_limit),
		MHD_OPTION_CONNECTION_TIMEOUT, idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK,
		http_request_new, server, MHD_OPTION_NOTIFY_COMPLETED, http_request_completed,
		server, MHD_OPTION_NOTIFY_CONNECTION, connection_notify, server, MHD_OPTION_END);
	if (!server->daemon)
		return -ENOMEM;
	server->listen_fd = listen_fd;
	server->listening = true;
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	server->epoll =
		(struct loop_fd){ .fd = info->epoll_fd, .events = EPOLLIN, .ready = epoll_ready };
	return loop_add_fd(server->loop, &server->epoll);
}

static uint32_t sweep_interval(const struct http_server_options *options)
{
	uint32_t shortest = SWEEP_INTERVAL_MS * 4;

	if (options->head_timeout_ms && options->head_timeout_ms < shortest)
		shortest = options->head_timeout_ms;
	if (options->body_timeout_ms && options->body_timeout_ms < shortest)
		shortest = options->body_timeout_ms;
	return shortest < 40 ? 10 : shortest / 4;
}

static void set_defaults(struct http_server *server)
{
	struct http_server_options *options = &server->options;

	if (!options->body_timeout_ms)
		options->body_timeout_ms = BODY_TIMEOUT_MS;
	if (!options->body_rate)
		options->body_rate = BODY_RATE_BYTES;
	if (!options->linger_timeout_ms)
		options->linger_timeout_ms = LINGER_TIMEOUT_MS;
	if (!options->stall_timeout_ms)
		options->stall_timeout_ms = STALL_TIMEOUT_MS;
	server->body_limits = (struct http_pace_limits){ options->body_timeout_ms,
							 BODY_STRETCH_BYTES, options->body_rate };
	server->answer_limits =
		(struct http_pace_limits){ (uint64_t)options->body_timeout_ms * ANSWER_TIMEOUTS,
					   ANSWER_STRETCH_BYTES, options->body_rate };
}

int http_server_new(struct loop *loop, int listen_fd, const struct http_service *service,
		    const struct http_server_options *options, struct http_server **ret_server)
{
	struct http_server *server = calloc(1, sizeof(*server));
	int r = -ENOMEM;

	if (!server)
		return r;
	server->loop = loop;
	server->service = *service;
	server->options = *options;
	set_defaults(server);
	server->epoll.fd = -1;
	server->hook.turn = turn;
	server->sweep.expired = sweep;
	server->sweep_interval_ms = sweep_interval(options);
	server->now_ms = clock_monotonic_ms();
	server->addresses = address_counts_new();
	if (server->addresses && (!options->token || (server->token = strdup(options->token))))
		r = start_daemon(server, listen_fd);
	loop_add_hook(loop, &server->hook);
	if (r < 0) {
		http_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void http_server_drain(struct http_server *server)
{
	if (server->draining)
		return;
	server->draining = true;
	for (struct http_connection *at = server->connections; at; at = at->next)
		if (at->mux)
			mux_server_drain(at->mux);
	http_server_progress(server);
}

unsigned http_server_busy(const struct http_server *server)
{
	unsigned busy = server->mux_busy;

	if (!server->draining)
		return busy + server->busy;
	/* A connection that is not closed yet may bring one more request. */
	for (const struct http_connection *at = server->connections; at; at = at->next)
		busy += !at->mux;
	return busy + server->listening;
}

struct http_server *http_server_free(struct http_server *server)
{
	if (!server)
		return NULL;
	if (server->daemon) {
		http_server_drain(server);
		/* Otherwise libmicrohttpd would close what it does not own. */
		if (server->listening)
			MHD_quiesce_daemon(server->daemon);
		/* libmicrohttpd must not be stopped with anything suspended. */
		for (struct http_connection *at = server->connections; at; at = at->next) {
			if (at->mux)
				close_mux(at);
			else if (at->request && at->phase == CONNECTION_BUSY)
				http_request_cut(at->request);
		}
		if (server->epoll.fd >= 0)
			loop_remove_fd(server->loop, &server->epoll);
		MHD_stop_daemon(server->daemon);
	}
	assert(!server->connections && server->busy == 0);
	loop_clear_timer(server->loop, &server->sweep);
	loop_remove_hook(server->loop, &server->hook);
	address_counts_free(server->addresses);
	free(server->token);
	free(server);
	return NULL;
}

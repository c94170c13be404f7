/* SPDX-License-Identifier: MIT */
#include "lib/mux_socket.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mux_handshake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* More than it takes until the next attempt: one whose lookup did not end goes where it went last.
 */
#define RESOLVE_AGAIN_MS 1000
#define RECEIVE_SIZE     (256 * 1024)
#define CONSUME_BEYOND   (1024 * 1024)

static bool is_numeric(const char *host)
{
	struct in6_addr address;

	/* One of IPv6 with a zone has a percent sign, which no name has. */
	return inet_pton(AF_INET, host, &address) == 1 ||
	       inet_pton(AF_INET6, host, &address) == 1 || strchr(host, '%');
}

/* A name is looked up by mux_socket_connect(), which waits for nobody: whoever starts before the
 * names are known begins without them. */
static int set_other_side(struct mux_socket *ms, const char *authority)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM };
	_cleanup_(freep) char *host = strdup(authority);
	char *name = host;
	char *port;
	int r;

	if (!host)
		return -ENOMEM;
	port = strrchr(host, ':');
	if (!port || port == host)
		return -EINVAL;
	*port++ = '\0';
	if (*name == '[' && port[-2] == ']') {
		name++;
		port[-2] = '\0';
	}
	if (!is_numeric(name)) {
		ms->host = strdup(name);
		ms->port = strdup(port);
		return ms->host && ms->port ? 0 : -ENOMEM;
	}
	r = getaddrinfo(name, port, &hints, &ms->addresses);
	if (r != 0) {
		ms->addresses = NULL;
		return r == EAI_MEMORY ? -ENOMEM : -EINVAL;
	}
	ms->address = ms->addresses;
	return 0;
}

int mux_socket_init(struct mux_socket *ms, struct loop *loop, const char *url, const char *token,
		    void (*ready)(struct loop_fd *, uint32_t events))
{
	_cleanup_(freep) char *authority = NULL;
	int r;

	*ms = (struct mux_socket){ .loop = loop, .socket = { .fd = -1, .ready = ready } };
	if (strncmp(url, "http://", 7) != 0)
		return -EINVAL;
	authority = strndup(url + 7, strcspn(url + 7, "/"));
	if (!authority)
		return -ENOMEM;
	r = set_other_side(ms, authority);
	if (r < 0)
		return r;
	ms->handshake = mux_handshake_request(authority, token);
	return ms->handshake ? 0 : -ENOMEM;
}

void mux_socket_deinit(struct mux_socket *ms)
{
	if (ms->loop)
		mux_socket_close(ms);
	buf_deinit(&ms->in);
	buf_deinit(&ms->out);
	free(ms->handshake);
	free(ms->host);
	free(ms->port);
	ms->handshake = ms->host = ms->port = NULL;
	if (ms->addresses)
		freeaddrinfo(ms->addresses);
	ms->addresses = ms->address = NULL;
}

/* A name may stand for addresses at which nobody listens: all are tried. False after the last. */
static bool next_address(struct mux_socket *ms)
{
	bool more = ms->address->ai_next;

	ms->address = more ? ms->address->ai_next : ms->addresses;
	return more;
}

static int connect_to_address(struct mux_socket *ms)
{
	_cleanup_(closep) int fd =
		socket(ms->address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;
	int r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, ms->address->ai_addr, ms->address->ai_addrlen) < 0 && errno != EINPROGRESS)
		return -errno;
	ms->socket.fd = fd;
	ms->socket.events = EPOLLOUT;
	r = loop_add_fd(ms->loop, &ms->socket);
	if (r < 0) {
		ms->socket.fd = -1;
		return r;
	}
	(void)take_fd(&fd);
	ms->state = MUX_CONNECTING;
	return 0;
}

static int connect_to_known(struct mux_socket *ms)
{
	int r;

	if (!ms->address)
		return -EHOSTUNREACH;
	do
		r = connect_to_address(ms);
	while (r < 0 && next_address(ms));
	return r;
}

static int start_lookup(struct mux_socket *ms)
{
	int r = name_lookup_start(ms->host, ms->port, &ms->lookup);

	if (r < 0)
		return r;
	ms->socket.fd = name_lookup_fd(ms->lookup);
	ms->socket.events = EPOLLIN;
	r = loop_add_fd(ms->loop, &ms->socket);
	if (r < 0) {
		ms->lookup = name_lookup_free(ms->lookup);
		ms->socket.fd = -1;
		return r;
	}
	ms->state = MUX_RESOLVING;
	return 0;
}

int mux_socket_connect(struct mux_socket *ms)
{
	/* Without a lookup, or without an answer to it, goes where it went last. */
	if (ms->host &&
	    (!ms->resolved_ms || clock_monotonic_ms() - ms->resolved_ms >= RESOLVE_AGAIN_MS) &&
	    start_lookup(ms) == 0)
		return 0;
	return connect_to_known(ms);
}

static int finish_lookup(struct mux_socket *ms)
{
	struct addrinfo *addresses;

	if (name_lookup_take(ms->lookup, &addresses) == 0) {
		if (ms->addresses)
			freeaddrinfo(ms->addresses);
		ms->addresses = ms->address = addresses;
		ms->unknown = false;
	} else if (!ms->addresses && !ms->unknown) {
		ms->unknown = true;
		log_warn("a node's name does not resolve",
			 "host=%s hint=\"mend the cluster file or the names\"", ms->host);
	}
	mux_socket_close(ms);
	return connect_to_known(ms);
}

static int finish_connect(struct mux_socket *ms)
{
	int error = 0;
	socklen_t len = sizeof(error);
	int r;

	if (getsockopt(ms->socket.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	r = buf_append_str(&ms->out, ms->handshake);
	if (r < 0)
		return r;
	ms->state = MUX_UPGRADING;
	return mux_socket_flush(ms);
}

static int read_head(struct mux_socket *ms)
{
	size_t used;
	int r = mux_handshake_answer(&ms->in, &used);

	if (r <= 0)
		return r;
	buf_consume(&ms->in, used);
	/* The user counts from the first byte of its own. */
	ms->sent_total = 0;
	ms->state = MUX_OPEN;
	return 1;
}

int mux_socket_advance(struct mux_socket *ms)
{
	ssize_t n;
	int r;

	if (ms->state == MUX_RESOLVING)
		return finish_lookup(ms);
	if (ms->state == MUX_CONNECTING) {
		r = finish_connect(ms);
		if (r == 0 || ms->state != MUX_CONNECTING || !next_address(ms))
			return r;
		mux_socket_close(ms);
		return connect_to_known(ms);
	}
	r = mux_socket_flush(ms);
	if (r < 0)
		return r;
	n = mux_socket_receive(ms);
	if (n < 0)
		return (int)n;
	return read_head(ms);
}

ssize_t mux_socket_receive(struct mux_socket *ms)
{
	ssize_t n;
	int r = buf_reserve(&ms->in, RECEIVE_SIZE);

	if (r < 0)
		return r;
	n = recv(ms->socket.fd, ms->in.data + ms->in.len, RECEIVE_SIZE, 0);
	if (n == 0)
		return -ECONNRESET;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	ms->in.len += (size_t)n;
	return n;
}

int mux_socket_flush(struct mux_socket *ms)
{
	size_t unsent = ms->out.len - ms->sent;
	ssize_t n = 0;

	if (unsent > 0)
		n = send(ms->socket.fd, ms->out.data + ms->sent, unsent, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -errno;
	if (n > 0) {
		ms->sent += (size_t)n;
		ms->sent_total += (uint64_t)n;
	}
	if (ms->sent == ms->out.len) {
		buf_clear(&ms->out);
		ms->sent = 0;
	} else if (ms->sent > CONSUME_BEYOND) {
		buf_consume(&ms->out, ms->sent);
		ms->sent = 0;
	}
	return loop_change_fd(ms->loop, &ms->socket,
			      ms->out.len ? EPOLLIN | EPOLLOUT : (uint32_t)EPOLLIN);
}

uint64_t mux_socket_queued_total(const struct mux_socket *ms)
{
	return ms->sent_total + (ms->out.len - ms->sent);
}

void mux_socket_close(struct mux_socket *ms)
{
	if (ms->socket.fd >= 0) {
		loop_remove_fd(ms->loop, &ms->socket);
		if (!ms->lookup)
			close(ms->socket.fd);
	}
	if (ms->lookup)
		ms->resolved_ms = clock_monotonic_ms();
	ms->lookup = name_lookup_free(ms->lookup);
	ms->socket.fd = -1;
	ms->state = MUX_CLOSED;
	buf_clear(&ms->in);
	buf_clear(&ms->out);
	ms->sent = 0;
	ms->sent_total = 0;
}

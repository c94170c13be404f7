/* SPDX-License-Identifier: MIT */
#include "tests/unit/fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32

struct fake_connection {
	struct fake_server *server;
	pthread_t thread;
	unsigned number;
	int fd;
};

struct fake_server {
	fake_script *script;
	void *state;
	int listen_fd;
	char url[64];
	pthread_t thread;
	atomic_uint count;
	atomic_bool stopping;
	atomic_bool takes_frames;
	struct fake_connection connections[CONNECTIONS_MAX];
};

static int listen_on_loopback(unsigned short *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static void *serve_connection(void *data)
{
	struct fake_connection *connection = data;
	struct fake_server *server = connection->server;

	server->script(connection->fd, connection->number, server->state);
	/* Closed when the server stops: until then the number must not name another socket. */
	shutdown(connection->fd, SHUT_RDWR);
	return NULL;
}

static bool asks_for_frames(int fd)
{
	static const char begin[] = "GET /mux ";
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	char bytes[sizeof(begin) - 1];

	return poll(&poll_fd, 1, 1000) == 1 &&
	       recv(fd, bytes, sizeof(bytes), MSG_PEEK) == (ssize_t)sizeof(bytes) &&
	       memcmp(bytes, begin, sizeof(bytes)) == 0;
}

/* So that scripts see nothing but what they are about. */
static bool refuses_frames(struct fake_server *server, int fd)
{
	struct buf head = { 0 };

	if (atomic_load(&server->takes_frames) || !asks_for_frames(fd))
		return false;
	fake_read_head(fd, &head);
	fake_write(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	buf_deinit(&head);
	return true;
}

static void *accept_all(void *data)
{
	struct fake_server *server = data;

	for (;;) {
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		unsigned number = atomic_load(&server->count);
		struct fake_connection *connection;

		if (atomic_load(&server->stopping) || fd < 0) {
			if (fd >= 0)
				close(fd);
			return NULL;
		}
		if (refuses_frames(server, fd)) {
			close(fd);
			continue;
		}
		if (number == CONNECTIONS_MAX)
			abort();
		connection = &server->connections[number];
		*connection =
			(struct fake_connection){ .server = server, .number = number, .fd = fd };
		/* A client that has been answered must find itself counted. */
		atomic_store(&server->count, number + 1);
		if (pthread_create(&connection->thread, NULL, serve_connection, connection) != 0)
			abort();
	}
}

struct fake_server *fake_server_start(fake_script *script, void *state)
{
	struct fake_server *server = calloc(1, sizeof(*server));
	unsigned short port;

	if (!server)
		abort();
	server->script = script;
	server->state = state;
	server->listen_fd = listen_on_loopback(&port);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", port);
	if (pthread_create(&server->thread, NULL, accept_all, server) != 0)
		abort();
	return server;
}

struct fake_server *fake_server_stop(struct fake_server *server)
{
	atomic_store(&server->stopping, true);
	shutdown(server->listen_fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listen_fd);
	for (unsigned i = 0; i < atomic_load(&server->count); i++) {
		struct fake_connection *connection = &server->connections[i];

		shutdown(connection->fd, SHUT_RDWR);
		pthread_join(connection->thread, NULL);
		close(connection->fd);
	}
	free(server);
	return NULL;
}

void fake_server_take_frames(struct fake_server *server)
{
	atomic_store(&server->takes_frames, true);
}

const char *fake_server_url(const struct fake_server *server)
{
	return server->url;
}

unsigned fake_server_connections(struct fake_server *server)
{
	return atomic_load(&server->count);
}

void fake_unused_url(char *ret_url, size_t size)
{
	unsigned short port;

	close(listen_on_loopback(&port));
	snprintf(ret_url, size, "http://127.0.0.1:%u", port);
}

static bool read_byte(int fd, struct buf *text)
{
	char byte;

	if (recv(fd, &byte, 1, 0) != 1)
		return false;
	buf_append(text, &byte, 1);
	return true;
}

static bool ends_with(const struct buf *text, const char *end)
{
	size_t len = strlen(end);

	return text->len >= len && memcmp(text->data + text->len - len, end, len) == 0;
}

bool fake_read_head(int fd, struct buf *ret_text)
{
	while (!ends_with(ret_text, "\r\n\r\n")) {
		if (!read_byte(fd, ret_text))
			return false;
	}
	return true;
}

bool fake_read_request(int fd, struct buf *ret_text)
{
	const char *length;
	size_t left = 0;

	if (!fake_read_head(fd, ret_text))
		return false;
	buf_append_u8(ret_text, 0);
	ret_text->len--;
	if (strcasestr((char *)ret_text->data, "\r\nTransfer-Encoding: chunked")) {
		while (!ends_with(ret_text, "\r\n0\r\n")) {
			if (!read_byte(fd, ret_text))
				return false;
		}
		/* Trailer fields may follow. */
		return fake_read_head(fd, ret_text);
	}
	length = strcasestr((char *)ret_text->data, "\r\nContent-Length:");
	if (length)
		left = strtoull(length + strlen("\r\nContent-Length:"), NULL, 10);
	while (left > 0) {
		char piece[16384];
		ssize_t n = recv(fd, piece, left < sizeof(piece) ? left : sizeof(piece), 0);

		if (n <= 0)
			return false;
		buf_append(ret_text, piece, (size_t)n);
		left -= (size_t)n;
	}
	return true;
}

void fake_drain(int fd, struct buf *ret_text)
{
	char piece[16384];
	ssize_t len;

	while ((len = recv(fd, piece, sizeof(piece), 0)) > 0)
		buf_append(ret_text, piece, (size_t)len);
}

void fake_write_bytes(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

void fake_write(int fd, const char *text)
{
	fake_write_bytes(fd, text, strlen(text));
}

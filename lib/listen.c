/* SPDX-License-Identifier: MIT */
#include "lib/listen.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 1024

static int resolve(const char *listen, uint16_t port, struct sockaddr_storage *ret_address,
		   socklen_t *ret_len)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *info;
	char host[64], service[8];
	uint16_t own_port;

	if (parse_host_port(listen, host, sizeof(host), &own_port) < 0)
		return -EINVAL;
	snprintf(service, sizeof(service), "%u", own_port ? own_port : port);
	if (getaddrinfo(host, service, &hints, &info) != 0)
		return -EINVAL;
	memcpy(ret_address, info->ai_addr, info->ai_addrlen);
	*ret_len = info->ai_addrlen;
	freeaddrinfo(info);
	return 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static int set_option(int fd, int option)
{
	int one = 1;

	return setsockopt(fd, SOL_SOCKET, option, &one, sizeof(one)) < 0 ? -errno : 0;
}

/*
 * SO_REUSEPORT lets any process of the same user join a port without a word, and the kernel would
 * then hand it half of the connections. So the first socket binds without it, which fails if
 * anybody listens there, and only then permits the other workers to join.
 */
static int bind_socket(int fd, bool first, const struct sockaddr *address, socklen_t len)
{
	int r = set_option(fd, SO_REUSEADDR);

	if (r == 0 && !first)
		r = set_option(fd, SO_REUSEPORT);
	if (r == 0 && bind(fd, address, len) < 0)
		r = -errno;
	if (r == 0 && first)
		r = set_option(fd, SO_REUSEPORT);
	return r;
}

int listen_bind(const char *listen, bool first, uint16_t *port, int *ret_fd)
{
	_cleanup_(closep) int fd = -1;
	struct sockaddr_storage address;
	socklen_t len;
	int r = resolve(listen, *port, &address, &len);

	if (r < 0) {
		log_error("can't listen",
			  "listen=%s reason=\"not a numeric ADDR:PORT; mend --listen\"", listen);
		return r;
	}
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) {
		r = -errno;
		log_error("can't listen", "listen=%s error=%d", listen, -r);
		return r;
	}
	r = bind_socket(fd, first, (struct sockaddr *)&address, len);
	if (r == -EADDRINUSE)
		log_error("can't listen",
			  "listen=%s reason=\"the port is taken; stop its user or choose another\"",
			  listen);
	else if (r < 0)
		log_error("can't listen", "listen=%s error=%d reason=\"%s\"", listen, -r,
			  strerror(-r));
	if (r < 0)
		return r;
	*port = port_of(fd);
	*ret_fd = take_fd(&fd);
	return 0;
}

int listen_start(int fd)
{
	return listen(fd, BACKLOG) < 0 ? -errno : 0;
}

int listen_write_port_file(const char *path, uint16_t port)
{
	char temporary[4096];
	FILE *file;
	int r = 0;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.new", path) >= sizeof(temporary))
		return -ENAMETOOLONG;
	file = fopen(temporary, "we");
	if (!file)
		r = -errno;
	if (file && fprintf(file, "%u\n", port) < 0)
		r = -EIO;
	if (file && fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(temporary, path) < 0)
		r = -errno;
	if (r < 0)
		log_error("can't write the port file", "path=%s error=%d", path, -r);
	return r;
}

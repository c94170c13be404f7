/* SPDX-License-Identifier: MIT */
/*
 * Fills a cluster with records, or empties it of them, as fast as its router takes them: requests
 * are pipelined on several connections. The names are those that bench-files uses.
 */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/options.h"
#include "tests/bench/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEPTH            32 /* requests on their way on one connection */
#define CONNECTIONS_MAX  64
#define HEAD_BYTES_MAX   256
#define VALUE_BYTES_MAX  (16u << 10)
#define ANSWER_BYTES_MAX (64u << 10)

struct load {
	struct sockaddr_in address;
	const char *method; /* PUT or DELETE */
	unsigned count, first, connections;
	unsigned value_bytes;
};

struct connection {
	const struct load *load;
	unsigned index;
	pthread_t thread;
	int error;
};

/* What is on its way, and the bytes of answers that are not whole yet. */
struct stream {
	int fd;
	unsigned waiting;
	char answers[ANSWER_BYTES_MAX + 1];
	size_t len;
};

static int send_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Success has no body; anything else ends the work, and is shown. */
static int take_answers(struct stream *stream)
{
	char *at = stream->answers, *end;

	while ((end = strstr(at, "\r\n\r\n"))) {
		if (strncmp(at, "HTTP/1.1 20", 11) != 0) {
			fprintf(stderr, "bench-load: answered: %.400s\n", at);
			return -EIO;
		}
		at = end + 4;
		stream->waiting--;
	}
	stream->len -= (size_t)(at - stream->answers);
	memmove(stream->answers, at, stream->len + 1);
	return 0;
}

/* Until at most @most requests wait for their answer. */
static int receive(struct stream *stream, unsigned most)
{
	while (stream->waiting > most) {
		ssize_t n = recv(stream->fd, stream->answers + stream->len,
				 ANSWER_BYTES_MAX - stream->len, 0);
		int r;

		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		stream->len += (size_t)n;
		stream->answers[stream->len] = '\0';
		r = take_answers(stream);
		if (r < 0)
			return r;
	}
	return 0;
}

static size_t print_request(const struct load *load, uint64_t number, char *out)
{
	char name[BENCH_NAME_BYTES];
	size_t len;

	bench_name(number, name);
	len = (size_t)snprintf(out, HEAD_BYTES_MAX,
			       "%s /kv/%s HTTP/1.1\r\nHost: bench\r\nHexKV-Durability: memory\r\n",
			       load->method, name);
	if (strcmp(load->method, "PUT") != 0)
		return len + (size_t)sprintf(out + len, "\r\n");
	len += (size_t)sprintf(out + len, "Content-Length: %u\r\n\r\n", load->value_bytes);
	for (unsigned i = 0; i < load->value_bytes; i++)
		out[len + i] = (char)(bench_scramble(i / 8) >> i % 8 * 8);
	if (load->value_bytes >= sizeof(number))
		memcpy(out + len, &number, sizeof(number));
	return len + load->value_bytes;
}

static int run_stream(const struct load *load, unsigned index, struct stream *stream)
{
	_cleanup_(freep) char *out = malloc(DEPTH / 2 * (HEAD_BYTES_MAX + VALUE_BYTES_MAX));
	size_t len = 0;
	int r = 0;

	if (!out)
		return -ENOMEM;
	for (unsigned i = index; i < load->count && r == 0; i += load->connections) {
		len += print_request(load, (uint64_t)load->first + i, out + len);
		stream->waiting++;
		if (stream->waiting % (DEPTH / 2) == 0) {
			r = send_all(stream->fd, out, len);
			len = 0;
			if (r == 0)
				r = receive(stream, DEPTH / 2);
		}
	}
	if (r == 0)
		r = send_all(stream->fd, out, len);
	return r < 0 ? r : receive(stream, 0);
}

static void *run_connection(void *state)
{
	struct connection *connection = state;
	const struct load *load = connection->load;
	_cleanup_(freep) struct stream *stream = calloc(1, sizeof(*stream));
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	if (!stream || fd < 0) {
		connection->error = -ENOMEM;
		return NULL;
	}
	stream->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&load->address, sizeof(load->address)) < 0)
		connection->error = -errno;
	else
		connection->error = run_stream(load, connection->index, stream);
	return NULL;
}

static int run(const struct load *load)
{
	struct connection connections[CONNECTIONS_MAX] = { 0 };
	uint64_t start = clock_monotonic_ns();
	int error = 0;

	for (unsigned i = 0; i < load->connections; i++) {
		connections[i] = (struct connection){ .load = load, .index = i };
		if (pthread_create(&connections[i].thread, NULL, run_connection, &connections[i]))
			abort();
	}
	for (unsigned i = 0; i < load->connections; i++) {
		pthread_join(connections[i].thread, NULL);
		if (connections[i].error)
			error = connections[i].error;
	}
	if (error == 0)
		printf("records=%u seconds=%.6f\n", load->count,
		       (double)(clock_monotonic_ns() - start) / 1e9);
	return error;
}

static int set_address(struct load *load, const char *text)
{
	char host[64];
	uint16_t port;

	if (parse_host_port(text, host, sizeof(host), &port) < 0)
		return -EINVAL;
	load->address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(port) };
	return inet_pton(AF_INET, host, &load->address.sin_addr) == 1 ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct load load = { .count = 1000, .connections = 8, .value_bytes = 1024 };
	bool delete = false;
	const struct option_spec specs[] = {
		{ "count", 'n', OPTION_UNSIGNED, &load.count, "N", "records", 1, 0 },
		{ "first", 0, OPTION_UNSIGNED, &load.first, "N", "the first one's number", 0, 0 },
		{ "value-bytes", 'v', OPTION_UNSIGNED, &load.value_bytes, "N", "of each record", 0,
		  VALUE_BYTES_MAX },
		{ "connections", 'c', OPTION_UNSIGNED, &load.connections, "N", "at once", 1,
		  CONNECTIONS_MAX },
		{ "delete", 0, OPTION_FLAG, &delete, NULL, "deletes them", 0, 0 },
	};
	const struct options options = {
		.program = "bench-load",
		.summary = "stores records through a router, or deletes them",
		.operands = "ADDR:PORT",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	int operand, status, r;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	if (argc != operand + 1 || set_address(&load, argv[operand]) < 0) {
		fprintf(stderr, "bench-load: name the router as ADDR:PORT\n");
		return 2;
	}
	load.method = delete ? "DELETE" : "PUT";
	r = run(&load);
	if (r < 0)
		fprintf(stderr, "bench-load: %s\n", strerror(-r));
	return r < 0;
}

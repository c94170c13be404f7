/* SPDX-License-Identifier: MIT */
/*
 * Fills a cluster with records, or empties it of them, as fast as its router (or a node) takes
 * them: requests are pipelined on several connections. The names are those that bench-files uses.
 * Ends with the last record, after a time, or at SIGTERM, and says how long each answer took, from
 * when its request was sent.
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
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEPTH_MAX        256 /* requests on their way on one connection */
#define CONNECTIONS_MAX  64
#define HEAD_BYTES_MAX   256
#define VALUE_BYTES_MAX  (4u << 20)
#define ANSWER_BYTES_MAX (64u << 10)

struct load {
	struct sockaddr_in address;
	const char *method; /* PUT or DELETE */
	const char *durability, *ack; /* NULL: nothing is said of it */
	unsigned count, first, connections, depth, seconds;
	unsigned value_bytes;
	uint8_t *value;
};

struct connection {
	const struct load *load;
	unsigned index;
	pthread_t thread;
	int error;
	uint32_t *times_us; /* of each answer */
	size_t answered;
};

/* What is on its way, and the bytes of answers that are not whole yet. */
struct stream {
	struct connection *connection;
	int fd;
	unsigned sent, waiting;
	uint64_t sent_ns[DEPTH_MAX];
	char answers[ANSWER_BYTES_MAX + 1];
	size_t len;
};

static atomic_bool interrupted;

static void interrupt(int signal)
{
	(void)signal;
	atomic_store(&interrupted, true);
}

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

static void note_time(struct stream *stream)
{
	struct connection *connection = stream->connection;
	unsigned index = (stream->sent - stream->waiting) % DEPTH_MAX;

	connection->times_us[connection->answered++] =
		(uint32_t)((clock_monotonic_ns() - stream->sent_ns[index]) / 1000);
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
		note_time(stream);
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

static size_t print_header(char *out, const char *name, const char *value)
{
	return value ? (size_t)sprintf(out, "%s: %s\r\n", name, value) : 0;
}

static size_t print_request(const struct load *load, uint64_t number, char *out)
{
	char name[BENCH_NAME_BYTES];
	size_t len;

	bench_name(number, name);
	len = (size_t)sprintf(out, "%s /kv/%s HTTP/1.1\r\nHost: bench\r\n", load->method, name);
	len += print_header(out + len, "HexKV-Durability", load->durability);
	len += print_header(out + len, "HexKV-Ack", load->ack);
	if (strcmp(load->method, "PUT") != 0)
		return len + (size_t)sprintf(out + len, "\r\n");
	len += (size_t)sprintf(out + len, "Content-Length: %u\r\n\r\n", load->value_bytes);
	memcpy(out + len, load->value, load->value_bytes);
	if (load->value_bytes >= sizeof(number))
		memcpy(out + len, &number, sizeof(number));
	return len + load->value_bytes;
}

/* All that was printed since the last time. */
static int send_requests(struct stream *stream, const char *out, size_t len, unsigned count)
{
	uint64_t now = clock_monotonic_ns();

	for (unsigned i = 0; i < count; i++)
		stream->sent_ns[stream->sent++ % DEPTH_MAX] = now;
	stream->waiting += count;
	return send_all(stream->fd, out, len);
}

static bool is_over(uint64_t end_ns)
{
	return atomic_load(&interrupted) || (end_ns > 0 && clock_monotonic_ns() >= end_ns);
}

static int run_stream(const struct load *load, unsigned index, struct stream *stream)
{
	unsigned batch = load->depth > 1 ? load->depth / 2 : 1, printed = 0;
	_cleanup_(freep) char *out = malloc((size_t)batch * (HEAD_BYTES_MAX + load->value_bytes));
	uint64_t end_ns =
		load->seconds > 0 ? clock_monotonic_ns() + load->seconds * UINT64_C(1000000000) : 0;
	size_t len = 0;
	int r = 0;

	if (!out)
		return -ENOMEM;
	for (unsigned i = index; i < load->count && r == 0; i += load->connections) {
		len += print_request(load, (uint64_t)load->first + i, out + len);
		if (++printed < batch)
			continue;
		r = send_requests(stream, out, len, printed);
		len = printed = 0;
		if (r == 0)
			r = receive(stream, load->depth - batch);
		if (is_over(end_ns))
			break;
	}
	if (r == 0)
		r = send_requests(stream, out, len, printed);
	return r < 0 ? r : receive(stream, 0);
}

static void *run_connection(void *state)
{
	struct connection *connection = state;
	const struct load *load = connection->load;
	_cleanup_(freep) struct stream *stream = calloc(1, sizeof(*stream));
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	connection->times_us =
		calloc(load->count / load->connections + 1, sizeof(*connection->times_us));
	if (!stream || !connection->times_us || fd < 0) {
		connection->error = -ENOMEM;
		return NULL;
	}
	stream->connection = connection;
	stream->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (const struct sockaddr *)&load->address, sizeof(load->address)) < 0)
		connection->error = -errno;
	else
		connection->error = run_stream(load, connection->index, stream);
	return NULL;
}

static int compare_times(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int print_result(const struct connection *connections, unsigned count, uint64_t ns)
{
	_cleanup_(freep) uint32_t *times = NULL;
	size_t answered = 0, at = 0;

	for (unsigned i = 0; i < count; i++)
		answered += connections[i].answered;
	times = calloc(answered + 1, sizeof(*times));
	if (!times)
		return -ENOMEM;
	for (unsigned i = 0; i < count; i++)
		for (size_t k = 0; k < connections[i].answered; k++)
			times[at++] = connections[i].times_us[k];
	qsort(times, answered, sizeof(*times), compare_times);
	printf("records=%zu seconds=%.6f p50_us=%" PRIu32 " p99_us=%" PRIu32 " max_us=%" PRIu32
	       "\n",
	       answered, (double)ns / 1e9, times[answered / 2], times[answered * 99 / 100],
	       times[answered > 0 ? answered - 1 : 0]);
	return 0;
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
		error = print_result(connections, load->connections, clock_monotonic_ns() - start);
	for (unsigned i = 0; i < load->connections; i++)
		free(connections[i].times_us);
	return error;
}

static int make_value(struct load *load)
{
	load->value = malloc((size_t)load->value_bytes + 1);
	if (!load->value)
		return -ENOMEM;
	for (unsigned i = 0; i < load->value_bytes; i++)
		load->value[i] = (uint8_t)(bench_scramble(i / 8) >> i % 8 * 8);
	return 0;
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
	struct load load = {
		.count = 1000,
		.connections = 8,
		.depth = 32,
		.value_bytes = 1024,
		.durability = "memory",
	};
	const struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	bool delete = false;
	const struct option_spec specs[] = {
		{ "count", 'n', OPTION_UNSIGNED, &load.count, "N", "records", 1, 0 },
		{ "first", 0, OPTION_UNSIGNED, &load.first, "N", "the first one's number", 0, 0 },
		{ "value-bytes", 'v', OPTION_UNSIGNED, &load.value_bytes, "N", "of each record", 0,
		  VALUE_BYTES_MAX },
		{ "connections", 'c', OPTION_UNSIGNED, &load.connections, "N", "at once", 1,
		  CONNECTIONS_MAX },
		{ "depth", 0, OPTION_UNSIGNED, &load.depth, "N", "requests under way on each", 1,
		  DEPTH_MAX },
		{ "seconds", 0, OPTION_UNSIGNED, &load.seconds, "N", "ends after that time, too", 1,
		  3600 },
		{ "durability", 0, OPTION_STRING, &load.durability, "WORD", "memory or disk", 0,
		  0 },
		{ "ack", 0, OPTION_STRING, &load.ack, "WORD", "leader, quorum or all", 0, 0 },
		{ "delete", 0, OPTION_FLAG, &delete, NULL, "deletes them", 0, 0 },
	};
	const struct options options = {
		.program = "bench-load",
		.summary = "stores records through a router or at a node, or deletes them",
		.operands = "ADDR:PORT",
		.specs = specs,
		.spec_count = sizeof(specs) / sizeof(specs[0]),
	};
	int operand, status, r;

	if (options_parse(&options, argc, argv, &operand, &status))
		return status;
	if (argc != operand + 1 || set_address(&load, argv[operand]) < 0) {
		fprintf(stderr, "bench-load: name the router or node as ADDR:PORT\n");
		return 2;
	}
	load.method = delete ? "DELETE" : "PUT";
	sigaction(SIGTERM, &action, NULL);
	r = make_value(&load);
	if (r == 0)
		r = run(&load);
	free(load.value);
	if (r < 0)
		fprintf(stderr, "bench-load: %s\n", strerror(-r));
	return r < 0;
}

/* SPDX-License-Identifier: MIT */
#include "tests/unit/net_fixture.h"

#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATTERN_PIECE 60000
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s failed: %s\n", __FILE__, __LINE__, #condition,  \
				strerror(errno));                                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

uint8_t net_pattern(uint64_t offset)
{
	return (uint8_t)(offset * 31 + (offset >> 8) * 7);
}

/* The service */

struct net_request {
	struct net_server *server;
	struct exchange *ex;
	struct buf body;
	struct loop_timer timer;
	size_t allowance; /* bytes that /slow-body takes before it pauses */
	size_t count;
	uint64_t fail_at;
	uint64_t allowed; /* bytes that /stream gives before it pauses */
	bool timer_set;
};

static void answer_text(struct exchange *ex, unsigned status, const char *text)
{
	struct answer answer = { .status = status };

	CHECK(fields_set(&answer.fields, FIELD_CONTENT_TYPE, "text/plain", 10) == 0);
	CHECK(buf_append_str(&answer.bytes, text) == 0);
	exchange_respond(ex, &answer);
}

static void answer_hello(struct exchange *ex)
{
	char text[1025];

	memset(text, 'h', 1024);
	text[1024] = '\0';
	answer_text(ex, 200, text);
}

static size_t take_body(struct exchange *ex, const void *data, size_t len)
{
	struct net_request *request = ex->state;

	CHECK(buf_append(&request->body, data, len) == 0);
	return len;
}

static size_t take_until_full(struct exchange *ex, const void *data, size_t len)
{
	struct net_request *request = ex->state;

	(void)data;
	request->count += len;
	if (request->count >= 100000)
		answer_text(ex, 507, "full");
	return len;
}

static void resume_later(struct net_request *request, unsigned ms)
{
	if (!request->timer.armed)
		loop_set_timer(request->server->loop, &request->timer, clock_monotonic_ms() + ms);
}

static size_t take_slowly(struct exchange *ex, const void *data, size_t len)
{
	struct net_request *request = ex->state;
	size_t take = len < request->allowance ? len : request->allowance;

	(void)data;
	request->allowance -= take;
	request->count += take;
	if (take < len)
		resume_later(request, 1);
	return take;
}

static void slow_expired(struct loop_timer *timer)
{
	struct net_request *request = container_of(timer, struct net_request, timer);

	request->allowance = 50000;
	exchange_resume_body(request->ex);
}

static ssize_t read_pattern(void *state, struct exchange *ex, uint64_t offset, void *data,
			    size_t len)
{
	struct net_request *request = state;
	uint8_t *out = data;

	(void)ex;
	if (request->fail_at && offset >= request->fail_at)
		return -EIO;
	if (offset >= request->allowed) {
		resume_later(request, 1);
		return 0;
	}
	if (len > request->allowed - offset)
		len = request->allowed - offset;
	for (size_t i = 0; i < len; i++)
		out[i] = net_pattern(offset + i);
	return (ssize_t)len;
}

static void stream_expired(struct loop_timer *timer)
{
	struct net_request *request = container_of(timer, struct net_request, timer);

	request->allowed += PATTERN_PIECE;
	exchange_resume_answer(request->ex);
}

static const struct body_source pattern_source = { .read = read_pattern };

static void answer_stream(struct exchange *ex)
{
	struct net_request *request = ex->state;
	struct answer answer = { .status = 200,
				 .source = &pattern_source,
				 .source_state = request };
	char value[32];

	if (exchange_query(ex, "size", value, sizeof(value)) == 1)
		answer.stream_bytes = strtoull(value, NULL, 10);
	if (exchange_query(ex, "fail", value, sizeof(value)) == 1)
		request->fail_at = strtoull(value, NULL, 10);
	request->timer.expired = stream_expired;
	fields_setf(&answer.fields, FIELD_SIZE, "%llu", (unsigned long long)answer.stream_bytes);
	exchange_respond(ex, &answer);
}

static void answer_whole(struct exchange *ex)
{
	struct answer answer = { .status = 200 };
	char value[32];

	if (exchange_query(ex, "size", value, sizeof(value)) == 1) {
		size_t size = (size_t)strtoull(value, NULL, 10);

		CHECK(buf_reserve(&answer.bytes, size) == 0);
		memset(answer.bytes.data, 'x', size);
		answer.bytes.len = size;
	}
	exchange_respond(ex, &answer);
}

static void hello_expired(struct loop_timer *timer)
{
	answer_hello(container_of(timer, struct net_request, timer)->ex);
}

static void working_expired(struct loop_timer *timer)
{
	struct net_request *request = container_of(timer, struct net_request, timer);

	exchange_moving(request->ex);
	if (++request->count == 30)
		answer_hello(request->ex);
	else
		resume_later(request, 20);
}

static void answer_fields(struct exchange *ex)
{
	struct answer answer = { .status = 200 };
	size_t len;
	const char *value = fields_get(&ex->request, FIELD_CONTENT_TYPE, &len);

	if (value)
		fields_set(&answer.fields, FIELD_CONTENT_TYPE, value, len);
	value = fields_get(&ex->request, FIELD_ENCODING, &len);
	if (value)
		fields_set(&answer.fields, FIELD_ENCODING, value, len);
	exchange_respond(ex, &answer);
}

static void end(struct exchange *ex)
{
	struct net_request *request = ex->state;
	char text[512];

	if (strcmp(ex->path, "/echo") == 0) {
		struct answer answer = { .status = 200, .bytes = buf_take(&request->body) };

		exchange_respond(ex, &answer);
	} else if (strcmp(ex->path, "/hello") == 0) {
		answer_hello(ex);
	} else if (strcmp(ex->path, "/later") == 0) {
		request->timer.expired = hello_expired;
		resume_later(request, 20);
	} else if (strcmp(ex->path, "/working") == 0) {
		request->timer.expired = working_expired;
		resume_later(request, 20);
	} else if (strcmp(ex->path, "/slow-body") == 0) {
		snprintf(text, sizeof(text), "%zu", request->count);
		answer_text(ex, 200, text);
	} else if (strcmp(ex->path, "/stream") == 0) {
		answer_stream(ex);
	} else if (strcmp(ex->path, "/whole") == 0) {
		answer_whole(ex);
	} else if (strcmp(ex->path, "/fields") == 0) {
		answer_fields(ex);
	} else if (strncmp(ex->path, "/path", 5) == 0) {
		snprintf(text, sizeof(text), "%s|%s|%d", ex->path, ex->query, (int)ex->method);
		answer_text(ex, 200, text);
	} else if (strcmp(ex->path, "/never") != 0) {
		answer_text(ex, 404, "");
	}
}

static void finish(struct exchange *ex, bool answered)
{
	struct net_request *request = ex->state;

	loop_clear_timer(request->server->loop, &request->timer);
	atomic_fetch_add(answered ? &request->server->answered : &request->server->lost, 1);
	buf_deinit(&request->body);
	free(request);
}

static const struct exchange_handler handler = { take_body, end, finish };
static const struct exchange_handler full_handler = { take_until_full, end, finish };
static const struct exchange_handler slow_handler = { take_slowly, end, finish };

static void begin(struct exchange *ex, void *state)
{
	struct net_server *server = state;
	struct net_request *request = calloc(1, sizeof(*request));

	CHECK(request);
	request->server = server;
	request->ex = ex;
	request->allowance = 1000;
	ex->state = request;
	ex->handler = &handler;
	atomic_fetch_add(&server->begun, 1);
	if (strcmp(ex->path, "/slow-body") == 0) {
		request->timer.expired = slow_expired;
		ex->handler = &slow_handler;
	} else if (strcmp(ex->path, "/full") == 0) {
		ex->handler = &full_handler;
	} else if (strcmp(ex->path, "/early") == 0) {
		answer_text(ex, 413, "too large");
	}
}

/* The server's thread */

static void stop_server(struct loop_task *task)
{
	struct net_server *server = container_of(task, struct net_server, stop);

	server->http = http_server_free(server->http);
	loop_stop(server->loop);
}

static void *server_thread(void *arg)
{
	struct net_server *server = arg;

	loop_run(server->loop);
	return NULL;
}

void net_server_start(struct net_server *server, const struct http_server_options *options,
		      uint16_t port)
{
	struct http_service service = { .begin = begin, .state = server };
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);
	int one = 1;

	static bool initialised;

	/* Before the first thread. */
	if (!initialised) {
		signal(SIGPIPE, SIG_IGN);
		log_init("test", LOG_LEVEL_ERROR);
		initialised = true;
	}
	*server = (struct net_server){ .stop.run = stop_server };
	server->options = options ? *options
				  : (struct http_server_options){
					    .connection_limit = 1000,
					    .idle_timeout_ms = 30000,
					    .head_timeout_ms = 10000,
					    .offer_mux = true,
				    };
	server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(server->listen_fd >= 0);
	setsockopt(server->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK(bind(server->listen_fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(server->listen_fd, 128) == 0);
	CHECK(getsockname(server->listen_fd, (struct sockaddr *)&address, &len) == 0);
	server->port = ntohs(address.sin_port);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", server->port);
	CHECK(loop_new(&server->loop) == 0);
	CHECK(http_server_new(server->loop, server->listen_fd, &service, &server->options,
			      &server->http) == 0);
	CHECK(pthread_create(&server->thread, NULL, server_thread, server) == 0);
}

void net_server_stop(struct net_server *server)
{
	loop_post(server->loop, &server->stop);
	pthread_join(server->thread, NULL);
	server->loop = loop_free(server->loop);
	close(server->listen_fd);
}

bool net_wait_for(_Atomic unsigned *counter, unsigned value)
{
	uint64_t deadline = clock_monotonic_ms() + 10000;

	while (atomic_load(counter) < value) {
		if (clock_monotonic_ms() > deadline)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

/* The client */

int net_connect(const struct net_server *server)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(server->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct timeval timeout = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

void net_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		/* A server that refuses may close while we still send. */
		if (n < 0)
			return;
		at += n;
		len -= (size_t)n;
	}
}

void net_send_text(int fd, const char *text)
{
	net_send(fd, text, strlen(text));
}

static bool receive_more(struct net_client *client)
{
	ssize_t n;

	CHECK(buf_reserve(&client->in, 65536) == 0);
	n = recv(client->fd, client->in.data + client->in.len, 65536, 0);
	if (n <= 0)
		return false;
	client->in.len += (size_t)n;
	return true;
}

bool net_receive(struct net_client *client, bool head_only, struct net_response *ret_response)
{
	struct net_response *response = ret_response;
	const char *end = NULL, *length;
	size_t head_len;

	*response = (struct net_response){ .content_length = -1 };
	while (!client->in.len || !(end = memmem(client->in.data, client->in.len, "\r\n\r\n", 4)))
		if (!receive_more(client))
			return false;
	head_len = (size_t)(end + 4 - (const char *)client->in.data);
	CHECK(head_len < sizeof(response->head));
	memcpy(response->head, client->in.data, head_len);
	buf_consume(&client->in, head_len);
	response->status = (unsigned)strtoul(response->head + 9, NULL, 10);
	if (response->status == 100)
		return net_receive(client, head_only, ret_response);
	length = strcasestr(response->head, "\r\nContent-Length:");
	if (length)
		response->content_length = strtoll(length + 17, NULL, 10);
	if (head_only || response->content_length <= 0)
		return true;
	while (client->in.len < (size_t)response->content_length) {
		if (!receive_more(client)) {
			response->closed = true;
			break;
		}
	}
	head_len = client->in.len < (size_t)response->content_length
			   ? client->in.len
			   : (size_t)response->content_length;
	if (head_len)
		CHECK(buf_append(&response->body, client->in.data, head_len) == 0);
	buf_consume(&client->in, head_len);
	return true;
}

void net_response_deinit(struct net_response *response)
{
	buf_deinit(&response->body);
}

void net_client_deinit(struct net_client *client)
{
	close(client->fd);
	buf_deinit(&client->in);
}

unsigned net_ask(const struct net_server *server, const char *request,
		 struct net_response *ret_response)
{
	struct net_client client = { .fd = net_connect(server) };
	bool received;

	net_send_text(client.fd, request);
	received = net_receive(&client, strncmp(request, "HEAD", 4) == 0, ret_response);
	net_client_deinit(&client);
	return received ? ret_response->status : 0;
}

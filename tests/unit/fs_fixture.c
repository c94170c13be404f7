/* SPDX-License-Identifier: MIT */
#include "tests/unit/fs_fixture.h"

#include "lib/clock.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void serve(int fd, unsigned number, void *state)
{
	struct fs_router *router = state;
	struct buf request = { 0 }, answer = { 0 };
	enum fs_answer kind = FS_ANSWER;

	(void)number;
	while (kind == FS_ANSWER && fake_read_request(fd, &request)) {
		buf_append_u8(&request, 0);
		buf_clear(&answer);
		pthread_mutex_lock(&router->lock);
		router->requests++;
		snprintf(router->last, sizeof(router->last), "%s", (char *)request.data);
		kind = router->respond(router->state, (char *)request.data, &answer);
		pthread_mutex_unlock(&router->lock);
		fake_write_bytes(fd, answer.data, answer.len);
		buf_clear(&request);
	}
	if (kind == FS_SILENCE)
		fake_drain(fd, &request);
	buf_deinit(&request);
	buf_deinit(&answer);
}

void fs_router_start(struct fs_router *router, fs_respond *respond, void *state,
		     uint32_t timeout_ms)
{
	struct remote_options options = { .connections_max = 8, .timeout_ms = timeout_ms };

	memset(router, 0, sizeof(*router));
	pthread_mutex_init(&router->lock, NULL);
	router->respond = respond;
	router->state = state;
	router->server = fake_server_start(serve, router);
	options.url = fake_server_url(router->server);
	if (remote_new(&options, &router->remote) < 0)
		abort();
}

void fs_router_stop(struct fs_router *router)
{
	remote_free(router->remote);
	fake_server_stop(router->server);
	pthread_mutex_destroy(&router->lock);
}

unsigned fs_router_requests(struct fs_router *router)
{
	unsigned requests;

	pthread_mutex_lock(&router->lock);
	requests = router->requests;
	pthread_mutex_unlock(&router->lock);
	return requests;
}

bool fs_router_wait(struct fs_router *router, unsigned count)
{
	uint64_t deadline = clock_monotonic_ms() + 10000;

	while (fs_router_requests(router) < count) {
		if (clock_monotonic_ms() > deadline)
			return false;
		poll(NULL, 0, 1);
	}
	return true;
}

void fs_write_answer(struct buf *answer, unsigned status, const char *fields, const void *body,
		     size_t len)
{
	char head[1024];
	int n = snprintf(head, sizeof(head), "HTTP/1.1 %u Status\r\n%sContent-Length: %zu\r\n\r\n",
			 status, fields, len);

	buf_append(answer, head, (size_t)n);
	if (len > 0)
		buf_append(answer, body, len);
}

void fs_record_fields(char *fields, size_t fields_size, uint64_t sequence, uint64_t size)
{
	snprintf(fields, fields_size,
		 "ETag: \"%x-%" PRIx64 "\"\r\nHexKV-Mtime: 77\r\nHexKV-Size: %" PRIu64
		 "\r\nHexKV-Utf8: true\r\nHexKV-Hash: 00000000000000000000000000000000\r\n"
		 "Content-Type: text/plain\r\nHexKV-Encoding: utf-8\r\n",
		 FS_EPOCH, sequence, size);
}

const char *fs_request_field(const char *request, const char *name)
{
	static _Thread_local char value[512];
	char start[64];
	const char *at;

	snprintf(start, sizeof(start), "\r\n%s: ", name);
	at = strcasestr(request, start);
	value[0] = '\0';
	if (at)
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(at + strlen(start), "\r"),
			 at + strlen(start));
	return value;
}

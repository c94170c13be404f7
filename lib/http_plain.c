/* SPDX-License-Identifier: MIT */
/*
 * The request is put together in one buffer, so that it can be sent again, once, when a connection
 * that was kept turns out to be dead: as libcurl does, and for the same reason writes carry an id.
 * Every error closes the connection, and so does anything that follows an answer unasked.
 */
#include "lib/http_plain.h"

#include "lib/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#define BODY_MAX      (64 * 1024)
#define RECEIVE_BYTES (64 * 1024)
#define HEAD_MAX      (32 * 1024)
/* As of libcurl's connections (lib/http_curl). */
#define AGE_MAX_MS 50000

struct http_plain {
	CURLM *multi;
	CURL *easy; /* owns the connection */
	int fd; /* -1: none */
	uint64_t used_ms;
	bool spoilt; /* not to be used again */
	struct buf out; /* the request */
	struct buf in; /* what was received and not taken */
};

/* What a request line and a Host field can hold as they are. */
static bool is_plain_text(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~' || *text == '#')
			return false;
	return true;
}

int http_plain_peer_init(struct http_plain_peer *peer, const char *base, const char *token,
			 uint32_t connect_timeout_ms)
{
	static const char scheme[] = "http://";
	const char *authority = base + strlen(scheme);
	size_t len;

	*peer = (struct http_plain_peer){ .base = base,
					  .token = token,
					  .connect_timeout_ms = connect_timeout_ms };
	if (strncasecmp(base, scheme, strlen(scheme)) != 0 || !is_plain_text(base))
		return 0;
	len = strcspn(authority, "/");
	/* User names, zones of IPv6, queries: libcurl knows what to do with them. */
	if (len == 0 || strcspn(authority, "@%?") < strlen(authority))
		return 0;
	peer->authority = strndup(authority, len);
	peer->path = strdup(authority + len);
	if (peer->authority && peer->path)
		return 0;
	http_plain_peer_deinit(peer);
	return -ENOMEM;
}

void http_plain_peer_deinit(struct http_plain_peer *peer)
{
	free(peer->authority);
	free(peer->path);
	peer->authority = peer->path = NULL;
}

bool http_plain_suits(const struct http_plain_peer *peer, const struct http_sync_request *request)
{
	return peer->authority && !request->trailer && is_plain_text(request->target) &&
	       (!request->has_body || request->upload_len <= BODY_MAX);
}

struct http_plain *http_plain_new(void)
{
	struct http_plain *plain = calloc(1, sizeof(*plain));

	if (!plain)
		return NULL;
	plain->fd = -1;
	plain->multi = curl_multi_init();
	plain->easy = curl_easy_init();
	if (!plain->multi || !plain->easy || buf_reserve(&plain->in, RECEIVE_BYTES) < 0)
		return http_plain_free(plain);
	return plain;
}

static void disconnect(struct http_plain *plain)
{
	/* The connection goes with the handle that made it. */
	if (plain->fd >= 0)
		curl_multi_remove_handle(plain->multi, plain->easy);
	plain->fd = -1;
}

struct http_plain *http_plain_free(struct http_plain *plain)
{
	if (!plain)
		return NULL;
	disconnect(plain);
	curl_easy_cleanup(plain->easy);
	curl_multi_cleanup(plain->multi);
	buf_deinit(&plain->out);
	buf_deinit(&plain->in);
	free(plain);
	return NULL;
}

/* The request */

static int write_field(struct buf *out, const char *name, const char *before, const char *value)
{
	if (buf_append_str(out, name) < 0 || buf_append_str(out, before) < 0 ||
	    buf_append_str(out, value) < 0)
		return -ENOMEM;
	return buf_append_str(out, "\r\n");
}

static int write_fields(struct buf *out, const struct http_plain_peer *peer,
			const struct http_sync_request *request)
{
	for (unsigned i = 1; i < FIELD_COUNT; i++) {
		const char *value = fields_get(&request->fields, (enum field)i, NULL);

		if (!value || (i == FIELD_AUTHORIZATION && peer->token))
			continue;
		if (write_field(out, field_name((enum field)i), ": ", value) < 0)
			return -ENOMEM;
	}
	if (peer->token)
		return write_field(out, field_name(FIELD_AUTHORIZATION), ": Bearer ", peer->token);
	return 0;
}

static int write_body(struct buf *out, struct performance *performance)
{
	size_t left = (size_t)performance->request->upload_len;

	if (buf_reserve(out, left) < 0)
		return -ENOMEM;
	while (left > 0) {
		ssize_t len = performance_upload(performance, out->data + out->len, left);

		if (len < 0)
			return (int)len;
		out->len += (size_t)len;
		left -= (size_t)len;
	}
	return 0;
}

static int write_request(struct buf *out, const struct http_plain_peer *peer,
			 struct performance *performance)
{
	const struct http_sync_request *request = performance->request;

	buf_clear(out);
	if (buf_append_str(out, method_name(request->method)) < 0 || buf_append_str(out, " ") < 0 ||
	    buf_append_str(out, peer->path) < 0 || buf_append_str(out, request->target) < 0 ||
	    write_field(out, " HTTP/1.1\r\nHost", ": ", peer->authority) < 0 ||
	    write_fields(out, peer, request) < 0)
		return -ENOMEM;
	if (request->has_body &&
	    buf_printf(out, "Content-Length: %zu\r\n", (size_t)request->upload_len) < 0)
		return -ENOMEM;
	if (buf_append_str(out, "\r\n") < 0)
		return -ENOMEM;
	return request->has_body ? write_body(out, performance) : 0;
}

/* The connection */

/* Nothing may have come from the other side since the last answer, not even its end. */
static bool is_usable(const struct http_plain *plain)
{
	char byte;

	return plain->fd >= 0 && clock_monotonic_ms() - plain->used_ms < AGE_MAX_MS &&
	       recv(plain->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static int make_connection(struct http_plain *plain, const struct http_plain_peer *peer,
			   struct performance *performance)
{
	curl_socket_t fd;
	CURLcode code =
		http_curl_prepare_connection(plain->easy, peer->base, peer->connect_timeout_ms);
	int r;

	if (code != CURLE_OK)
		return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	if (curl_multi_add_handle(plain->multi, plain->easy) != CURLM_OK)
		return -ENOMEM;
	r = performance_run(performance, plain->multi, &code);
	if (r == 0 && code == CURLE_OK &&
	    curl_easy_getinfo(plain->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
	    fd != CURL_SOCKET_BAD) {
		plain->fd = fd;
		plain->spoilt = false;
		return 0;
	}
	curl_multi_remove_handle(plain->multi, plain->easy);
	return r < 0 ? r : code == CURLE_OK ? -ECONNREFUSED : performance_error(performance, code);
}

static int wait_for(struct http_plain *plain, struct performance *performance, short events,
		    short *ret_events)
{
	struct pollfd poll_fd = { .fd = plain->fd, .events = events };

	for (;;) {
		int wait_ms, r = performance_wait(performance, &wait_ms);

		if (r < 0)
			return r;
		r = poll(&poll_fd, 1, wait_ms);
		if (r > 0) {
			*ret_events = poll_fd.revents;
			return 0;
		}
		if (r < 0 && errno != EINTR)
			return -EIO;
	}
}

/* The other side may answer, and close, before it has taken everything. */
static int send_request(struct http_plain *plain, struct performance *performance)
{
	size_t sent = 0;

	while (sent < plain->out.len) {
		ssize_t n = send(plain->fd, plain->out.data + sent, plain->out.len - sent,
				 MSG_NOSIGNAL);
		short events;
		int r;

		if (n > 0) {
			sent += (size_t)n;
			performance->moved_ms = clock_monotonic_ms();
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		plain->spoilt = true;
		if (n < 0 && errno != EAGAIN)
			return 0;
		r = wait_for(plain, performance, POLLIN | POLLOUT, &events);
		if (r < 0)
			return r;
		if (events & ~POLLOUT)
			return 0;
		plain->spoilt = false;
	}
	return 0;
}

/* One read behind what is in the buffer. Bytes, 0 at the end, -EIO if it broke off. */
static ssize_t receive(struct http_plain *plain, struct performance *performance)
{
	struct buf *in = &plain->in;

	if (in->len == RECEIVE_BYTES)
		return -EIO;
	for (;;) {
		ssize_t n = recv(plain->fd, in->data + in->len, RECEIVE_BYTES - in->len, 0);
		short events;
		int r;

		if (n >= 0) {
			in->len += (size_t)n;
			return n;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -EIO;
		r = wait_for(plain, performance, POLLIN, &events);
		if (r < 0)
			return r;
	}
}

/* The answer */

static bool begins_with(const char *line, size_t len, const char *start)
{
	return len >= strlen(start) && strncasecmp(line, start, strlen(start)) == 0;
}

static bool has_word(const char *line, size_t len, const char *word)
{
	for (size_t at = 0; at + strlen(word) <= len; at++)
		if (strncasecmp(line + at, word, strlen(word)) == 0)
			return true;
	return false;
}

/* 1: the head is complete. 0: go on. -EBADMSG: not plain. */
static int take_line(struct http_plain *plain, struct performance *performance, const char *line,
		     size_t len)
{
	if (begins_with(line, len, "HTTP/") && !begins_with(line, len, "HTTP/1.1 "))
		return -EBADMSG;
	if (begins_with(line, len, "Transfer-Encoding:"))
		return -EBADMSG;
	if (begins_with(line, len, "Connection:") && has_word(line, len, "close"))
		plain->spoilt = true;
	return http_curl_head_line(&performance->head, line, len);
}

/* All lines that are here. As take_line(). */
static int take_lines(struct http_plain *plain, struct performance *performance)
{
	struct buf *in = &plain->in;
	size_t at = 0;
	int r = 0;

	while (r == 0) {
		const uint8_t *line = in->data + at;
		const uint8_t *end = memchr(line, '\n', in->len - at);

		if (!end)
			break;
		at += (size_t)(end - line) + 1;
		r = take_line(plain, performance, (const char *)line, (size_t)(end - line) + 1);
	}
	buf_consume(in, at);
	return r;
}

#define LOST_UNANSWERED 2

static int receive_head(struct http_plain *plain, struct performance *performance)
{
	size_t total = 0;
	short events;
	int r;

	buf_clear(&plain->in);
	r = wait_for(plain, performance, POLLIN, &events);
	while (r == 0) {
		ssize_t n = receive(plain, performance);

		if (n <= 0 && total == 0 && (n == 0 || n == -EIO))
			return LOST_UNANSWERED;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		total += (size_t)n;
		r = take_lines(plain, performance);
		if (r == 0 && total > HEAD_MAX)
			r = -EBADMSG;
	}
	if (r == -EBADMSG)
		return HTTP_PLAIN_OTHERWISE;
	if (r > 0)
		performance->moved_ms = clock_monotonic_ms();
	return r < 0 ? r : 0;
}

static bool has_no_body(const struct performance *performance)
{
	unsigned status = performance->head.status;

	return performance->request->method == METHOD_HEAD || status == 204 || status == 304;
}

static int receive_body(struct http_plain *plain, struct performance *performance)
{
	uint64_t left = (uint64_t)performance->head.content_length;
	struct buf *in = &plain->in;

	while (left > 0) {
		size_t part = in->len < left ? in->len : (size_t)left;
		ssize_t n;
		int r;

		if (part > 0) {
			r = performance_body(performance, in->data, part);
			if (r < 0)
				return r;
			buf_consume(in, part);
			left -= part;
			continue;
		}
		n = receive(plain, performance);
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
	}
	return 0;
}

static int exchange(struct http_plain *plain, struct performance *performance)
{
	int r = send_request(plain, performance);

	if (r == 0)
		r = receive_head(plain, performance);
	if (r == 0 && !has_no_body(performance))
		r = performance->head.content_length < 0 ? HTTP_PLAIN_OTHERWISE
							 : receive_body(plain, performance);
	plain->used_ms = clock_monotonic_ms();
	if (r != 0 || plain->spoilt || plain->in.len > 0)
		disconnect(plain);
	return r;
}

int http_plain_perform(struct http_plain *plain, const struct http_plain_peer *peer,
		       struct performance *performance)
{
	bool kept;
	int r = write_request(&plain->out, peer, performance);

	if (r < 0)
		return r;
	do {
		kept = is_usable(plain);
		if (!kept) {
			disconnect(plain);
			r = make_connection(plain, peer, performance);
			if (r < 0)
				return r;
		}
		r = exchange(plain, performance);
	} while (r == LOST_UNANSWERED && kept);
	if (r == HTTP_PLAIN_OTHERWISE)
		performance_restart(performance);
	return r == LOST_UNANSWERED ? -EIO : r;
}

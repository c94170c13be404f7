/* SPDX-License-Identifier: MIT */
/* What the router tells about all records: their names, page by page, and its status. */
#include "fs/remote_call.h"
#include "lib/cleanup.h"
#include "lib/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LIST_PAGE_NAMES  1000
#define LIST_BYTES_MAX   (4 * 1024 * 1024)
#define STATUS_BYTES_MAX (1024 * 1024)

static int collect(struct buf *text, uint64_t offset, const void *data, size_t len, size_t max)
{
	if (offset == 0)
		buf_clear(text);
	if (text->len + len > max)
		return -EIO;
	return buf_append(text, data, len);
}

static int collect_page(void *state, uint64_t offset, const void *data, size_t len)
{
	return collect(state, offset, data, len, LIST_BYTES_MAX);
}

static int collect_status(void *state, uint64_t offset, const void *data, size_t len)
{
	return collect(state, offset, data, len, STATUS_BYTES_MAX);
}

/* Percent-encodes what is not unreserved (RFC 3986 2.3). */
static int append_query(struct request *request, const char *text)
{
	size_t len = strlen(request->target);

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || strchr("-._~", c);

		if (len + 4 > sizeof(request->target))
			return -EIO;
		len += (size_t)snprintf(request->target + len, sizeof(request->target) - len,
					plain ? "%c" : "%%%02X", c);
	}
	return 0;
}

int remote_list(struct remote *remote, const char *cursor, const struct interrupt *interrupt,
		struct buf *ret_page, struct remote_age *ret_age)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	uint64_t asked_ms = clock_monotonic_ms();
	char prefix[64];
	int r;

	snprintf(prefix, sizeof(prefix), "/keys?format=text&limit=%d%s", LIST_PAGE_NAMES,
		 cursor ? "&cursor=" : "");
	r = request_init(&request, METHOD_GET, prefix, NULL);
	if (r == 0 && cursor)
		r = append_query(&request, cursor);
	if (r < 0)
		return r;
	request.body = collect_page;
	request.state = ret_page;
	r = remote_call(remote, &request, interrupt, &answer);
	*ret_age = remote_age_of(&answer, asked_ms);
	return r;
}

int remote_status(struct remote *remote, uint32_t timeout_ms, struct buf *ret_json)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	int r;

	r = request_init(&request, METHOD_GET, "/status", NULL);
	if (r < 0)
		return r;
	request.timeout_ms = timeout_ms;
	request.quiet = true;
	request.body = collect_status;
	request.state = ret_json;
	return remote_call(remote, &request, NULL, &answer);
}

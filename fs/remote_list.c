/* SPDX-License-Identifier: MIT */
/* What the router tells about all records: their names, page by page, and its status. */
#include "fs/remote_call.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_PAGE_NAMES  1000
#define LIST_BYTES_MAX   (4 * 1024 * 1024)
#define STATUS_BYTES_MAX (1024 * 1024)

static int collect_json(struct buf *json, uint64_t offset, const void *data, size_t len, size_t max)
{
	if (offset == 0)
		buf_clear(json);
	if (json->len + len > max)
		return -EIO;
	return buf_append(json, data, len);
}

static int collect_page(void *state, uint64_t offset, const void *data, size_t len)
{
	return collect_json(state, offset, data, len, LIST_BYTES_MAX);
}

static int collect_status(void *state, uint64_t offset, const void *data, size_t len)
{
	return collect_json(state, offset, data, len, STATUS_BYTES_MAX);
}

static int parse_name(const json_t *json, struct remote_name *ret_name)
{
	const json_t *key = json_object_get(json, "key");
	const json_t *size = json_object_get(json, "size");
	const json_t *etag = json_object_get(json, "etag");
	struct key bytes;

	if (!json_is_string(key) || !json_is_integer(size) || !json_is_string(etag) ||
	    json_integer_value(size) < 0)
		return -EIO;
	if (key_from_hex(json_string_value(key), json_string_length(key), &bytes) < 0)
		return -EIO;
	if (version_from_etag(json_string_value(etag), json_string_length(etag),
			      &ret_name->version) < 0)
		return -EIO;
	ret_name->key = json_string_value(key);
	ret_name->size_bytes = (uint64_t)json_integer_value(size);
	ret_name->mtime_ns = json_integer_value(json_object_get(json, "mtime_ns"));
	return 0;
}

static int parse_page(const struct buf *text, int (*found)(void *, const struct remote_name *),
		      void *state, char **ret_cursor)
{
	json_t *page = json_loadb((const char *)text->data, text->len, 0, NULL);
	const json_t *names = json_object_get(page, "names");
	const json_t *cursor = json_object_get(page, "cursor");
	const json_t *item;
	size_t i;
	int r = json_is_array(names) ? 0 : -EIO;

	for (i = 0; r == 0 && i < json_array_size(names); i++) {
		struct remote_name name;

		item = json_array_get(names, i);
		r = parse_name(item, &name);
		if (r == 0)
			r = found(state, &name);
	}
	if (r == 0) {
		*ret_cursor = json_is_string(cursor) ? strdup(json_string_value(cursor)) : NULL;
		if (json_is_string(cursor) && !*ret_cursor)
			r = -ENOMEM;
	}
	json_decref(page);
	return r;
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
		int (*found)(void *state, const struct remote_name *name), void *state,
		char **ret_cursor)
{
	_cleanup_(request_deinit) struct request request;
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	_cleanup_(buf_deinit) struct buf page = { 0 };
	char prefix[64];
	int r;

	snprintf(prefix, sizeof(prefix), "/keys?limit=%d%s", LIST_PAGE_NAMES,
		 cursor ? "&cursor=" : "");
	r = request_init(&request, METHOD_GET, prefix, NULL);
	if (r == 0 && cursor)
		r = append_query(&request, cursor);
	if (r < 0)
		return r;
	request.body = collect_page;
	request.state = &page;
	r = remote_call(remote, &request, interrupt, &answer);
	if (r < 0)
		return r;
	return parse_page(&page, found, state, ret_cursor);
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

/* SPDX-License-Identifier: MIT */
#include "tests/mount/side.h"

#include "lib/cleanup.h"
#include "lib/http_client.h"
#include "lib/http_sync.h"
#include "lib/object.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 60000

struct side {
	struct http_sync *client;
};

int side_new(const char *url, struct side **ret_side)
{
	const struct http_sync_options options = {
		.base = url,
		.connections_max = 64,
		.connect_timeout_ms = TIMEOUT_MS,
	};
	struct side *side = calloc(1, sizeof(*side));
	int r;

	if (!side)
		return -ENOMEM;
	r = http_client_global_init();
	if (r == 0)
		r = http_sync_new(&options, &side->client);
	if (r < 0) {
		free(side);
		return r;
	}
	*ret_side = side;
	return 0;
}

struct side *side_free(struct side *side)
{
	if (side)
		http_sync_free(side->client);
	free(side);
	return NULL;
}

struct bytes {
	const void *data;
	size_t len;
	struct buf *received;
};

static ssize_t bytes_source(void *state, uint64_t offset, void *data, size_t len)
{
	const struct bytes *bytes = state;

	if (len > bytes->len - offset)
		len = bytes->len - (size_t)offset;
	memcpy(data, (const uint8_t *)bytes->data + offset, len);
	return (ssize_t)len;
}

static int bytes_sink(void *state, const void *data, size_t len)
{
	struct bytes *bytes = state;

	return buf_append(bytes->received, data, len);
}

/* The caller has set what the method needs; *ret_answer is to be freed. */
static int perform(struct side *side, enum method method, const char *key, struct fields *fields,
		   struct bytes *bytes, struct http_sync_answer *ret_answer)
{
	char target[KEY_HEX_MAX + 8];
	struct http_sync_request request = {
		.method = method,
		.target = target,
		.fields = *fields,
		.state = bytes,
		.timeout_ms = TIMEOUT_MS,
	};
	enum outcome outcome;
	int r;

	snprintf(target, sizeof(target), "/kv/%s", key);
	if (method == METHOD_PUT) {
		request.has_body = true;
		request.upload_len = bytes->len;
		request.upload = bytes_source;
	} else if (method == METHOD_GET) {
		request.body = bytes_sink;
	}
	r = http_sync_perform(side->client, &request, ret_answer);
	if (r < 0)
		return r;
	outcome = outcome_from_status(ret_answer->status);
	return outcome_is_success(outcome) ? 0 : -outcome_info(outcome)->error;
}

int side_get(struct side *side, const char *key, struct record_meta *ret_meta,
	     struct buf *ret_value)
{
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	struct bytes bytes = { .received = ret_value };
	struct fields fields = { 0 };
	int r = perform(side, METHOD_GET, key, &fields, &bytes, &answer);

	return r < 0 ? r : object_fields_parse(&answer.fields, ret_meta);
}

int side_put(struct side *side, const char *key, const void *data, size_t len,
	     const char *content_type, const char *encoding)
{
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	_cleanup_(fields_deinit) struct fields fields = { 0 };
	struct bytes bytes = { .data = data, .len = len };
	int r = 0;

	if (content_type)
		r = fields_setf(&fields, FIELD_CONTENT_TYPE, "%s", content_type);
	if (r == 0 && encoding)
		r = fields_setf(&fields, FIELD_ENCODING, "%s", encoding);
	return r < 0 ? r : perform(side, METHOD_PUT, key, &fields, &bytes, &answer);
}

int side_delete(struct side *side, const char *key)
{
	_cleanup_(http_sync_answer_deinit) struct http_sync_answer answer = { 0 };
	struct bytes none = { 0 };
	struct fields fields = { 0 };

	return perform(side, METHOD_DELETE, key, &fields, &none, &answer);
}

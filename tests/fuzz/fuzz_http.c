/* SPDX-License-Identifier: MIT */
/*
 * The small texts of requests and answers: targets and queries, the handshake's answer, the head of
 * an answer, cursors, pin tokens. The first byte says which.
 */
#include "lib/exchange.h"
#include "lib/http_curl.h"
#include "lib/mux_handshake.h"
#include "lib/target.h"
#include "node/pin_token.h"
#include "router/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_target(const char *text)
{
	char *path = malloc(strlen(text) + 2);
	struct exchange ex = { 0 };
	char value[64];

	if (!path)
		abort();
	(void)target_parse(text, path, &ex.query);
	/* It is looked at even if it is refused. */
	assert(strlen(path) <= strlen(text) + 1);
	assert(ex.query >= text ? ex.query <= text + strlen(text) : *ex.query == '\0');
	if (exchange_query(&ex, "cursor", value, sizeof(value)) == 1)
		assert(strlen(value) < sizeof(value));
	(void)exchange_query(&ex, "", value, 1);
	free(path);
}

static void check_handshake(const uint8_t *data, size_t len)
{
	struct buf received = { 0 };
	size_t used;

	if (buf_append(&received, data, len) < 0)
		abort();
	if (mux_handshake_answer(&received, &used) == 1)
		assert(used >= 12 && used <= len);
	buf_deinit(&received);
}

/* Line by line, as libcurl gives it. */
static void check_head(const uint8_t *data, size_t len)
{
	struct http_curl_head head = { 0 };
	int r = 0;

	while (len > 0 && r == 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) + 1 : len;

		r = http_curl_head_line(&head, (const char *)data, line);
		data += line;
		len -= line;
	}
	assert(r != 1 || (head.complete && head.status >= 200));
	assert(head.content_length >= -1);
	http_curl_head_deinit(&head);
}

static void check_cursor(const char *text)
{
	char printed[CURSOR_TEXT_MAX + 1];
	struct cursor cursor;

	if (cursor_parse(text, 7, &cursor) < 0)
		return;
	assert(cursor.shard < 7);
	cursor_print(&cursor, printed);
	assert(strcmp(printed, text) == 0);
}

static void check_token(const char *text)
{
	const uint8_t store[16] = { 1 };
	struct key key = { .len = 1 };
	struct buf bytes = { 0 };
	struct entry entry;

	if (pin_token_read(store, &key, text, &bytes, &entry) == 0)
		assert(entry.key_len == key.len);
	buf_deinit(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text;

	if (len == 0)
		return 0;
	text = strndup((const char *)data + 1, len - 1);
	if (!text)
		abort();
	switch (data[0]) {
	case 'T':
		check_target(text);
		break;
	case 'H':
		check_handshake(data + 1, len - 1);
		break;
	case 'A':
		check_head(data + 1, len - 1);
		break;
	case 'C':
		check_cursor(text);
		break;
	case 'P':
		check_token(text);
		break;
	}
	free(text);
	return 0;
}

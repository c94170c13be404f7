/* SPDX-License-Identifier: MIT */
#include "lib/mux_handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD_SIZE_MAX 8192

char *mux_handshake_request(const char *authority, const char *token)
{
	char *request;
	int r = asprintf(&request,
			 "GET /mux HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"
			 "Upgrade: hexkv-mux/1\r\n%s%s%s\r\n",
			 authority, token ? "Authorization: Bearer " : "", token ? token : "",
			 token ? "\r\n" : "");

	return r < 0 ? NULL : request;
}

int mux_handshake_answer(const struct buf *received, size_t *ret_used)
{
	size_t len = received->len < HEAD_SIZE_MAX ? received->len : HEAD_SIZE_MAX;
	const char *head = (const char *)received->data;
	const char *end = head ? memmem(head, len, "\r\n\r\n", 4) : NULL;

	if (!end)
		return len == HEAD_SIZE_MAX ? -EPROTO : 0;
	if (strncmp(head, "HTTP/1.1 101 ", 13) != 0)
		return -EPROTO;
	*ret_used = (size_t)(end + 4 - head);
	return 1;
}

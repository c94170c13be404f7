/* SPDX-License-Identifier: MIT */
/* The heads of answers, as libcurl hands them over: line by line. */
#include "lib/http_curl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Feeds lines that end with CRLF. What the last of them returned; an error ends it. */
static int feed(struct http_curl_head *head, const char *text)
{
	int r = 0;

	*head = (struct http_curl_head){ 0 };
	while (*text && r == 0) {
		size_t len = strcspn(text, "\n") + 1;
		/* libcurl's lines end with their length, not with a NUL. */
		char *line = malloc(len);

		memcpy(line, text, len);
		r = http_curl_head_line(head, line, len);
		free(line);
		text += len;
	}
	return r;
}

static void a_head_has_status_length_and_fields(void **state)
{
	struct http_curl_head head;

	(void)state;
	assert_int_equal(feed(&head, "HTTP/1.1 206 Partial Content\r\nContent-length:\t12 \r\n"
				     "ETAG: \"1-2\"\r\nX-Other: 1\r\nRange:\r\n\r\n"),
			 1);
	assert_true(head.complete);
	assert_int_equal(head.status, 206);
	assert_int_equal(head.content_length, 12);
	assert_string_equal(fields_get(&head.fields, FIELD_ETAG, NULL), "\"1-2\"");
	assert_string_equal(fields_get(&head.fields, FIELD_RANGE, NULL), "");
	http_curl_head_deinit(&head);
}

static void a_length_that_is_not_announced_is_unknown(void **state)
{
	struct http_curl_head head;

	(void)state;
	assert_int_equal(feed(&head, "HTTP/1.1 200\r\n\r\n"), 1);
	assert_int_equal(head.status, 200);
	assert_int_equal(head.content_length, -1);
	http_curl_head_deinit(&head);
}

static void an_interim_answer_and_trailers_leave_nothing(void **state)
{
	struct http_curl_head head;
	const char trailer[] = "ETag: \"9-9\"\r\n";

	(void)state;
	assert_int_equal(feed(&head, "HTTP/1.1 103 Early Hints\r\nETag: \"0-0\"\r\n"
				     "Content-Length: 5\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
			 1);
	assert_int_equal(head.status, 204);
	assert_int_equal(head.content_length, -1);
	assert_null(fields_get(&head.fields, FIELD_ETAG, NULL));
	assert_int_equal(http_curl_head_line(&head, trailer, strlen(trailer)), 0);
	assert_null(fields_get(&head.fields, FIELD_ETAG, NULL));
	http_curl_head_deinit(&head);
}

static void what_is_malformed_is_refused(void **state)
{
	const char *const bad[] = {
		"\r\n",
		"ETag: \"1-2\"\r\n",
		"HTTP/1.1\r\n",
		"HTTP/1.1 20\r\n",
		"HTTP/1.1 2x0 OK\r\n",
		"HTTP/1.1 099 Low\r\n",
		"HTTP/1.1 600 High\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n",
		"HTTP/1.1 200 OK\r\n: no name\r\n",
		"HTTP/1.1 200 OK\r\nETag: a\r\n folded\r\n",
		"HTTP/1.1 200 OK\r\nETag: a\rb\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length:\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct http_curl_head head;

		if (feed(&head, bad[i]) != -EBADMSG)
			fail_msg("number %zu was taken", i);
		http_curl_head_deinit(&head);
	}
}

static void a_field_that_is_too_long_is_refused_and_an_unknown_one_skipped(void **state)
{
	char line[FIELD_VALUE_MAX + 64];
	struct http_curl_head head;
	size_t len;

	(void)state;
	feed(&head, "HTTP/1.1 200 OK\r\n");
	memset(line, 'x', sizeof(line));
	line[0] = 'y';
	line[1] = ':';
	assert_int_equal(http_curl_head_line(&head, line, sizeof(line)), 0);
	memcpy(line, "ETag:", 5);
	len = 5 + FIELD_VALUE_MAX;
	assert_int_equal(http_curl_head_line(&head, line, len), 0);
	assert_int_equal(http_curl_head_line(&head, line, len + 1), -EBADMSG);
	http_curl_head_deinit(&head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_has_status_length_and_fields),
		cmocka_unit_test(a_length_that_is_not_announced_is_unknown),
		cmocka_unit_test(an_interim_answer_and_trailers_leave_nothing),
		cmocka_unit_test(what_is_malformed_is_refused),
		cmocka_unit_test(a_field_that_is_too_long_is_refused_and_an_unknown_one_skipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/http_curl.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>

/* Below the idle timeout of our servers (60 s), so that a connection isn't reused in the moment in
 * which the other side gives it up. */
#define CONNECTION_AGE_MAX_S 50L
#define BUFFER_BYTES         (64L * 1024)

static void slist_freep(struct curl_slist **list)
{
	curl_slist_free_all(*list);
}

static int append_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int append_field(struct curl_slist **list, enum field field, const char *value)
{
	_cleanup_(buf_deinit) struct buf line = { 0 };
	int r;

	/* For libcurl a colon with nothing behind it means "leave this header out". */
	if (value[0] == '\0')
		r = buf_printf(&line, "%s;", field_name(field));
	else
		r = buf_printf(&line, "%s: %s", field_name(field), value);
	if (r < 0 || buf_append_u8(&line, 0) < 0)
		return -ENOMEM;
	return append_line(list, (const char *)line.data);
}

/* libcurl skips a trailer without a space behind its colon, and takes one with nothing else. */
static int append_trailer(struct curl_slist **list, enum field field, const char *value)
{
	_cleanup_(buf_deinit) struct buf line = { 0 };

	if (buf_printf(&line, "%s: %s", field_name(field), value) < 0 ||
	    buf_append_u8(&line, 0) < 0)
		return -ENOMEM;
	return append_line(list, (const char *)line.data);
}

int http_curl_append_trailers(struct curl_slist **list, const struct fields *fields)
{
	for (unsigned i = 1; i < FIELD_COUNT; i++) {
		const char *value = fields_get(fields, (enum field)i, NULL);

		if (value && append_trailer(list, (enum field)i, value) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int append_token(struct curl_slist **list, const char *token)
{
	_cleanup_(buf_deinit) struct buf value = { 0 };

	if (buf_printf(&value, "Bearer %s", token) < 0 || buf_append_u8(&value, 0) < 0)
		return -ENOMEM;
	return append_field(list, FIELD_AUTHORIZATION, (const char *)value.data);
}

static int make_headers(const struct http_curl_request *request, struct curl_slist **ret_headers)
{
	_cleanup_(slist_freep) struct curl_slist *list = NULL;

	/* What libcurl would add by itself: waiting a second for 100 (Continue), and a guess. */
	if (append_line(&list, "Expect:") < 0 || append_line(&list, "Accept:") < 0)
		return -ENOMEM;
	for (unsigned i = 1; i < FIELD_COUNT; i++) {
		const char *value = fields_get(request->fields, (enum field)i, NULL);

		if (!value || (i == FIELD_AUTHORIZATION && request->token))
			continue;
		if (append_field(&list, (enum field)i, value) < 0)
			return -ENOMEM;
	}
	if (request->token && append_token(&list, request->token) < 0)
		return -ENOMEM;
	*ret_headers = take_ptr(list);
	return 0;
}

/* A handle for our own servers and nobody else: one protocol, no proxy, no redirects, no signals.
 */
static CURLcode set_common(CURL *easy, uint32_t connect_timeout_ms)
{
	const struct {
		CURLoption option;
		long value;
	} numbers[] = {
		{ CURLOPT_NOSIGNAL, 1 },
		{ CURLOPT_NOPROGRESS, 1 },
		{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1 },
		{ CURLOPT_HTTP09_ALLOWED, 0 },
		{ CURLOPT_FOLLOWLOCATION, 0 },
		{ CURLOPT_PATH_AS_IS, 1 },
		{ CURLOPT_HTTP_CONTENT_DECODING, 0 },
		{ CURLOPT_TCP_NODELAY, 1 },
		{ CURLOPT_TCP_KEEPALIVE, 1 },
		{ CURLOPT_MAXAGE_CONN, CONNECTION_AGE_MAX_S },
		{ CURLOPT_CONNECTTIMEOUT_MS, (long)connect_timeout_ms },
		{ CURLOPT_QUICK_EXIT, 1 }, /* else a timeout waits for the resolver's thread */
		/* Who comes back may do so under another address. */
		{ CURLOPT_DNS_CACHE_TIMEOUT, 1 },
		{ CURLOPT_BUFFERSIZE, BUFFER_BYTES },
		{ CURLOPT_UPLOAD_BUFFERSIZE, BUFFER_BYTES },
	};
	CURLcode code = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PROXY, "");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && code == CURLE_OK; i++)
		code = curl_easy_setopt(easy, numbers[i].option, numbers[i].value);
	return code;
}

static CURLcode set_method(CURL *easy, const struct http_curl_request *request)
{
	CURLcode code;

	if (request->method == METHOD_HEAD)
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	code = curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method_name(request->method));
	if (code != CURLE_OK || !request->has_body)
		return code;
	code = curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	if (code != CURLE_OK)
		return code;
	return curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_len);
}

static CURLcode set_url(CURL *easy, const struct http_curl_request *request)
{
	_cleanup_(buf_deinit) struct buf url = { 0 };

	if (buf_printf(&url, "%s%s", request->base, request->target) < 0 ||
	    buf_append_u8(&url, 0) < 0)
		return CURLE_OUT_OF_MEMORY;
	return curl_easy_setopt(easy, CURLOPT_URL, (const char *)url.data);
}

CURLcode http_curl_prepare_connection(CURL *easy, const char *base, uint32_t connect_timeout_ms)
{
	CURLcode code;

	curl_easy_reset(easy);
	code = set_common(easy, connect_timeout_ms);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_URL, base);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	return code;
}

int http_curl_prepare(CURL *easy, const struct http_curl_request *request,
		      struct curl_slist **ret_headers)
{
	_cleanup_(slist_freep) struct curl_slist *headers = NULL;
	CURLcode code;

	if (make_headers(request, &headers) < 0)
		return -ENOMEM;
	code = set_common(easy, request->connect_timeout_ms);
	if (code == CURLE_OK)
		code = set_url(easy, request);
	if (code == CURLE_OK)
		code = set_method(easy, request);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
	if (code != CURLE_OK)
		return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
	*ret_headers = take_ptr(headers);
	return 0;
}

/* "HTTP/1.1 200 OK" */
static int take_status(struct http_curl_head *head, const char *line, size_t len)
{
	const char *space = memchr(line, ' ', len);
	unsigned status = 0;

	if (!space || (size_t)(line + len - space) < 4)
		return -EBADMSG;
	for (int i = 1; i <= 3; i++) {
		if (space[i] < '0' || space[i] > '9')
			return -EBADMSG;
		status = status * 10 + (unsigned)(space[i] - '0');
	}
	if (status < 100 || status > 599)
		return -EBADMSG;
	fields_deinit(&head->fields);
	head->status = status;
	head->content_length = -1;
	return 0;
}

static int take_content_length(struct http_curl_head *head, const char *value, size_t len)
{
	int64_t length = 0;

	if (len == 0)
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9' ||
		    __builtin_mul_overflow(length, 10, &length) ||
		    __builtin_add_overflow(length, value[i] - '0', &length))
			return -EBADMSG;
	}
	if (head->content_length >= 0 && head->content_length != length)
		return -EBADMSG;
	head->content_length = length;
	return 0;
}

static int take_field(struct http_curl_head *head, const char *line, size_t len)
{
	const char *colon = memchr(line, ':', len);
	const char *value;
	size_t name_len, value_len;
	enum field field;
	int r;

	if (!colon || colon == line || line[0] == ' ' || line[0] == '\t')
		return -EBADMSG;
	name_len = (size_t)(colon - line);
	value = colon + 1;
	value_len = len - name_len - 1;
	while (value_len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		value_len--;
	}
	while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
		value_len--;
	if (name_len == strlen("Content-Length") &&
	    strncasecmp(line, "Content-Length", name_len) == 0)
		return take_content_length(head, value, value_len);
	field = field_from_name(line, name_len);
	if (!field)
		return 0;
	r = fields_set(&head->fields, field, value, value_len);
	return r == -EINVAL ? -EBADMSG : r;
}

int http_curl_head_line(struct http_curl_head *head, const char *line, size_t len)
{
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		len--;
	if (head->complete)
		return 0;
	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0)
		return take_status(head, line, len);
	if (head->status == 0)
		return -EBADMSG;
	if (len > 0)
		return take_field(head, line, len);
	if (head->status < 200)
		return 0;
	head->complete = true;
	return 1;
}

void http_curl_head_deinit(struct http_curl_head *head)
{
	fields_deinit(&head->fields);
}

static int on_connected(void *reached, char *remote_ip, char *local_ip, int remote_port,
			int local_port)
{
	(void)remote_ip;
	(void)local_ip;
	(void)remote_port;
	(void)local_port;
	*(bool *)reached = true;
	return CURL_PREREQFUNC_OK;
}

CURLcode http_curl_set_callbacks(CURL *easy, const struct http_curl_callbacks *callbacks)
{
	static const CURLoption data[] = { CURLOPT_HEADERDATA, CURLOPT_WRITEDATA, CURLOPT_READDATA,
					   CURLOPT_SEEKDATA };
	CURLcode code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, callbacks->header);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, callbacks->body);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_READFUNCTION, callbacks->upload);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, callbacks->seek);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PREREQDATA, callbacks->reached);
	if (code == CURLE_OK && callbacks->trailer)
		code = curl_easy_setopt(easy, CURLOPT_TRAILERFUNCTION, callbacks->trailer);
	if (code == CURLE_OK && callbacks->trailer)
		code = curl_easy_setopt(easy, CURLOPT_TRAILERDATA, callbacks->state);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]) && code == CURLE_OK; i++)
		code = curl_easy_setopt(easy, data[i], callbacks->state);
	return code;
}

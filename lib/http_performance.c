/* SPDX-License-Identifier: MIT */
#include "lib/http_performance.h"

#include "lib/clock.h"
#include "lib/http_address.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PARTIAL           206
#define PROBLEM_BYTES_MAX (64 * 1024)
/* How often the user is asked whether it was interrupted. */
#define SLICE_MS 200

void performance_deinit(struct performance *performance)
{
	http_curl_head_deinit(&performance->head);
	buf_deinit(&performance->problem);
}

void performance_restart(struct performance *performance)
{
	http_curl_head_deinit(&performance->head);
	performance->head = (struct http_curl_head){ .content_length = -1 };
	buf_clear(&performance->problem);
	performance->sent = 0;
}

int performance_wait(const struct performance *performance, int *ret_ms)
{
	const struct http_sync_request *request = performance->request;
	uint64_t now = clock_monotonic_ms();
	uint64_t deadline_ms = performance->moved_ms + request->timeout_ms;

	if (now >= deadline_ms)
		return -ETIMEDOUT;
	if (request->interrupted && request->interrupted(request->state))
		return -EINTR;
	*ret_ms = deadline_ms - now < SLICE_MS ? (int)(deadline_ms - now) : SLICE_MS;
	return 0;
}

ssize_t performance_upload(struct performance *performance, void *data, size_t room)
{
	const struct http_sync_request *request = performance->request;
	bool known = request->upload_len != HTTP_SYNC_LENGTH_UNKNOWN;
	ssize_t len;

	if (known && performance->sent >= request->upload_len)
		return 0;
	if (known && request->upload_len - performance->sent < room)
		room = (size_t)(request->upload_len - performance->sent);
	len = request->upload(request->state, performance->sent, data, room);
	performance->moved_ms = clock_monotonic_ms();
	if (len == 0 && known)
		len = -EIO;
	if (len < 0) {
		performance->error = (int)len;
		return len;
	}
	assert((size_t)len <= room);
	performance->sent += (uint64_t)len;
	return len;
}

static int keep_problem(struct performance *performance, const void *data, size_t len)
{
	size_t room = PROBLEM_BYTES_MAX - performance->problem.len;

	return buf_append(&performance->problem, data, len < room ? len : room);
}

/* Whether the answer is the part that was asked for, and of the version that was required. A router
 * that is right does not send another; one that is not, or a proxy before it, must not make us mix
 * two. */
static bool is_wanted_part(const struct performance *performance)
{
	static const char asked_unit[] = "bytes=", got_unit[] = "bytes ";
	const struct fields *asked = &performance->request->fields;
	const struct fields *got = &performance->head.fields;
	const char *range = fields_get(asked, FIELD_RANGE, NULL);
	const char *part = fields_get(got, FIELD_CONTENT_RANGE, NULL);
	const char *required = fields_get(asked, FIELD_IF_MATCH, NULL);
	const char *etag = fields_get(got, FIELD_ETAG, NULL);
	size_t first_len;

	if (required && etag && strcmp(required, etag) != 0)
		return false;
	if (performance->head.status != PARTIAL || !range || !part ||
	    strncmp(range, asked_unit, strlen(asked_unit)) != 0)
		return !performance->request->partial || performance->head.status == PARTIAL;
	range += strlen(asked_unit);
	first_len = strcspn(range, "-") + 1;
	return strncmp(part, got_unit, strlen(got_unit)) == 0 &&
	       strncmp(part + strlen(got_unit), range, first_len) == 0;
}

int performance_body(struct performance *performance, const void *data, size_t len)
{
	const struct http_sync_request *request = performance->request;
	int r = 0;

	if (performance->head.status >= 300)
		r = keep_problem(performance, data, len);
	else if (request->method == METHOD_GET && !is_wanted_part(performance))
		r = -EPROTO;
	else if (request->body)
		r = request->body(request->state, data, len);
	performance->moved_ms = clock_monotonic_ms();
	if (r < 0)
		performance->error = r;
	return r;
}

int performance_error(const struct performance *performance, CURLcode code)
{
	if (performance->error)
		return performance->error;
	if (code == CURLE_OK)
		return performance->head.complete ? 0 : -EIO;
	if (code == CURLE_OUT_OF_MEMORY)
		return -ENOMEM;
	if (code == CURLE_URL_MALFORMAT)
		return -EINVAL;
	if (code == CURLE_OPERATION_TIMEDOUT)
		return -ETIMEDOUT;
	/* libcurl may have tried again after a connection that had taken the request. */
	return performance->reached ? -EIO : -ECONNREFUSED;
}

/* 1: over, with *ret_code. 0: go on. */
static int take_message(CURLM *multi, CURLcode *ret_code)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(multi, &left))) {
		if (message->msg != CURLMSG_DONE)
			continue;
		*ret_code = message->data.result;
		return 1;
	}
	return 0;
}

static int run_once(const struct performance *performance, CURLM *multi, CURLcode *ret_code)
{
	for (;;) {
		int running, wait_ms, r;

		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return -EIO;
		if (take_message(multi, ret_code))
			return 0;
		r = performance_wait(performance, &wait_ms);
		if (r < 0)
			return r;
		if (curl_multi_poll(multi, NULL, 0, wait_ms, NULL) != CURLM_OK)
			return -EIO;
	}
}

int performance_run(const struct performance *performance, CURLM *multi, CURL *easy,
		    CURLcode *ret_code)
{
	struct curl_slist *known_address = NULL;
	CURLcode code;
	int r = run_once(performance, multi, &code);

	if (r == 0 && !performance->reached && http_address_fall_back(easy, code, &known_address)) {
		curl_multi_remove_handle(multi, easy);
		r = curl_multi_add_handle(multi, easy) == CURLM_OK
			    ? run_once(performance, multi, &code)
			    : -ENOMEM;
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, NULL);
		curl_slist_free_all(known_address);
	}
	if (r == 0 && code == CURLE_OK)
		http_address_note(easy);
	if (r == 0)
		*ret_code = code;
	return r;
}

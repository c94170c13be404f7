/* SPDX-License-Identifier: MIT */
#include "fs/request.h"

#include "fs/answer.h"
#include "fs/patience.h"
#include "fs/stats.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/object.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS   1000
#define WAIT_SLICE_MS  50
/* More than this is on no way to the router without being taken by it. */
#define ON_THE_WAY_MAX (32 * 1024 * 1024)

int request_init(struct request *request, enum method method, const char *prefix, const char *key)
{
	struct request_id id;
	char hex[33];
	int len;

	*request = (struct request){ .method = method, .small = true };
	len = snprintf(request->target, sizeof(request->target), "%s%s", prefix, key ? key : "");
	if (len < 0 || (size_t)len >= sizeof(request->target))
		return -ENAMETOOLONG;
	if (method == METHOD_GET || method == METHOD_HEAD)
		return 0;
	request_id_generate(&id);
	request_id_to_hex(&id, hex);
	return fields_setf(&request->fields, FIELD_REQUEST_ID, "%s", hex);
}

void request_deinit(struct request *request)
{
	fields_deinit(&request->fields);
}

/* Something has moved only beyond what an earlier attempt had moved already: a cluster that takes
 * the same bytes and refuses the request each time does not get on. */
static void note_moved(struct request *request, uint64_t *furthest, uint64_t end)
{
	if (end <= *furthest)
		return;
	*furthest = end;
	request->moved_at_ms = clock_monotonic_ms();
}

static int commit(struct request *request)
{
	return request->commit ? request->commit(request->commit_state) : 0;
}

static bool is_whole(const struct request *request, uint64_t offset, ssize_t n)
{
	return request->upload_bytes == HTTP_SYNC_LENGTH_UNKNOWN
		       ? n == 0
		       : n > 0 && offset + (uint64_t)n >= request->upload_bytes;
}

static ssize_t request_upload(void *state, uint64_t offset, void *data, size_t len)
{
	struct request *request = state;
	ssize_t n = request->upload(request->state, offset, data, len);

	if (n >= 0 && is_whole(request, offset, n)) {
		int r = commit(request);

		if (r < 0)
			return r;
	}
	if (n > 0) {
		note_moved(request, &request->sent_furthest, offset + (uint64_t)n);
		if (offset > ON_THE_WAY_MAX)
			patience_renew();
		stats_count(STATS_SENT_BYTES, (uint64_t)n);
	}
	return n;
}

static int request_body(void *state, const void *data, size_t len)
{
	struct request *request = state;
	int r;

	note_moved(request, &request->received_furthest, request->received + len);
	patience_renew();
	stats_count(STATS_RECEIVED_BYTES, len);
	if (!request->body)
		return 0;
	r = request->body(request->state, request->received, data, len);
	request->received += len;
	return r;
}

static int request_trailer(void *state, struct fields *ret_fields)
{
	struct request *request = state;

	return request->trailer(request->state, ret_fields);
}

static bool request_interrupted(void *state)
{
	const struct request *request = state;

	return interrupt_raised(request->interrupt);
}

/* An attempt that ended without an answer stays in doubt until the request succeeds: only a success
 * is remembered under its id. */
static void note_outcome(struct request *request, int result, const struct http_sync_answer *answer)
{
	if (result == -ECONNREFUSED)
		return;
	if (result == 0 && outcome_is_success(outcome_from_status(answer->status)))
		request->unsure = false;
	else if (result < 0 || !answer_says_not_applied(answer->problem.data, answer->problem.len,
							answer->status))
		request->unsure = true;
}

static int perform_once(struct request *request, struct http_sync *client, bool again,
			struct http_sync_answer *ret_answer)
{
	const struct http_sync_request one = {
		.method = request->method,
		.target = request->target,
		.fields = request->fields,
		.has_body = request->has_body,
		.upload_len = request->upload_bytes,
		.upload = request->has_body ? request_upload : NULL,
		.trailer = request->trailer ? request_trailer : NULL,
		.body = request_body,
		.partial = request->partial,
		.interrupted = request_interrupted,
		.state = request,
		.small = request->small,
		.timeout_ms = request->patience_ms,
	};

	int r = request->has_body && request->upload_bytes > 0 ? 0 : commit(request);
	struct stats_attempt attempt = {
		.method = request->method,
		.target = request->target,
		.again = again,
	};
	uint64_t began_ns = clock_monotonic_ns();

	request->received = 0;
	*ret_answer = (struct http_sync_answer){ .content_length = -1 };
	if (r < 0)
		return r;
	attempt.result = http_sync_perform(client, &one, ret_answer);
	attempt.status = ret_answer->status;
	attempt.took_ns = clock_monotonic_ns() - began_ns;
	stats_attempted(&attempt);
	note_outcome(request, attempt.result, ret_answer);
	return attempt.result;
}

/* Whether the same request may do better in a moment. */
static bool worth_repeating(int result, const struct http_sync_answer *answer)
{
	enum outcome outcome;

	if (result == -ECONNREFUSED || result == -EIO)
		return true;
	if (result != 0)
		return false;
	outcome = outcome_from_status(answer->status);
	return outcome == OUTCOME_UNAVAILABLE || outcome == OUTCOME_BAD_GATEWAY ||
	       outcome == OUTCOME_TOO_MANY_REQUESTS;
}

/* Cut off because the request had waited long before, but now the router gets on with it. */
static bool deserves_more(struct request *request, int result)
{
	if (result != -ETIMEDOUT || request->patience_ms == request->timeout_ms ||
	    request->received_furthest == 0)
		return false;
	request->patience_ms = request->timeout_ms;
	return true;
}

static int wait_ms(uint64_t duration_ms, const struct interrupt *interrupt)
{
	uint64_t end = clock_monotonic_ms() + duration_ms;

	for (;;) {
		uint64_t now = clock_monotonic_ms();

		if (interrupt_raised(interrupt))
			return -EINTR;
		if (now >= end)
			return 0;
		poll(NULL, 0, (int)(end - now < WAIT_SLICE_MS ? end - now : WAIT_SLICE_MS));
	}
}

int request_perform(struct request *request, struct http_sync *client,
		    struct http_sync_answer *ret_answer)
{
	uint64_t pause_ms = RETRY_FIRST_MS;
	bool again = false;
	int r;

	request->patience_ms = patience_left_ms(request->timeout_ms);
	request->moved_at_ms = clock_monotonic_ms() - (request->timeout_ms - request->patience_ms);
	for (;;) {
		r = perform_once(request, client, again, ret_answer);
		if (!worth_repeating(r, ret_answer) && !deserves_more(request, r))
			break;
		if (clock_monotonic_ms() + pause_ms - request->moved_at_ms >= request->timeout_ms)
			break;
		log_debug("request is made again", "method=%s target=%s error=%d status=%u",
			  method_name(request->method), request->target, -r, ret_answer->status);
		http_sync_answer_deinit(ret_answer);
		r = wait_ms(pause_ms, request->interrupt);
		if (r < 0)
			return r;
		again = true;
		pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
	}
	if (r == 0 && !worth_repeating(r, ret_answer))
		patience_renew();
	if (r == 0)
		return 0;
	http_sync_answer_deinit(ret_answer);
	if (r != -EINTR && r != REQUEST_BROKEN_OFF && !request->quiet)
		log_warn("request failed", "method=%s target=%s error=%d",
			 method_name(request->method), request->target, -r);
	return r == -ECONNREFUSED ? -EIO : r;
}

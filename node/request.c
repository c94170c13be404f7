/* SPDX-License-Identifier: MIT */
#include "node/request.h"

#include "lib/clock.h"
#include "lib/object.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_BYTES 512

static void nothing_at_end(struct exchange *ex)
{
	(void)ex;
}

const struct exchange_handler request_waits = {
	.end = nothing_at_end,
};

void request_identify(const struct request *request)
{
	struct fields *fields = &request->ex->request;
	struct request_id id;
	char hex[33];

	if (fields_get(fields, FIELD_REQUEST_ID, NULL))
		return;
	request_id_generate(&id);
	request_id_to_hex(&id, hex);
	/* Without memory the answer goes without an id. */
	(void)fields_set(fields, FIELD_REQUEST_ID, hex, 32);
}

static void count(const struct request *request, unsigned status)
{
	traffic_count(&request_service(request)->traffic, request->ex->method, status,
		      clock_monotonic_ns() - request->begun_ns);
}

/* Counted from when the copy was known to be fresh, on this node's clock alone. Without memory the
 * answer goes without it. */
static void show_staleness(const struct request *request, struct answer *answer)
{
	uint64_t now = clock_monotonic_ms();

	if (request->is_leader)
		(void)fields_set(&answer->fields, FIELD_STALENESS_MS, "0", 1);
	else if (request->fresh_ms == 0)
		(void)fields_set(&answer->fields, FIELD_STALENESS_MS, "unknown", 7);
	else
		(void)fields_setf(&answer->fields, FIELD_STALENESS_MS, "%" PRIu64,
				  now > request->fresh_ms ? now - request->fresh_ms : 0);
}

void request_respond(const struct request *request, struct answer *answer)
{
	if (request->shows_staleness)
		show_staleness(request, answer);
	count(request, answer->status);
	exchange_respond(request->ex, answer);
}

static void respond_problem(const struct request *request, enum outcome outcome,
			    enum applied applied, enum field field, const char *value,
			    const char *detail)
{
	struct answer answer = { 0 };
	const char *id;
	size_t id_len;
	int r;

	request_identify(request);
	r = answer_problem(&answer, request->ex, outcome, applied, "%s", detail);
	id = fields_get(&request->ex->request, FIELD_REQUEST_ID, &id_len);
	/* An id that the protocol refused is not sent back as a header. */
	if (r >= 0 && id && id_len == 32)
		r = fields_set(&answer.fields, FIELD_REQUEST_ID, id, id_len);
	if (r >= 0 && value)
		r = fields_set(&answer.fields, field, value, strlen(value));
	if (r < 0) {
		answer_deinit(&answer);
		answer = (struct answer){ .status = outcome_info(outcome)->status };
	}
	request_respond(request, &answer);
}

void request_problem(const struct request *request, enum outcome outcome, const char *detail, ...)
{
	char text[DETAIL_BYTES];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	respond_problem(request, outcome, APPLIED_NOT, 0, NULL, text);
}

void request_problem_unknown(const struct request *request, enum outcome outcome,
			     const char *detail, ...)
{
	char text[DETAIL_BYTES];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	respond_problem(request, outcome, APPLIED_UNKNOWN, 0, NULL, text);
}

void request_problem_with(const struct request *request, enum outcome outcome, enum field field,
			  const char *value, const char *detail, ...)
{
	char text[DETAIL_BYTES];
	va_list args;

	va_start(args, detail);
	vsnprintf(text, sizeof(text), detail, args);
	va_end(args);
	respond_problem(request, outcome, APPLIED_NOT, field, value, text);
}

void request_json(const struct request *request, enum outcome outcome, json_t *json)
{
	if (!json) {
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	count(request, outcome_info(outcome)->status);
	reply_json(request->ex, outcome, json);
}

void request_text(const struct request *request, const char *content_type, struct buf *text)
{
	struct answer answer = { .status = outcome_info(OUTCOME_OK)->status,
				 .bytes = buf_take(text) };

	if (fields_set(&answer.fields, FIELD_CONTENT_TYPE, content_type, strlen(content_type)) <
	    0) {
		answer_deinit(&answer);
		request_problem(request, OUTCOME_UNAVAILABLE, "memory is out; try again");
		return;
	}
	request_respond(request, &answer);
}

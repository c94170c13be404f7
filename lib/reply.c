/* SPDX-License-Identifier: MIT */
#include "lib/reply.h"

#include "lib/cleanup.h"
#include "lib/object.h"
#include "lib/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_BYTES_MAX 1024

static int dump_piece(const char *data, size_t len, void *state)
{
	return buf_append(state, data, len);
}

static int dump_json(const json_t *json, struct buf *out)
{
	if (json_dump_callback(json, dump_piece, out, JSON_COMPACT) < 0)
		return -ENOMEM;
	/* For those who read answers in a terminal. */
	return buf_append_str(out, "\n");
}

static int set_text(struct fields *fields, enum field field, const char *text)
{
	return fields_set(fields, field, text, strlen(text));
}

/* A detail may quote what the client sent, and JSON holds valid UTF-8 only. */
static void make_printable(char *detail)
{
	bool valid = utf8_is_valid(detail, strlen(detail));

	for (char *at = detail; *at; at++) {
		uint8_t byte = (uint8_t)*at;

		if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !valid))
			*at = '?';
	}
}

static json_t *problem_to_json(const struct exchange *ex, const struct outcome_info *info,
			       enum applied applied, const char *detail)
{
	const char *request_id = ex ? fields_get(&ex->request, FIELD_REQUEST_ID, NULL) : NULL;
	struct request_id own;
	char own_hex[33];

	/* Always there, so that a report of the problem can name it. */
	if (!request_id || !utf8_is_valid(request_id, strlen(request_id))) {
		request_id_generate(&own);
		request_id_to_hex(&own, own_hex);
		request_id = own_hex;
	}
	return json_pack("{s:s+, s:s, s:i, s:s, s:s, s:b, s:s}", "type",
			 "urn:hexkv:problem:", info->slug, "title", info->title, "status",
			 (int)info->status, "detail", detail, "request_id", request_id, "retryable",
			 (int)info->retryable, "outcome",
			 applied == APPLIED_UNKNOWN ? "unknown" : "not-applied");
}

static int set_problem_fields(struct fields *fields, const struct outcome_info *info)
{
	int r;

	r = set_text(fields, FIELD_CONTENT_TYPE, "application/problem+json");
	if (r < 0)
		return r;
	if (info->status == 429 || info->status == 503) {
		r = set_text(fields, FIELD_RETRY_AFTER, "1");
		if (r < 0)
			return r;
	}
	if (info->status == 401)
		return set_text(fields, FIELD_WWW_AUTHENTICATE, "Bearer");
	return 0;
}

static int __attribute__((format(printf, 5, 0)))
answer_problem_args(struct answer *answer, const struct exchange *ex, enum outcome outcome,
		    enum applied applied, const char *format, va_list args)
{
	const struct outcome_info *info = outcome_info(outcome);
	_cleanup_(json_decrefp) json_t *json = NULL;
	char detail[DETAIL_BYTES_MAX];
	int r;

	if (vsnprintf(detail, sizeof(detail), format, args) < 0)
		detail[0] = '\0';
	make_printable(detail);
	json = problem_to_json(ex, info, applied, detail);
	if (!json)
		return -ENOMEM;
	buf_clear(&answer->bytes);
	r = dump_json(json, &answer->bytes);
	if (r < 0)
		return r;
	r = set_problem_fields(&answer->fields, info);
	if (r < 0)
		return r;
	answer->status = info->status;
	return 0;
}

int answer_problem(struct answer *answer, const struct exchange *ex, enum outcome outcome,
		   enum applied applied, const char *detail, ...)
{
	va_list args;
	int r;

	va_start(args, detail);
	r = answer_problem_args(answer, ex, outcome, applied, detail, args);
	va_end(args);
	return r;
}

/* Out of memory: the status alone, which needs none. */
static void make_bare(struct answer *answer, unsigned status)
{
	answer_deinit(answer);
	*answer = (struct answer){ .status = status };
}

static void __attribute__((format(printf, 4, 0)))
respond_problem(struct exchange *ex, enum outcome outcome, enum applied applied, const char *detail,
		va_list args)
{
	struct answer answer = { 0 };

	if (answer_problem_args(&answer, ex, outcome, applied, detail, args) < 0)
		make_bare(&answer, outcome_info(outcome)->status);
	exchange_respond(ex, &answer);
}

void reply_problem(struct exchange *ex, enum outcome outcome, const char *detail, ...)
{
	va_list args;

	va_start(args, detail);
	respond_problem(ex, outcome, APPLIED_NOT, detail, args);
	va_end(args);
}

void reply_problem_unknown(struct exchange *ex, enum outcome outcome, const char *detail, ...)
{
	va_list args;

	va_start(args, detail);
	respond_problem(ex, outcome, APPLIED_UNKNOWN, detail, args);
	va_end(args);
}

void reply_json(struct exchange *ex, enum outcome outcome, json_t *json)
{
	_cleanup_(json_decrefp) json_t *owned = json;
	struct answer answer = { .status = outcome_info(outcome)->status };

	if (!owned || dump_json(owned, &answer.bytes) < 0 ||
	    set_text(&answer.fields, FIELD_CONTENT_TYPE, "application/json") < 0)
		make_bare(&answer, outcome_info(OUTCOME_UNAVAILABLE)->status);
	exchange_respond(ex, &answer);
}

void reply_text(struct exchange *ex, enum outcome outcome, const char *content_type,
		struct buf *text)
{
	struct answer answer = { .status = outcome_info(outcome)->status, .bytes = buf_take(text) };

	if (set_text(&answer.fields, FIELD_CONTENT_TYPE, content_type) < 0)
		make_bare(&answer, outcome_info(OUTCOME_UNAVAILABLE)->status);
	exchange_respond(ex, &answer);
}

void reply_method_not_allowed(struct exchange *ex, const char *allow, const char *detail)
{
	struct answer answer = { 0 };

	if (answer_problem(&answer, ex, OUTCOME_METHOD_NOT_ALLOWED, APPLIED_NOT, "%s", detail) <
		    0 ||
	    set_text(&answer.fields, FIELD_ALLOW, allow) < 0)
		make_bare(&answer, outcome_info(OUTCOME_METHOD_NOT_ALLOWED)->status);
	exchange_respond(ex, &answer);
}

/* SPDX-License-Identifier: MIT */
/* The answers that every service gives: problem+json (RFC 9457), JSON, text, 405. */
#pragma once

#include "lib/exchange.h"

#include <jansson.h>

/* Whether the request may have been applied, when it failed. */
enum applied { APPLIED_NOT, APPLIED_UNKNOWN };

/* Fills @answer with a problem: type, title, status, detail, request_id (the request's, or a new
 * one), retryable, outcome. Retry-After: 1 comes with 429 and 503. @detail is a sentence that names
 * what to mend. */
int answer_problem(struct answer *answer, const struct exchange *ex, enum outcome outcome,
		   enum applied applied, const char *detail, ...)
	__attribute__((format(printf, 5, 6)));
/* answer_problem() and exchange_respond(); if memory is out, a bare status. */
void reply_problem(struct exchange *ex, enum outcome outcome, const char *detail, ...)
	__attribute__((format(printf, 3, 4)));
void reply_problem_unknown(struct exchange *ex, enum outcome outcome, const char *detail, ...)
	__attribute__((format(printf, 3, 4)));
/* Takes the reference to @json. */
void reply_json(struct exchange *ex, enum outcome outcome, json_t *json);
/* Takes the content of @text. */
void reply_text(struct exchange *ex, enum outcome outcome, const char *content_type,
		struct buf *text);
/* 405 with Allow. */
void reply_method_not_allowed(struct exchange *ex, const char *allow, const char *detail);

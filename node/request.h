/* SPDX-License-Identifier: MIT */
/*
 * One request to this node and the ways to answer it. All answers go through here, so that each is
 * counted once.
 *
 * Ownership: a request is a small value; whoever answers later keeps a copy, and a reference to the
 * exchange for as long as it may have finished. Threads: the worker's.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/reply.h"
#include "node/service.h"

struct request {
	struct exchange *ex;
	struct service_worker *worker;
	uint64_t begun_ns;
	/* Of a read that any node may answer: its answer says how stale it may be. */
	bool shows_staleness;
	bool is_leader; /* who answers: not stale at all */
	uint64_t fresh_ms; /* what was acknowledged before this time is in the answer; 0: unknown */
};

/* For a service that has not answered in begin() and wants no body. */
extern const struct exchange_handler request_waits;

static inline struct service *request_service(const struct request *request)
{
	return request->worker->service;
}

/* Makes sure that the request has an id, so that every answer can name it. */
void request_identify(const struct request *request);

/* Takes the content of @answer. */
void request_respond(const struct request *request, struct answer *answer);
void request_problem(const struct request *request, enum outcome outcome, const char *detail, ...)
	__attribute__((format(printf, 3, 4)));
/* For what may have been applied although it failed. */
void request_problem_unknown(const struct request *request, enum outcome outcome,
			     const char *detail, ...) __attribute__((format(printf, 3, 4)));
/* A problem with one more field. */
void request_problem_with(const struct request *request, enum outcome outcome, enum field field,
			  const char *value, const char *detail, ...)
	__attribute__((format(printf, 5, 6)));
/* Takes the reference to @json. */
void request_json(const struct request *request, enum outcome outcome, json_t *json);
/* Takes the content of @text. */
void request_text(const struct request *request, const char *content_type, struct buf *text);

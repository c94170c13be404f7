/* SPDX-License-Identifier: MIT */
#include "lib/outcome.h"

#include <assert.h>
#include <errno.h>

static const struct outcome_info table[OUTCOME_COUNT] = {
	[OUTCOME_OK] = { 200, 0, "ok", "OK", false },
	[OUTCOME_CREATED] = { 201, 0, "created", "Created", false },
	[OUTCOME_NO_CONTENT] = { 204, 0, "no-content", "No content", false },
	[OUTCOME_PARTIAL] = { 206, 0, "partial", "Partial content", false },
	[OUTCOME_NOT_MODIFIED] = { 304, 0, "not-modified", "Not modified", false },
	[OUTCOME_BAD_REQUEST] = { 400, EINVAL, "bad-request", "Bad request", false },
	[OUTCOME_UNAUTHENTICATED] = { 401, EACCES, "unauthenticated", "Unauthenticated", false },
	[OUTCOME_FORBIDDEN] = { 403, EACCES, "forbidden", "Forbidden", false },
	[OUTCOME_NOT_FOUND] = { 404, ENOENT, "not-found", "Not found", false },
	[OUTCOME_METHOD_NOT_ALLOWED] = { 405, EPERM, "method-not-allowed", "Method not allowed",
					 false },
	[OUTCOME_PRECONDITION_FAILED] = { 412, ESTALE, "precondition-failed", "Precondition failed",
					  false },
	[OUTCOME_TOO_LARGE] = { 413, EFBIG, "too-large", "Content too large", false },
	[OUTCOME_RANGE_NOT_SATISFIABLE] = { 416, EINVAL, "range-not-satisfiable",
					    "Range not satisfiable", false },
	[OUTCOME_MISDIRECTED] = { 421, EIO, "misdirected", "Misdirected request", false },
	[OUTCOME_TOO_MANY_REQUESTS] = { 429, EIO, "too-many-requests", "Too many requests", true },
	[OUTCOME_HEADERS_TOO_LARGE] = { 431, EINVAL, "headers-too-large", "Headers too large",
					false },
	[OUTCOME_INTERNAL] = { 500, EIO, "internal", "Internal error", false },
	[OUTCOME_NOT_IMPLEMENTED] = { 501, EOPNOTSUPP, "not-implemented", "Not implemented",
				      false },
	[OUTCOME_BAD_GATEWAY] = { 502, EIO, "bad-gateway", "Bad gateway", true },
	[OUTCOME_UNAVAILABLE] = { 503, EIO, "unavailable", "Unavailable", true },
	[OUTCOME_TIMEOUT] = { 504, ETIMEDOUT, "timeout", "Timed out", true },
	[OUTCOME_NO_SPACE] = { 507, ENOSPC, "no-space", "No space", false },
};

const struct outcome_info *outcome_info(enum outcome outcome)
{
	assert((unsigned)outcome < OUTCOME_COUNT);
	return &table[outcome];
}

enum outcome outcome_from_status(unsigned status)
{
	for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
		if (table[i].status == status)
			return (enum outcome)i;
	}
	if (status >= 200 && status < 300)
		return OUTCOME_OK;
	if (status >= 400 && status < 500)
		return OUTCOME_BAD_REQUEST;
	return OUTCOME_BAD_GATEWAY;
}

enum outcome outcome_from_error(int error)
{
	switch (error) {
	case -ENOSPC:
	case -EDQUOT:
		return OUTCOME_NO_SPACE;
	case -ETIMEDOUT:
		return OUTCOME_TIMEOUT;
	case -ENOMEM:
		return OUTCOME_UNAVAILABLE;
	default:
		return OUTCOME_INTERNAL;
	}
}

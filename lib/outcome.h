/* SPDX-License-Identifier: MIT */
/*
 * Every way a request can end, and the one table that maps it to an HTTP status, an errno for the
 * mount and the words of problem+json (RFC 9457). Threads: immutable.
 */
#pragma once

#include <stdbool.h>

enum outcome {
	OUTCOME_OK, /* 200 */
	OUTCOME_CREATED, /* 201 */
	OUTCOME_NO_CONTENT, /* 204 */
	OUTCOME_PARTIAL, /* 206 */
	OUTCOME_NOT_MODIFIED, /* 304 */
	OUTCOME_BAD_REQUEST, /* 400 EINVAL */
	OUTCOME_UNAUTHENTICATED, /* 401 EACCES */
	OUTCOME_FORBIDDEN, /* 403 EACCES */
	OUTCOME_NOT_FOUND, /* 404 ENOENT */
	OUTCOME_METHOD_NOT_ALLOWED, /* 405 EPERM */
	OUTCOME_PRECONDITION_FAILED, /* 412 ESTALE (EEXIST for an exclusive create: the mount
					decides) */
	OUTCOME_TOO_LARGE, /* 413 EFBIG */
	OUTCOME_RANGE_NOT_SATISFIABLE, /* 416 EINVAL */
	OUTCOME_MISDIRECTED, /* 421 EIO */
	OUTCOME_TOO_MANY_REQUESTS, /* 429 EIO, retryable */
	OUTCOME_HEADERS_TOO_LARGE, /* 431 EINVAL */
	OUTCOME_INTERNAL, /* 500 EIO: damage found, a failing disk */
	OUTCOME_NOT_IMPLEMENTED, /* 501 EOPNOTSUPP */
	OUTCOME_BAD_GATEWAY, /* 502 EIO: the node broke off or could not be reached */
	OUTCOME_UNAVAILABLE, /* 503 EIO, retryable */
	OUTCOME_TIMEOUT, /* 504 ETIMEDOUT */
	OUTCOME_NO_SPACE, /* 507 ENOSPC */
	OUTCOME_COUNT
};

struct outcome_info {
	unsigned status;
	int error; /* positive errno, 0 for successes */
	const char *slug; /* last part of the problem's type, "precondition-failed" */
	const char *title;
	bool retryable;
};

const struct outcome_info *outcome_info(enum outcome outcome);
/* A status that is not in the table maps by its class: 2xx OK, 4xx BAD_REQUEST, else BAD_GATEWAY.
 */
enum outcome outcome_from_status(unsigned status);
/* From a negative errno: ENOSPC and EDQUOT NO_SPACE, ETIMEDOUT TIMEOUT, ENOMEM UNAVAILABLE, else
 * INTERNAL. */
enum outcome outcome_from_error(int error);
static inline bool outcome_is_success(enum outcome outcome)
{
	return outcome <= OUTCOME_NOT_MODIFIED;
}

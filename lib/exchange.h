/* SPDX-License-Identifier: MIT */
/*
 * One request and its answer at the serving side, whatever carried them: HTTP (lib/http_server) or
 * a frame of a multiplexed connection (lib/mux_server). A service is written against this header
 * alone.
 *
 * Life: the transport parses the head and calls the service's begin(); it then delivers body
 * pieces, then end(). The service answers once, at any time from begin() on, with
 * exchange_respond(); an answer given before the body is complete discards the rest of it. finish()
 * comes exactly once: the answer is out, or the client is gone.
 *
 * Ownership: the exchange is reference-counted. The transport holds one reference until after
 * finish(); whoever waits for something asynchronous takes another. On an exchange that has
 * finished, exchange_respond() only releases what it is given, and the resume calls do nothing.
 * Threads: everything in the thread of exchange->loop.
 */
#pragma once

#include "lib/buf.h"
#include "lib/field.h"
#include "lib/loop.h"
#include "lib/outcome.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum method {
	METHOD_GET = 1,
	METHOD_HEAD = 2,
	METHOD_PUT = 3,
	METHOD_DELETE = 4,
	METHOD_PATCH = 5,
	METHOD_MOVE = 6,
	METHOD_POST = 7,
	METHOD_OTHER = 255,
};

const char *method_name(enum method method);
enum method method_from_name(const char *name);

struct exchange;

struct exchange_handler {
	/* Returns how many bytes it took; fewer than @len pauses the body until
	 * exchange_resume_body(). NULL: discard. */
	size_t (*body)(struct exchange *, const void *data, size_t len);
	/* The body is complete. NULL if the service answered in begin(). */
	void (*end)(struct exchange *);
	/* @answered: the whole answer was handed to the network. May be NULL. */
	void (*finish)(struct exchange *, bool answered);
};

/* A body that is produced while it is sent. */
struct body_source {
	/* Fills up to @len bytes from @offset on. > 0 bytes; 0: nothing yet,
	 * exchange_resume_answer() follows; negative: the connection is closed short of the
	 * announced length. Must not block. */
	ssize_t (*read)(void *state, struct exchange *ex, uint64_t offset, void *data, size_t len);
	void (*close)(void *state);
};

struct answer {
	unsigned status;
	struct fields fields;
	/* The body: either bytes, or a source of exactly stream_bytes. To HEAD no body is sent:
	 * stream_bytes (with or without a source, which is closed unread) or the length of bytes is
	 * the Content-Length that GET would have. */
	struct buf bytes;
	const struct body_source *source;
	void *source_state;
	uint64_t stream_bytes;
};

void answer_deinit(struct answer *answer);

struct exchange {
	enum method method;
	const char *path; /* percent-decoded, NUL-terminated, no query */
	const char *query; /* as sent, "" if none; see exchange_query() */
	struct fields request;
	struct fields trailer; /* what came after a chunked body; complete when end() is called */
	int64_t content_length; /* -1: not announced (chunked) */
	bool has_body; /* announced, also with length 0 */
	struct loop *loop;
	const struct exchange_handler *handler; /* the service's, set in begin() */
	void *state; /* the service's */
	bool over_frame; /* came by the multiplexed connection */
	bool accepts_openmetrics; /* Accept names it */

	const struct exchange_transport *transport;
	unsigned references;
	bool answered;
	bool finished;
};

struct exchange_transport {
	void (*moving)(struct exchange *); /* may be NULL */
	void (*respond)(struct exchange *, struct answer *); /* takes the content of @answer */
	void (*resume_body)(struct exchange *);
	void (*resume_answer)(struct exchange *);
	void (*free)(struct exchange *);
};

struct exchange *exchange_ref(struct exchange *ex);
struct exchange *exchange_unref(struct exchange *ex);
/* Always takes the content of @answer (fields, bytes, source). At most once per exchange. */
void exchange_respond(struct exchange *ex, struct answer *answer);
/* More body may be delivered; body() is called again with the bytes it refused. */
void exchange_resume_body(struct exchange *ex);
void exchange_resume_answer(struct exchange *ex);

/* Tells that the service works on the answer, so that a long wait for it is not taken for a stall.
 */
void exchange_moving(struct exchange *ex);

/* The decoded value of a query parameter. 1 found, 0 absent, -EINVAL badly encoded or longer than
 * @size - 1. */
int exchange_query(const struct exchange *ex, const char *name, char *ret_value, size_t size);

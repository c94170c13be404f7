/* SPDX-License-Identifier: MIT */
/*
 * One request to another machine and its answer at the asking side, whatever carries them: frames
 * or libcurl.
 *
 * Life: peer_call() (lib/peer.h) or http_client_call(); then head(), body() pieces, and done()
 * exactly once, never from inside the call that started it. call_cancel() suppresses all further
 * callbacks. Afterwards the caller frees it. Ownership: embedded in its user, in place from start
 * until done() or call_cancel(). Threads: the loop's.
 */
#pragma once

#include "lib/exchange.h"
#include "lib/field.h"
#include "lib/outcome.h"

struct call;

#define CALL_UPLOAD_END (-4096)

struct call_handler {
	/* Status and fields of the answer; @content_length is -1 if it was not announced. May take
	 * from @fields. */
	void (*head)(struct call *, unsigned status, struct fields *fields, int64_t content_length);
	/* Bytes of the answer's body. Returns how many it took: all, or fewer to pause until
	 * call_resume(). */
	size_t (*body)(struct call *, const void *data, size_t len);
	/* Streamed upload: fills up to @len. > 0 bytes; 0: nothing yet, call_resume() follows;
	 * CALL_UPLOAD_END: that was all (asked for only if upload_len is -1); other negative: break
	 * off, so that the other side sees an incomplete request. Time spent waiting for
	 * call_resume() does not count towards timeout_ms. */
	ssize_t (*upload)(struct call *, void *data, size_t len);
	/* @result is OUTCOME_OK if an answer (of any status) arrived whole. Otherwise why not:
	 * BAD_GATEWAY, TIMEOUT, UNAVAILABLE; @maybe_applied says whether the request may have
	 * reached the other side. */
	void (*done)(struct call *, enum outcome result, bool maybe_applied);
};

struct call {
	enum method method;
	const char *target; /* "/kv/00ff", path and query; borrowed */
	struct fields fields; /* owned by the caller */
	const void *body; /* a whole body; borrowed */
	size_t body_len;
	bool has_body;
	int64_t upload_len; /* streamed upload, if the handler has upload() and body is NULL (PUT,
			       PATCH, POST): its length, -1 chunked */
	struct fields trailer; /* sent after a chunked upload, as it stands when that ends; owned by
				  the caller */
	bool streaming; /* use a connection of its own: upload, or an answer that may be large */
	uint32_t timeout_ms; /* until the head of the answer; a stream must also move every
				timeout_ms. 0: none */
	const struct call_handler *handler;
	void *state; /* the caller's */

	void *transport_state; /* the transport's, NULL when idle */
	const struct call_transport *transport;
};

struct call_transport {
	void (*resume)(struct call *);
	void (*cancel)(struct call *);
};

/* Goes on after a paused body() or upload(). */
void call_resume(struct call *call);
/* Nothing happens on a call that is not under way. Allowed in every callback, the call's own
 * included; the call may be freed right after it. */
void call_cancel(struct call *call);

/* SPDX-License-Identifier: MIT */
/*
 * The frames of a multiplexed connection (docs/PROTOCOL.md, "Frames"): encode and decode, no I/O.
 * Bytes that are decoded are hostile.
 */
#pragma once

#include "lib/buf.h"
#include "lib/exchange.h"

#define FRAME_BODY_MAX VALUE_FRAME_MAX
#define VALUE_FRAME_MAX                                                                            \
	(256 * 1024) /* the largest body a frame may carry: a page of /keys, a small value */

enum frame_type {
	FRAME_REQUEST = 1,
	FRAME_RESPONSE = 2,
	FRAME_CANCEL = 3,
	FRAME_PING = 4,
	FRAME_PONG = 5,
	FRAME_GOODBYE = 6 /* the server's last: what it has not answered it has not begun */
};
/* The body is too large for a frame: ask again over a connection of its own. The fields (HexKV-Size
 * among them) are whole. */
#define FRAME_FLAG_STREAM 0x01
/* A request with a body, which may be empty: an empty value is not the absence of one. */
#define FRAME_FLAG_BODY 0x02

#define FRAME_HEADER_SIZE 24
#define FRAME_TARGET_MAX  4096
#define FRAME_FIELDS_MAX  (64 * 1024)
/* No frame is longer. */
#define FRAME_SIZE_MAX (FRAME_HEADER_SIZE + FRAME_TARGET_MAX + FRAME_FIELDS_MAX + FRAME_BODY_MAX)

struct frame {
	enum frame_type type;
	uint8_t flags;
	uint32_t id; /* of the request, chosen by the client, unique while in flight */
	enum method method; /* requests */
	uint32_t deadline_ms; /* requests: how long the client will wait */
	uint16_t status; /* responses */
	const char *target; /* requests: path and query, not NUL-terminated */
	size_t target_len;
	struct fields fields; /* owned */
	const uint8_t *body; /* borrowed from the input */
	size_t body_len;
};

/* Appends. -EMSGSIZE if a part is over its bound, -ENOMEM; @out is then as before. */
int frame_encode(const struct frame *frame, struct buf *out);
/* 1: one frame decoded, *ret_consumed bytes used; 0: more bytes are needed; -EBADMSG: not a frame,
 * close the connection; -ENOMEM. */
int frame_decode(const uint8_t *data, size_t len, struct frame *ret_frame, size_t *ret_consumed);
void frame_deinit(struct frame *frame);

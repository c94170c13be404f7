/* SPDX-License-Identifier: MIT */
/*
 * Copies one record to a key of another shard: value, labels, mtime. A small value is held whole, a
 * larger one streams from node to node with bounded memory.
 *
 * Ownership: embedded in its user, in place from copy_start() to done() or copy_deinit(). May be
 * started again after done(). Threads: the worker's.
 */
#pragma once

#include "router/gather.h"
#include "router/pipe.h"

enum copy_result {
	COPY_DONE, /* put.status is 201 or 204 */
	COPY_SOURCE_SAYS, /* the source's node answered something else: status, fields, whole */
	COPY_DESTINATION_SAYS, /* the destination's did: put.status, put.fields, put.body */
	COPY_FAILED, /* failed_hop failed with failure */
};

struct copy {
	/* The caller's. */
	struct service *service;
	struct key source, destination;
	struct exchange *ex; /* the client's: learns that bytes move */
	const struct fields *request; /* the client's: preconditions on the source, HexKV-Ack */
	struct request_id id; /* the request's; that of the PUT follows from it and the version */
	const char *put_if_match; /* NULL: none */
	bool put_if_none; /* only if nothing is there */
	void (*done)(struct copy *, enum copy_result result);
	void *state;

	/* What was found. */
	unsigned status;
	struct fields fields;
	struct buf whole; /* a small value, or a problem */
	char etag[ETAG_BYTES_MAX];
	struct gather put;
	struct hop *failed_hop;
	enum outcome failure;

	/* Its own. */
	struct hop get;
	struct pipe pipe;
	bool streaming;
	bool get_waits, put_waits;
};

/* -ENOMEM, or 0 and done() will come. */
int copy_start(struct copy *copy);
void copy_deinit(struct copy *copy);

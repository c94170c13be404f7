/* SPDX-License-Identifier: MIT */
/*
 * The body of a client's request on its way into a call to a node: a pipe that pauses the client
 * while the node is slow, and the call while the client is.
 * Ownership: borrows exchange and call, which outlive it.
 */
#pragma once

#include "lib/call.h"
#include "router/pipe.h"

struct upload {
	struct exchange *ex;
	struct call *call;
	struct pipe pipe;
	bool ended; /* the client has sent all */
	bool client_waits;
	bool call_waits;
};

/* -ENOMEM */
int upload_init(struct upload *upload, struct exchange *ex, struct call *call);
void upload_deinit(struct upload *upload);
/* For exchange_handler.body and .end. */
size_t upload_push(struct upload *upload, const void *data, size_t len);
void upload_end(struct upload *upload);
/* For call_handler.upload. */
ssize_t upload_pull(struct upload *upload, void *data, size_t len);

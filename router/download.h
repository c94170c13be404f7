/* SPDX-License-Identifier: MIT */
/*
 * The body of a node's answer on its way to the client: a pipe that pauses the node while the
 * client is slow. Where the node breaks off, the client's connection is closed short of the
 * announced length.
 *
 * Ownership: shared by the request, until download_release(), and by the answer, until its source
 * is closed. Borrows exchange and call until download_release().
 */
#pragma once

#include "lib/call.h"
#include "router/pipe.h"

struct download {
	struct exchange *ex; /* NULL once released */
	struct call *call; /* NULL once it has ended */
	struct pipe pipe;
	unsigned references;
	bool client_waits;
	bool call_waits;
	bool ended;
};

/* -ENOMEM */
int download_new(struct exchange *ex, struct call *call, struct download **ret_download);
/* Makes @answer read from it: @length bytes. Adds the answer's reference. */
void download_attach(struct download *download, struct answer *answer, uint64_t length);
/* For call_handler.body and .done. */
size_t download_push(struct download *download, const void *data, size_t len);
void download_end(struct download *download);
/* The request is over. */
struct download *download_release(struct download *download);

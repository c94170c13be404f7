/* SPDX-License-Identifier: MIT */
/*
 * Writes in order: an older write of this mount that may still be under way somewhere never comes
 * after a newer one that was acknowledged (docs/PROTOCOL.md, Request ids).
 *
 * A write that ended without an answer leaves its id in doubt for its name. The next write of the
 * name carries the same id. If that is a repetition, the older one was applied and can't be again:
 * the new one follows with a fresh id. If not, the new one has taken the older one's place. An
 * error leaves the doubt as it is: nothing was acknowledged.
 *
 * A MOVE is begun only once nothing is in doubt about its two names. Where the request at hand
 * can't take the id, settling does, by something that changes nothing: a DELETE where there is no
 * record, and a PATCH with what is there already.
 *
 * Threads: any.
 */
#pragma once

#include "fs/remote_call.h"

/* remote_call() for a request that changes a record. */
int fence_call(struct remote *remote, struct request *request, struct http_sync_answer *ret_answer);

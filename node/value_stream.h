/* SPDX-License-Identifier: MIT */
/*
 * Sends a value that is in a file of its own: pool threads read and verify whole chunks, the answer
 * is fed from them. At most two chunks of an answer are in memory, the one being sent and the next.
 *
 * The first chunk is read before the head of the answer goes out, so that damage there is a 500;
 * damage found later closes the connection short of the announced length. When a worker has no more
 * memory for streams (SERVICE_STREAM_BYTES_MAX), the next waits a while, then it is a 429; what
 * those hold who have read nothing for a second is taken back, and read again when they go on.
 */
#pragma once

#include "node/request.h"

/* Answers with answer->stream_bytes bytes of the value from @offset on, now or later. Takes the
 * record and the content of @answer, also on failure. */
void value_stream_respond(const struct request *request, struct store_record *record,
			  uint64_t offset, struct answer *answer);

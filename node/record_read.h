/* SPDX-License-Identifier: MIT */
/*
 * Finds a record: at once if it is in memory, otherwise in a pool thread.
 *
 * Ownership: embedded; in place from record_read_start() until done(), which comes even if the
 * client is gone. Threads: the worker's.
 */
#pragma once

#include "node/request.h"

struct record_read {
	struct request request;
	struct key key;
	void (*done)(struct record_read *); /* never from inside record_read_start() */

	/* The answer: 0 and a record that the user releases, STORE_NOT_FOUND or a negative errno.
	 */
	int result;
	struct store_record record;

	struct pool_job job;
};

/* request, key and done are set. Holds the exchange until done() has returned. */
void record_read_start(struct record_read *read);

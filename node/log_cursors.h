/* SPDX-License-Identifier: MIT */
/* Where in the log readers have stopped, so that the next read need not look for the place.
 * Threads: locks itself. */
#pragma once

#include "lib/mutex.h"
#include "lib/record.h"
#include "node/wal.h"

#define LOG_CURSORS 16 /* more readers than a shard has nodes */

struct log_cursor {
	struct version after; /* what follows it begins at or behind: */
	uint64_t file_id;
	uint64_t offset;
	struct wal_mark mark; /* of the log there */
};

struct log_cursors {
	struct mutex lock;
	/* protected by lock */
	struct log_cursor items[LOG_CURSORS];
	uint64_t used[LOG_CURSORS]; /* when; 0: never */
	uint64_t now;
};

void log_cursors_init(struct log_cursors *cursors);
void log_cursors_deinit(struct log_cursors *cursors);
void log_cursors_put(struct log_cursors *cursors, const struct log_cursor *cursor);
bool log_cursors_find(struct log_cursors *cursors, struct version after,
		      struct log_cursor *ret_cursor);

/* SPDX-License-Identifier: MIT */
/*
 * The records that were written to a log file since its last successful sync. After a failed one
 * nobody knows which of them reached the disk, so they are written again from here. Threads: the
 * caller serialises.
 */
#pragma once

#include "lib/buf.h"
#include "node/wal.h"

struct wal_window_slot;

struct wal_window {
	struct wal_window_slot *slots;
	size_t count, cap;
	struct buf bytes; /* the payloads */
};

/* Copies. 0 or -ENOMEM. */
int wal_window_add(struct wal_window *window, const struct wal_record *record);
/* Borrowed until the window changes. */
struct wal_record wal_window_get(const struct wal_window *window, size_t index);
void wal_window_clear(struct wal_window *window);
/* Drops the records that begin behind @position. */
void wal_window_cut(struct wal_window *window, uint64_t position);
void wal_window_deinit(struct wal_window *window);

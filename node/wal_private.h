/* SPDX-License-Identifier: MIT */
/* What node/wal*.c share: the writer, opening, and what other threads ask for. */
#pragma once

#include "node/wal_files.h"
#include "node/wal_recovery.h"
#include "node/wal_window.h"

/* A log file that is written. */
struct wal_writer {
	struct vfs_file *file;
	uint64_t id;
	uint64_t capacity; /* preallocated */
	uint64_t end;
};

struct wal {
	/* immutable after open */
	struct vfs *vfs;
	char *dir;
	uint8_t store_id[16];
	uint64_t file_bytes;

	/* owned by the appending thread */
	struct wal_writer writer;
	uint64_t synced; /* of writer */
	struct wal_mark synced_mark, last;
	uint64_t last_id;
	bool broken;
	bool syncing; /* between wal_sync_begin() and wal_sync_end() */
	/* Records behind synced: those that a sync is under way for, or has failed for, and those
	 * behind them. */
	struct wal_window older, window;

	struct wal_files files; /* locks itself */
};

int wal_new(const struct wal_options *options, struct wal **ret_wal);
int wal_sync_dir(struct wal *wal);
/* A durable file behind @base, without records, and no predecessor. */
int wal_begin_at(struct wal *wal, struct wal_mark base, int64_t now_ns);

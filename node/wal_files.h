/* SPDX-License-Identifier: MIT */
/*
 * The files of a log that count, what of them is on stable storage, and who still needs them: what
 * the appending thread tells those that read and trim. Threads: locks itself; nothing is read or
 * written under the lock.
 */
#pragma once

#include "lib/mutex.h"
#include "node/wal.h"

struct wal_file_info {
	uint64_t id;
	uint64_t bytes; /* that count */
	uint64_t synced; /* of them: on stable storage */
	uint64_t weight; /* of value files */
	struct wal_mark base; /* of the last record before it */
	uint64_t last_position; /* of its entries, or before it if it has none */
	int64_t last_time_ns;
};

struct wal_pin {
	uint64_t position;
	bool yields; /* beyond wal_keep.hold_bytes */
	struct wal_pin *before, *after;
};

struct wal_files {
	struct mutex lock;
	/* protected by lock */
	struct wal_file_info *items; /* oldest first; the last one is written */
	size_t count, cap;
	struct wal_mark synced; /* of the last record that is on stable storage */
	struct wal_pin *pins;
};

void wal_files_init(struct wal_files *files);
void wal_files_deinit(struct wal_files *files);
/* All of it is on stable storage, and @synced is its last record. 0 or -ENOMEM. */
int wal_files_add(struct wal_files *files, const struct wal_file_info *info,
		  struct wal_mark synced);
/* The last file has got records up to @bytes; none of them is known to be synced. */
void wal_files_note_grown(struct wal_files *files, uint64_t bytes, uint64_t last_position,
			  int64_t time_ns);
void wal_files_note_synced(struct wal_files *files, uint64_t bytes, struct wal_mark mark);
/* The last file ends where it was synced, at @last_position: the rest does not count. */
void wal_files_cut_last(struct wal_files *files, uint64_t last_position);

/* Takes the oldest file off the list if it may go (wal_trim()). */
bool wal_files_take_victim(struct wal_files *files, uint64_t position, const struct wal_keep *keep,
			   struct wal_file_info *ret_victim);

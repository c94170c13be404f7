/* SPDX-License-Identifier: MIT */
/*
 * Write-ahead log: files log/NNNNNNNN.wal of checksummed records, each a group of entries
 * (docs/FORMAT.md, "Log"). Only what has been synced is promised; every record says up to which
 * offset its file was synced when it was written, so that recovery can tell damage (below it:
 * refuse) from a torn tail (above it: cut to a prefix).
 *
 * Threads: one thread appends and syncs; any number read what is synced.
 */
#pragma once

#include "node/entry.h"
#include "node/vfs.h"

struct wal;

#define WAL_RECORD_BYTES_MAX (4 * 1024 * 1024)

struct wal_options {
	struct vfs *vfs;
	const char *dir; /* the data directory; log/ is made in it */
	uint8_t store_id[16];
	uint64_t file_bytes; /* preallocated; a record that does not fit begins a new file */
};

struct wal_record {
	uint64_t epoch;
	uint64_t first_sequence;
	uint64_t first_position;
	uint32_t count;
	const uint8_t *payload; /* count encoded entries; borrowed */
	size_t payload_len;
	uint64_t file_id; /* where it stands */
	uint64_t offset;
};

/* Reads all files in order and calls @replay for each record (a non-zero return stops and is
 * returned). Truncates a torn tail, then begins a new file, which names its predecessor. -EBADMSG
 * and a sentence in @ret_why (to be freed) if something that was promised is damaged or missing. */
int wal_open(const struct wal_options *options,
	     int (*replay)(const struct wal_record *record, void *state), void *state,
	     struct wal **ret_wal, char **ret_why);
/* Appends one record; not durable before wal_sync(). On failure nothing of it will be recovered
 * once a later append or sync succeeded. */
int wal_append(struct wal *wal, uint64_t epoch, uint64_t first_sequence, uint64_t first_position,
	       uint32_t count, const void *payload, size_t payload_len);
/* 0: all that was appended is on stable storage. After a failure the file is given up: wal_reopen()
 * must succeed before the next append. */
int wal_sync(struct wal *wal);
/* After a failed append or sync: writes everything since the last successful sync to a new file and
 * syncs it. */
int wal_reopen(struct wal *wal);
/* Deletes whole files whose entries all have positions <= @position, oldest first, never the one
 * that is written. @dropped is told each file id. */
int wal_trim(struct wal *wal, uint64_t position, uint64_t keep_bytes, int64_t keep_after_ns,
	     void (*dropped)(uint64_t file_id, void *state), void *state);
/* Syncs, writes the clean-close mark and frees. */
struct wal *wal_close(struct wal *wal);
/* As after a crash: frees, writes nothing. */
struct wal *wal_abandon(struct wal *wal);
uint64_t wal_bytes(const struct wal *wal);
unsigned wal_files(const struct wal *wal);
uint64_t wal_current_file(const struct wal *wal);

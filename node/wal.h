/* SPDX-License-Identifier: MIT */
/*
 * Write-ahead log: files log/NNNNNNNN.wal of checksummed records, each a group of entries
 * (docs/FORMAT.md, "Log"). Only what has been synced is promised; every record says up to which
 * offset its file was synced when it was written, so that recovery can tell damage (below it:
 * refuse) from a torn tail (above it: cut to a prefix).
 *
 * Every record is of one of three kinds. An ordinary one holds entries whose versions follow the
 * log's last one. A repair (WAL_REPAIR) holds entries with versions of their own and leaves epoch
 * and sequence of the log as they are. A reset (WAL_RESET) holds none and takes the log back to an
 * earlier version: what was logged behind that one counts no longer as this store's history.
 *
 * Threads: one thread at a time appends, syncs and reopens; trimming, pins, sizes, counts and what
 * is synced from any thread.
 */
#pragma once

#include "node/entry.h"
#include "node/vfs.h"
#include "node/wal_format.h"

struct wal;

#define WAL_RECORD_BYTES_MAX WAL_PAYLOAD_BYTES_MAX

struct wal_options {
	struct vfs *vfs;
	const char *dir; /* the data directory; log/ is made in it */
	uint8_t store_id[16];
	uint64_t file_bytes; /* preallocated; a record that does not fit begins a new file */
	uint64_t flushed_position; /* segments hold everything up to here: the log must reach back
				      to it */
	uint64_t known_file; /* struct standing: it is damaged if it does not get there */
	uint64_t known_position;
	int64_t now_ns;
};

struct wal_record {
	uint16_t flags; /* 0, WAL_REPAIR or WAL_RESET */
	uint64_t epoch;
	uint64_t first_sequence; /* WAL_REPAIR: the next one; WAL_RESET: behind the one it goes back
				    to */
	uint64_t first_position;
	uint32_t count; /* WAL_RESET: 0 */
	int64_t time_ns;
	const uint8_t *payload; /* count encoded entries; borrowed */
	size_t payload_len;
	uint64_t file_id; /* where it stands */
	uint64_t offset;
};

/* Where the log stands behind a record. */
struct wal_mark {
	uint64_t position;
	uint64_t epoch; /* with sequence: version of the last entry that is this store's history */
	uint64_t sequence;
};

/* Moves @mark behind @record, if it continues the log there. */
bool wal_mark_advance(struct wal_mark *mark, const struct wal_record *record);

typedef int (*wal_replay_fn)(const struct wal_record *record, void *state);

/* Verifies all files, then begins a new one, which names its predecessor and holds what of it was
 * never promised; then calls @replay for each record in order: all of them are on stable storage. A
 * non-zero return of @replay stops and is returned. -EBADMSG and a sentence in @ret_why (to be
 * freed) if something that was promised is damaged or missing. */
int wal_open(const struct wal_options *options, wal_replay_fn replay, void *state,
	     struct wal **ret_wal, char **ret_why);
/* As wal_open() without the new file: changes nothing. */
int wal_verify(const struct wal_options *options, wal_replay_fn replay, void *state,
	       struct wal_mark *ret_end, char **ret_why);

#define WAL_FIRST_FILE 1 /* id of the one that wal_create() makes */
/* Makes the log of a directory that has none: it is empty and stands at @base, as if all before it
 * had been trimmed. Durable when it returns 0, but for the name log/ in the directory. */
int wal_create(const struct wal_options *options, struct wal_mark base);

/* Appends one record; not durable before wal_sync(). After a failure it is as if it had not been
 * called, or wal_is_broken(). */
int wal_append(struct wal *wal, const struct wal_record *record);
/* Whether a record goes into the current file. */
bool wal_fits(const struct wal *wal, size_t payload_len);
/* 0: all that was appended is on stable storage. A failure breaks the file. */
int wal_sync(struct wal *wal);

/* What a sync is for. */
struct wal_sync {
	struct vfs_file *file;
	uint64_t end;
	struct wal_mark mark;
};

/* wal_sync() in three steps. In the second one other threads may use the log, too, as long as they
 * append nothing but what fits, and neither sync, nor reopen, nor go on in a new file. The first
 * says WAL_TO_SYNC; 0: there is nothing to sync. */
int wal_sync_begin(struct wal *wal, struct wal_sync *ret_sync);
int wal_sync_run(const struct wal_sync *sync);
int wal_sync_end(struct wal *wal, const struct wal_sync *sync, int result);
/* Bytes of records that wal_sync() would sync. */
size_t wal_unsynced(const struct wal *wal);
/* The current file is given up: it may or may not hold what was written last. wal_reopen() must
 * succeed before the next append. */
bool wal_is_broken(const struct wal *wal);
/* Writes the records since the last successful sync that reach up to @position, and no others, to a
 * new file and syncs it: later ones will never be recovered. */
int wal_reopen(struct wal *wal, uint64_t position, int64_t now_ns);

/* Goes on in a new file, so that the current one can be trimmed. Fails like wal_append(). */
int wal_rotate(struct wal *wal, int64_t now_ns);
/* All of the log is on stable storage and held by segments, so it is given up: it begins anew in a
 * file without a predecessor, as if all up to (@epoch, the sequence behind the last) had been
 * trimmed. What is still there of the old files can be trimmed, and must not be read on from. Fails
 * like wal_append(). */
int wal_restart(struct wal *wal, uint64_t epoch, int64_t now_ns);
/* Adds to the weight of file @file_id in wal_trim(): value files that its entries refer to. */
void wal_add_weight(struct wal *wal, uint64_t file_id, uint64_t bytes);

/* What stays for those who read the log: the oldest file goes if it ends before @after_ns, or if
 * all together weigh more than @bytes; but what ends from @spare_from_ns to @spare_to_ns may weigh
 * @spare_bytes, and what is held @hold_bytes. */
struct wal_keep {
	uint64_t bytes;
	uint64_t hold_bytes;
	int64_t after_ns;
	uint64_t spare_bytes;
	int64_t spare_from_ns, spare_to_ns;
	uint64_t useless_file; /* no reader gets past it: unless they are pinned, files go up to it
				* whatever else is said */
};

/* Deletes whole files whose entries all have positions <= @position, oldest first, never the one
 * that is written, as @keep says. @dropped is told up to which position entries are gone. */
int wal_trim(struct wal *wal, uint64_t position, const struct wal_keep *keep,
	     void (*dropped)(uint64_t position, void *state), void *state);

/* What trimming could not delete goes, and stays away: 0 if so. */
int wal_sweep(struct wal *wal);

struct wal_pin;
/* Entries behind @position are not trimmed until wal_unpin(). 0, WAL_TRIMMED (some are gone) or
 * -ENOMEM. */
int wal_pin(struct wal *wal, uint64_t position, struct wal_pin **ret_pin);
/* As wal_pin(), of what whoever has all up to @sequence reads, by whole files; but it only holds:
 * wal_keep.hold_bytes is its bound. One that there is in @pin already moves; after a failure it is
 * where it was. */
int wal_hold(struct wal *wal, uint64_t sequence, struct wal_pin **pin);
/* From now on it only holds. */
void wal_pin_yield(struct wal *wal, struct wal_pin *pin);
/* Whether it has yielded: some of what is behind it is gone. */
bool wal_pin_is_broken(struct wal *wal, const struct wal_pin *pin);
/* Returns NULL; NULL-safe. */
struct wal_pin *wal_unpin(struct wal *wal, struct wal_pin *pin);

enum wal_result { WAL_TRIMMED = 1, WAL_TO_SYNC };

/* What of one file is on stable storage. */
struct wal_extent {
	uint64_t file_id;
	struct wal_mark base; /* of the last record before it */
	uint64_t bytes;
};

/* The files as they are now, oldest first (to be freed), and where the log stands behind the last
 * record in them. 0 or -ENOMEM. What they hold does not change any more, but a file may be
 * trimmed at any time. */
int wal_extents(struct wal *wal, struct wal_extent **ret_extents, size_t *ret_count,
		struct wal_mark *ret_synced);
struct wal_mark wal_synced(struct wal *wal);

/* Syncs and writes the clean-close mark: nothing may be appended then. */
int wal_finish(struct wal *wal);
/* The same, if that is possible, and frees. */
struct wal *wal_close(struct wal *wal);
/* As after a crash: frees, writes nothing. */
struct wal *wal_abandon(struct wal *wal);
uint64_t wal_bytes(struct wal *wal);
unsigned wal_files(struct wal *wal);
uint64_t wal_current_file(struct wal *wal);
/* Behind the last record. */
struct wal_mark wal_last(const struct wal *wal);

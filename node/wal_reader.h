/* SPDX-License-Identifier: MIT */
/*
 * Reads one log file, record by record. Ownership: a record borrows the reader's buffer until the
 * next call. Threads: one at a time.
 */
#pragma once

#include "lib/buf.h"
#include "node/wal.h"

struct wal_reader {
	struct vfs_file *file;
	uint8_t store_id[16];
	uint64_t file_id;
	uint64_t file_bytes;
	uint64_t offset; /* of the next record; where reading stopped once next() said 0 */
	struct buf window; /* bytes of the file from window_offset on */
	uint64_t window_offset;
};

struct wal_reader_record {
	struct wal_record_header header;
	uint64_t offset;
	const uint8_t *payload;
};

int wal_reader_open(struct wal_reader *reader, struct vfs *vfs, const char *dir,
		    const uint8_t store_id[16], uint64_t file_id);
void wal_reader_close(struct wal_reader *reader);
/* -EBADMSG: no valid header; -EPROTONOSUPPORT: a later format. */
int wal_reader_header(struct wal_reader *reader, struct wal_file_header *ret_header);
/* 1: a record; 0: what stands at reader->offset is not a whole, valid record; negative errno: it
 * can't be read. */
int wal_reader_next(struct wal_reader *reader, struct wal_reader_record *ret_record);
/* It borrows as @from does. */
struct wal_record wal_reader_to_record(const struct wal_reader *reader,
				       const struct wal_reader_record *from);
/*
 * Whether what stands at or behind @offset was once promised to be there: some record further on
 * says that the file was synced beyond @offset. 1 promised (*ret_by: the offset of that record), 0
 * not, negative errno.
 */
int wal_reader_is_promised(struct wal_reader *reader, uint64_t offset, uint64_t *ret_by);

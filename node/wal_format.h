/* SPDX-License-Identifier: MIT */
/*
 * Headers of log files and log records as bytes (docs/FORMAT.md, "Log"). Pure functions: the bytes
 * may come from a broken disk, so decoding checks everything that the header alone can tell.
 */
#pragma once

#include "lib/hash.h"

#include <stddef.h>
#include <stdint.h>

#define WAL_FORMAT_VERSION      1
#define WAL_FILE_HEADER_BYTES   512 /* a sector of its own */
#define WAL_RECORD_HEADER_BYTES 80
#define WAL_ALIGN               8 /* records begin at multiples of it */
#define WAL_PAYLOAD_BYTES_MAX   (4 * 1024 * 1024)

struct wal_file_header {
	uint8_t store_id[16];
	uint64_t file_id;
	uint64_t predecessor_id; /* 0: the first file */
	uint64_t predecessor_bytes; /* so far it holds; what stands behind does not count */
	uint64_t base_position; /* of the last record before this file */
	uint64_t base_epoch;
	uint64_t base_sequence;
	int64_t time_ns;
};

enum wal_record_flag {
	WAL_CLEAN_CLOSE = 1, /* no payload: all before it is synced and nothing follows */
	WAL_REPAIR = 2, /* entries with versions of their own: epoch and sequence stay */
	WAL_RESET = 4, /* no payload: the log stands at (epoch, first_sequence - 1) again */
};

struct wal_record_header {
	uint32_t payload_len;
	uint16_t flags;
	uint32_t count;
	uint64_t epoch;
	uint64_t first_sequence;
	uint64_t first_position;
	uint64_t synced; /* the file was synced up to here when the record was written */
	int64_t time_ns;
	struct hash128 payload_hash;
};

/* Keys of the header hashes: a record that stands in another file, at another offset or in another
 * store's log is not valid. */
uint64_t wal_seed(const uint8_t store_id[16], uint64_t file_id, uint64_t offset);

void wal_file_header_encode(const struct wal_file_header *header,
			    uint8_t out[WAL_FILE_HEADER_BYTES]);
/* 0; -EBADMSG: no valid header of that file id; -EPROTONOSUPPORT: a later format. */
int wal_file_header_decode(const uint8_t in[WAL_FILE_HEADER_BYTES], uint64_t file_id,
			   struct wal_file_header *ret_header);
void wal_record_header_encode(const struct wal_record_header *header, uint64_t seed,
			      uint8_t out[WAL_RECORD_HEADER_BYTES]);
/* 0 or -EBADMSG. */
int wal_record_header_decode(const uint8_t in[WAL_RECORD_HEADER_BYTES], uint64_t seed,
			     struct wal_record_header *ret_header);

static inline uint64_t wal_record_bytes(size_t payload_len)
{
	return (WAL_RECORD_HEADER_BYTES + (uint64_t)payload_len + WAL_ALIGN - 1) &
	       ~(uint64_t)(WAL_ALIGN - 1);
}

/* "NNNNNNNN.wal", hex; 0 if @name is not one. */
uint64_t wal_file_id_parse(const char *name);
/* @dir/log/NNNNNNNN.wal, to be freed; NULL if memory is out. */
char *wal_file_path(const char *dir, uint64_t file_id);

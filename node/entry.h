/* SPDX-License-Identifier: MIT */
/*
 * One version of one record, as the log, the memtable and the segments hold it. One encoding serves
 * all of them (docs/FORMAT.md, "Entry").
 *
 * Ownership: an entry borrows its key, labels and value from the bytes it was decoded from or set
 * up with.
 */
#pragma once

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/object.h"
#include "lib/record.h"

enum entry_kind {
	ENTRY_INLINE = 1, /* value bytes follow */
	ENTRY_FILE = 2, /* the value is in value file file_id */
	ENTRY_TOMBSTONE = 3,
};

struct entry {
	enum entry_kind kind;
	bool utf8; /* the value is valid UTF-8 */
	bool replaced; /* there was a record before: the first answer of a repeated request */
	const uint8_t *key;
	uint8_t key_len;
	uint64_t position; /* local apply position: orders entries inside a store */
	struct version version;
	int64_t mtime_ns;
	struct request_id request_id; /* of the write */
	/* The rest is 0 or NULL in a tombstone. */
	const char *content_type; /* not NUL-terminated */
	const char *encoding;
	uint8_t content_type_len;
	uint8_t encoding_len;
	uint64_t size_bytes;
	struct hash128 hash;
	const uint8_t *value; /* ENTRY_INLINE */
	uint64_t file_id; /* ENTRY_FILE */
};

int entry_encode(const struct entry *entry, struct buf *out);
/* 0 or -EBADMSG. Reads exactly one entry. */
int entry_decode(struct bytes_reader *reader, struct entry *ret_entry);
/* As entry_decode(), but an inline value does not follow: it is left NULL. */
int entry_decode_head(struct bytes_reader *reader, struct entry *ret_entry);
/* Only what ordering needs: kind, key and key_len of an encoded entry; the rest is left alone.
 * false: damaged. */
bool entry_peek(const uint8_t *data, size_t len, struct entry *ret_entry);
/* What entry_encode() would append. */
size_t entry_encoded_size(const struct entry *entry);
void entry_to_meta(const struct entry *entry, struct record_meta *ret_meta);

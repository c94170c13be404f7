/* SPDX-License-Identifier: MIT */
/*
 * The lists in messages between nodes (docs/PROTOCOL.md, "Replication"): epochs, records, keys,
 * what was found, files. Bytes that are read are hostile: an item that is not whole, or whose sum
 * does not fit, ends the list.
 *
 * Ownership: what is read borrows from the list's bytes. Errors: -ENOMEM, and -EINVAL for a name
 * that no file can have; the buffer is then as before. Threads: pure functions.
 */
#pragma once

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/record.h"
#include "node/history.h"
#include "node/log_read.h"

#define REPLICA_NAME_MAX 255 /* of a file of a checkpoint, its directory included */

/* Encoded items, one behind the other: replica_next_...() reads them, replica_append_...() writes
 * them. */
struct replica_items {
	const uint8_t *data;
	size_t len;
	uint32_t count;
};

int replica_append_epoch(struct buf *out, const struct history_epoch *epoch);
int replica_append_record(struct buf *out, const struct shipped_record *record);
int replica_append_key(struct buf *out, const uint8_t *key, uint8_t len);
/* @entry encoded; NULL: there is no such record. */
int replica_append_found(struct buf *out, const uint8_t *entry, size_t len);
int replica_append_file(struct buf *out, const char *name, uint64_t size_bytes);

/* Each takes one item off the front; false: there is none left. */
bool replica_next_epoch(struct replica_items *items, struct history_epoch *ret_epoch);
bool replica_next_record(struct replica_items *items, struct shipped_record *ret_record);
bool replica_next_key(struct replica_items *items, struct key *ret_key);
/* *ret_entry NULL: there is no such record. */
bool replica_next_found(struct replica_items *items, const uint8_t **ret_entry, size_t *ret_len);
/* The name is a relative path of letters, digits, '.', '_' and '-' without "." or ".." in it;
 * @ret_name has room for REPLICA_NAME_MAX + 1. */
bool replica_next_file(struct replica_items *items, char *ret_name, uint64_t *ret_size);

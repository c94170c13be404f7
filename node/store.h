/* SPDX-License-Identifier: MIT */
/*
 * The store: one node's records. It joins log, merge tree and value files, assigns versions,
 * evaluates preconditions atomically, and repeats the answer of a request id it has seen.
 *
 * Writes go through one commit thread in the order they were submitted: check the request id,
 * evaluate, append the group to the log, sync if one of them wants it, apply, answer (group
 * commit). Threads: everything from any thread unless said otherwise.
 */
#pragma once

#include "lib/cluster.h"
#include "lib/object.h"
#include "node/lsm.h"
#include "node/value_pins.h"

struct store;

struct store_options {
	struct vfs *vfs;
	const char *dir;
	const char *cluster; /* cluster and node name: a directory of others is refused */
	const char *node;
	uint16_t node_id;
	uint64_t memtable_bytes;
	uint64_t cache_bytes;
	uint64_t inline_bytes; /* values up to this size are stored inline */
	uint64_t log_retain_bytes; /* log and value files kept behind the flush */
	uint32_t log_retain_s;
	uint32_t keep_old_s; /* value_pins_keep_old(), if this is not its first start */
	bool threads; /* false (simulations): store_submit() commits before it returns */
	int64_t (*realtime_ns)(void); /* NULL: clock_realtime_ns */
};

/* Opens or creates; replays the log; begins a new epoch and makes it durable. On failure @ret_why
 * (to be freed) is a sentence. -EBUSY: another process has it; -EPERM: it belongs to another
 * cluster or node; -EBADMSG: damaged. */
int store_open(const struct store_options *options, struct store **ret_store, char **ret_why);
/* All submitted writes are answered first; syncs the log and writes the clean-close mark. */
struct store *store_close(struct store *store);

enum store_result { STORE_NOT_FOUND = 1 };

/* A record that stays readable, on its version, until it is released. */
struct store_record {
	struct record_meta meta;
	struct lsm_entry held;
};

/* 0, STORE_NOT_FOUND, -EAGAIN with VFS_NOWAIT, or a negative errno. */
int store_get(struct store *store, const struct key *key, unsigned flags,
	      struct store_record *ret_record);
/* The value's bytes if it is inline, NULL if it is in a file: then
 * value_file_read_chunk(record->held.file, ...). */
const uint8_t *store_record_inline(const struct store_record *record);
void store_record_release(struct store_record *record);

/* Keeps this version readable for @seconds, whatever happens to the record (node/value_pins): 0 and
 * in @ret_token (to be freed) what store_get_pinned() needs. -ENOENT: its value is inline, or it is
 * not kept any longer. -ENOMEM. */
int store_pin(struct store *store, const struct store_record *record, uint32_t seconds,
	      char **ret_token);
/* The version that @token of @key names, if it is still there. 0, STORE_NOT_FOUND or -ENOMEM. */
int store_get_pinned(struct store *store, const struct key *key, const char *token,
		     struct store_record *ret_record);

/* As lsm_list(). */
int store_list(struct store *store, const struct key *after, size_t limit,
	       int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	       struct key *ret_last);

enum write_kind {
	WRITE_PUT,
	WRITE_PATCH, /* content_type, encoding, mtime of an existing record */
	WRITE_DELETE,
	WRITE_MOVE, /* key -> destination, both in this store, in one log record */
	WRITE_BARRIER, /* changes nothing: answered once everything before it is on stable storage
			*/
};

/*
 * One write. Belongs to the store from store_submit() until done() is called.
 * PUT: labels are taken from the request; has_content_type/has_encoding false means the defaults.
 * The value is inline (value, value_len <= inline_bytes) or a finished value file (one reference,
 * taken by the store), with size, hash and utf8 from its writer.
 */
struct store_write {
	enum write_kind kind;
	struct key key;
	struct object_request request; /* precondition, labels, mtime, durability, request id,
					  overwrite, destination */
	const void *value; /* borrowed until done() */
	size_t value_len;
	struct value_file *file;
	uint64_t file_size;
	struct hash128 file_hash;
	bool file_utf8;

	/* The answer. CREATED, NO_CONTENT (replaced, patched, deleted, moved over), NOT_FOUND,
	 * PRECONDITION_FAILED, FORBIDDEN (MOVE onto itself), NO_SPACE, INTERNAL, UNAVAILABLE
	 * (closing, or the log can't be written). */
	enum outcome outcome;
	bool maybe_applied; /* on a failure */
	bool repeated; /* what is answered was applied before, perhaps by another write under its
			  id: this one has changed nothing. @meta is all zero if that was a DELETE
			*/
	struct record_meta
		meta; /* of the record as it is now (PUT, PATCH, MOVE: the destination) */
	struct version point; /* on a success, and of every barrier: whoever has passed this
				 sequence in this epoch's log has what the answer speaks of, also
				 where it was applied by an earlier write */

	/* In the commit thread: must not block. */
	void (*done)(struct store_write *);
	void *state; /* the caller's */
	struct store_write *next; /* the store's */
};

void store_submit(struct store *store, struct store_write *write);
/* A chain linked by next, in order; one group if it fits. */
void store_submit_batch(struct store *store, struct store_write *writes);

/* A value could not be taken in for lack of space: what is kept without need goes soon. */
void store_want_room(struct store *store);

/* Whether a write with this id was applied to @key and is still remembered: store_submit() would
 * repeat its answer. Before an answer is given that rests on a record as it is now. */
bool store_knows_request(struct store *store, const struct request_id *id, const struct key *key);

struct value_files *store_values(struct store *store);

struct store_stats {
	struct lsm_stats lsm;
	char store_id[33];
	struct version last; /* newest version assigned */
	uint64_t position; /* apply position */
	uint64_t flushed_position;
	uint64_t log_bytes, log_files, log_syncs, log_records, log_entries;
	uint64_t value_bytes;
	struct value_pins_stats pins;
	uint64_t space_free, space_total; /* of the file system; refreshed at most once a second */
	bool full; /* puts are refused with NO_SPACE */
	bool failed; /* the log can't be written: nothing is acknowledged */
};
void store_stats(struct store *store, struct store_stats *ret_stats);

/* Offline: verifies every byte of a closed data directory. 0 sound, 1 faults (each was given to
 * @problem), negative errno. */
int store_check(struct vfs *vfs, const char *dir,
		void (*problem)(const char *sentence, void *state), void *state);

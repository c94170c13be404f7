/* SPDX-License-Identifier: MIT */
/*
 * The store: one node's records. It joins log, merge tree and value files, assigns versions,
 * evaluates preconditions atomically, and repeats the answer of a request id it has seen.
 *
 * Writes go through one commit thread in the order they were submitted: check the request id,
 * evaluate, append the group to the log, sync if one of them wants it, apply, answer (group
 * commit).
 *
 * A store is opened idle: it reads, but takes writes only while it leads. Who leads is decided
 * elsewhere; the store sees to it that what was decided is durable before it is acted on.
 *
 * Threads: everything from any thread unless said otherwise.
 */
#pragma once

#include "lib/cluster.h"
#include "lib/object.h"
#include "node/history.h"
#include "node/lsm.h"
#include "node/value_pins.h"

struct store;

struct store_options {
	struct vfs *vfs;
	const char *dir;
	const char *cluster; /* cluster and node name: a directory of others is refused */
	const char *node;
	uint64_t memtable_bytes;
	uint64_t cache_bytes;
	uint64_t inline_bytes; /* values up to this size are stored inline */
	uint64_t log_retain_bytes; /* log and value files kept behind the flush */
	uint32_t log_retain_s;
	/* What is so young is kept beyond the bytes while the disk has far more room; 0: nothing
	 * is.
	 */
	uint32_t log_spare_s;
	/* What is held for others may weigh so much (wal_hold()), while the disk has twice as much
	 * free; 0: as much as there is. */
	uint64_t log_hold_bytes;
	uint32_t keep_old_s; /* value_pins_keep_old(), if this is not its first start */
	bool keeps_deletions; /* as lsm_options: there are other nodes that must hear of them */
	bool threads; /* false (simulations): store_submit() commits before it returns */
	int64_t (*realtime_ns)(void); /* NULL: clock_realtime_ns */
};

/* Opens or creates; replays the log. It is STORE_IDLE then. On failure @ret_why (to be freed) is a
 * sentence. -EBUSY: another process has it; -EPERM: it belongs to another
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
/* As above, but a tombstone that is still there is found, too. lsm_entry_release(). */
int store_get_entry(struct store *store, const struct key *key, unsigned flags,
		    struct lsm_entry *ret_entry);
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

/* As lsm_scan(). */
int store_scan(struct store *store, const struct key *after, size_t limit,
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
	 * PRECONDITION_FAILED, FORBIDDEN (MOVE onto itself), NO_SPACE, INTERNAL, MISDIRECTED (this
	 * store does not lead), UNAVAILABLE (closing, or the log can't be written). */
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

	/* In the commit thread, or in the submitter's: must not block. */
	void (*done)(struct store_write *);
	void *state; /* the caller's */
	struct store_write *next; /* the store's */
	bool back; /* the store's: what it replaces was looked up before */
	uint64_t leads; /* the store's, if back: how often it had begun to lead by then */
};

void store_submit(struct store *store, struct store_write *write);
/* As store_submit(), for a thread that may wait: returns once the write is answered; done and state
 * are not used. If nobody else is at it the write is committed in this thread, which spares it the
 * way to another one and back. */
void store_commit(struct store *store, struct store_write *write);
/* A chain linked by next, in order; one group if it fits. */
void store_submit_batch(struct store *store, struct store_write *writes);

/* A value could not be taken in for lack of space: what is kept without need goes soon. */
void store_want_room(struct store *store);

/* Whether a write with this id was applied to @key and is still remembered: store_submit() would
 * repeat its answer. Before an answer is given that rests on a record as it is now. */
bool store_knows_request(struct store *store, const struct request_id *id, const struct key *key);

struct value_files *store_values(struct store *store);

enum store_role {
	STORE_IDLE, /* as it was opened */
	STORE_LEADING,
	STORE_PAUSED, /* it leads, but writes wait */
	STORE_FOLLOWING,
};

/* Raises the promise, durably: from now on @epoch is the highest accepted, and its node leads. 0
 * also if it is the promise already; -ESTALE: the promise is higher. A store that leads follows
 * from then on, one that is paused may not resume. */
int store_promise(struct store *store, uint64_t epoch);
/* Begins @epoch, which must be the promise, and takes writes. A store without a lineage gets
 * @if_none. Everything in the log is on stable storage and applied then. If records are ahead of
 * the log, that begins anew (node/store_renew.c); -EBUSY: somebody keeps the old one. -EINVAL: it
 * leads already, or @epoch is not the promise or not later than all in the history; others: the
 * disk. */
int store_lead(struct store *store, uint64_t epoch, const struct lineage *if_none);
/* Leads in the next epoch of node @node_id, as one may that knows of no other that does. */
int store_lead_next(struct store *store, uint16_t node_id);
/* Writes are refused from now on, those that wait too. When it returns none is under way. */
int store_follow(struct store *store);

/* Waits until all that is in the log is on stable storage, so that nothing which nobody has
 * acknowledged yet comes to be part of it later. 0, or what the disk says. */
int store_settle(struct store *store);

struct store_pause {
	int result; /* 0: no write is under way, and all is on stable storage. -EPERM: it does not
		       lead; -ECANCELED: it does not pause any more; others: the log */
	/* In the commit thread, or from inside store_pause(): must not block. Comes once, also
	 * after a failure and after store_resume(). */
	void (*done)(struct store_pause *);
	void *state; /* the caller's */
};

/* Writes wait until store_resume() or store_follow(). @pause belongs to the store until done(). */
void store_pause(struct store *store, struct store_pause *pause);
void store_resume(struct store *store);
/* It has held all that its leader had: durable. */
int store_set_whole(struct store *store);
/* With keeps_deletions: every other node of the shard has all up to @point on stable storage. Until
 * then a deletion leaves its tombstone, as it may have to be set aside. Any thread. */
void store_deletions_are_known(struct store *store, struct version point);
/* It is not whole until its log comes to @ahead of its leader's: some of its records are as they
 * were there. Sequence -1: nobody knows yet where. Durable. */
int store_set_ahead(struct store *store, struct version ahead);

/* Makes the history, as far as this store's log has come (to its end and one further), that of
 * another node: durable. -EINVAL: the log's end is not in it, or it is of another lineage and this
 * store is not empty; -EPERM: this store leads; -EBADMSG: no history looks like this. */
int store_adopt_history(struct store *store, const struct lineage *lineage,
			const struct history_epoch *epochs, size_t count);
/* To be deinitialised. 0 or -ENOMEM. */
int store_history(struct store *store, struct history *ret_copy);

struct store_standing {
	enum store_role role;
	uint64_t epoch; /* in which it leads; otherwise the newest one in its history */
	uint64_t promise;
	struct lineage lineage;
	struct version end; /* of the last entry in its history; {0, 0}: none yet */
	struct version synced; /* of the last one on stable storage */
	struct version log_begin; /* entries behind this one are in the log */
	bool empty; /* it never held anything */
	bool whole; /* it has held all that its leader had */
	struct version ahead; /* store_set_ahead(); {0, 0}: nothing is ahead of the log */
	uint64_t opened; /* so often */
	uint8_t store_id[16];
};

/* -ENOMEM. */
int store_standing(struct store *store, struct store_standing *ret_standing);

struct store_stats {
	struct lsm_stats lsm;
	char store_id[33];
	struct version last; /* of the last entry in its history */
	uint64_t position; /* apply position */
	uint64_t flushed_position;
	uint64_t log_bytes, log_files, log_syncs, log_records, log_entries;
	uint64_t log_damages; /* places in it that could not be read */
	uint64_t damaged_log_file, damaged_log_offset; /* of the last one; 0: all can be read */
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

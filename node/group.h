/* SPDX-License-Identifier: MIT */
/*
 * The writes that are committed together. group_add() evaluates one write after the other, each
 * against the store as the writes before it in the group will leave it, and turns it into entries;
 * nothing shows until the caller has made them durable and applied them.
 *
 * Ownership: entries borrow from the writes and from records that the group holds until
 * group_reset(). Threads: one at a time.
 */
#pragma once

#include "node/dead_values.h"
#include "node/request_ids.h"
#include "node/store.h"

#define GROUP_PAYLOAD_BYTES (1024 * 1024)
#define GROUP_ENTRIES_MAX   4096
#define GROUP_BUCKETS       1024

/* What the next write is evaluated against. */
struct group_base {
	struct lsm *lsm;
	struct request_ids *ids;
	struct version next; /* version and position of the group's first entry */
	uint64_t next_position;
	int64_t now_ns;
	bool full; /* only deletes are accepted */
	bool waits; /* for the disk, if what is replaced must be read from there */
};

struct group_write {
	struct store_write *write;
	uint32_t first_entry;
	uint32_t entry_count; /* 0: it changes nothing */
	uint32_t repeats; /* index of the write of this group whose answer it gets + 1 */
};

struct group {
	struct group_base base;
	struct group_write *writes;
	size_t write_count, write_cap;
	struct entry *entries;
	uint32_t *entry_next; /* older entry in the same bucket + 1 */
	uint32_t *entry_owner; /* its write */
	size_t entry_count, entry_cap;
	struct lsm_entry *held;
	size_t held_count, held_cap;
	uint32_t buckets[GROUP_BUCKETS]; /* newest entry by key + 1 */
	struct buf payload; /* the entries, encoded */
	struct dead_values dead; /* what it replaces or deletes */
	bool wants_sync;
};

/* Empties it; @base for the writes to come. */
void group_reset(struct group *group, const struct group_base *base);
void group_deinit(struct group *group);
bool group_has_room(const struct group *group);
/* Takes the write in and fills in its answer as it will be if the group succeeds. It was not taken
 * in: -ENOMEM; -EAGAIN, what it replaces is on a disk, and neither the group nor the write waits.
 */
int group_add(struct group *group, struct store_write *write);
/* Copies answers to the writes that repeat another one of the group. */
void group_answer_repeats(struct group *group);
/* It is in the log: its requests will be known when they are repeated. */
void group_remember_ids(const struct group *group);
/* It was not committed: no answer that rests on it may be given. @maybe: it may be in the log. */
void group_fail(struct group *group, enum outcome failure, bool maybe);

/* SPDX-License-Identifier: MIT */
/*
 * Answers of recent writes by request id, so that a write that is sent twice is applied once. Keeps
 * at most REQUEST_IDS_MAX of them, none older than REQUEST_IDS_AGE_NS.
 *
 * Ownership: copies. Threads: the caller serialises (the commit thread), but for
 * request_ids_contains().
 */
#pragma once

#include "node/entry.h"

#define REQUEST_IDS_MAX    65536
#define REQUEST_IDS_AGE_NS (600 * (int64_t)1000000000)

struct request_ids;

/* Everything of the answer but the labels, which a repeated request carries itself. */
struct request_answer {
	uint64_t key_hash; /* of the key the request named: an id for another key is another
			      request */
	bool replaced;
	bool tombstone; /* a DELETE */
	bool utf8;
	struct version version;
	int64_t mtime_ns;
	uint64_t size_bytes;
	struct hash128 hash;
};

struct request_ids *request_ids_new(void);
struct request_ids *request_ids_free(struct request_ids *ids);
/* NULL if it is not known (any more). Borrowed until the next add. */
const struct request_answer *request_ids_find(struct request_ids *ids, const struct request_id *id,
					      uint64_t key_hash, int64_t now_ns);
/* 0 or -ENOMEM. An id that is there is replaced. */
int request_ids_add(struct request_ids *ids, const struct request_id *id,
		    const struct request_answer *answer, int64_t now_ns);
/* Room for @count more, so that adding them can't fail. -ENOMEM. */
int request_ids_reserve(struct request_ids *ids, size_t count);
/* The ids of the writes that entries stand for. Room for them was made before the entries counted:
 * a write whose id is forgotten could be applied twice. */
void request_ids_add_entries(struct request_ids *ids, const struct entry *entries, size_t count,
			     int64_t now_ns);
/* Forgets those whose version @keep does not want. */
void request_ids_sweep(struct request_ids *ids, bool (*keep)(void *state, struct version version),
		       void *state);
/* Calls @found for each, the oldest first, under a lock; stops at its first return other than 0 and
 * returns that. From any thread. */
int request_ids_each(struct request_ids *ids,
		     int (*found)(const struct request_id *id, int64_t time_ns,
				  const struct request_answer *answer, void *state),
		     void *state);
/* Whether request_ids_find() would find it. From any thread. */
bool request_ids_contains(struct request_ids *ids, const struct request_id *id, uint64_t key_hash);
size_t request_ids_count(const struct request_ids *ids);

/* The answer that the entries of one write stand for: one entry, or put and tombstone of a MOVE. */
struct request_answer request_answer_of(const struct entry *entries, size_t count);
/* How many entries from @entries on belong to the same write. */
size_t request_entries(const struct entry *entries, size_t count);
uint64_t request_key_hash(const void *key, size_t len);

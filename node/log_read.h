/* SPDX-License-Identifier: MIT */
/*
 * The log as it is shipped: the entries that are this store's history, in order of their sequence,
 * and only what is on stable storage here. Repairs, resets and entries that a reset took back are
 * left out.
 *
 * Threads: any, beside writing and trimming.
 */
#pragma once

#include "node/store.h"
#include "node/wal.h"

/* Entries of one log record, whole unless history begins or ends inside it. */
struct shipped_record {
	uint64_t epoch;
	uint64_t first_sequence;
	int64_t time_ns;
	uint32_t count;
	const uint8_t *payload; /* encoded entries, with this store's positions and file ids;
				   borrowed until the callback returns */
	size_t payload_len; /* at most WAL_RECORD_BYTES_MAX */
};

enum store_log_result {
	STORE_LOG_TRIMMED = 1, /* what follows @after is not in the log any more */
	STORE_LOG_FOREIGN, /* @after is not in this store's history, or not on its stable storage */
};

/*
 * Gives @record what follows @after, without a gap: whole records until one more would exceed
 * @bytes_max, but at least one. A return of @record other than 0 ends it: 1 (that record is not
 * counted as read; the result is 0), or a negative errno, which is returned.
 * 0 (nothing may follow), store_log_result, or a negative errno: -EAGAIN while the log is being
 * reset, -EBADMSG damaged.
 */
int store_log_read(struct store *store, struct version after, size_t bytes_max,
		   int (*record)(const struct shipped_record *record, void *state), void *state);
/* The oldest point that it can be read from: what the log has of the history follows it. It is not
 * always where the log begins, as a reset may have taken that back. 0 or a negative errno, as
 * above. */
int store_log_oldest(struct store *store, struct version *ret_after);
/* About how many bytes of log store_log_read() would go through from @after to the end. */
uint64_t store_log_distance(struct store *store, struct version after);

/* Entries behind apply position @position stay in the log until store_log_unpin(). 0,
 * STORE_LOG_TRIMMED (some are gone) or -ENOMEM. */
int store_log_pin(struct store *store, uint64_t position, struct wal_pin **ret_pin);
/* As store_log_pin(), of what store_log_read() gives behind @after, but no more than
 * store_options.log_hold_bytes. One that there is in @pin already moves, if this succeeds. */
int store_log_hold(struct store *store, struct version after, struct wal_pin **pin);
/* Returns NULL; NULL-safe. Before the store is closed. */
struct wal_pin *store_log_unpin(struct store *store, struct wal_pin *pin);

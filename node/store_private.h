/* SPDX-License-Identifier: MIT */
/* What the store's own files share: store.c opens, closes and reads. */
#pragma once

#include "lib/mutex.h"
#include "node/commit.h"
#include "node/log_cursors.h"
#include "node/log_mend.h"
#include "node/store.h"
#include "node/store_files.h"

#include <stdatomic.h>

struct store {
	/* immutable after open */
	struct store_options options; /* its strings are not kept */
	char *dir;
	struct store_files files; /* but for what is protected by lock */
	struct value_files *values;
	struct lsm *lsm;
	struct wal *wal;
	struct value_refs *refs;
	uint64_t log_value_bytes; /* in value files that the log named when it was opened */

	struct request_ids *ids; /* changed by the commit thread only */
	struct commit *_Atomic commit; /* set last: until then the flush thread has no log */
	_Atomic uint64_t flushed_position;
	struct log_cursors log_cursors; /* locks itself */

	struct mutex standing_lock; /* held while STANDING is written; before lock */

	struct mutex lock;
	/* protected by lock: files.history and files.standing, changed by the commit thread and
	 * with standing_lock held, and */
	uint64_t space_at_ms; /* when it was asked for */
	uint64_t space_free, space_total;
	uint32_t checkpoints_made;
	bool checkpoint_under_way; /* one is being saved */
	struct log_damage log_damage; /* that was met and not mended */
	uint64_t log_damages; /* how often one was met */
	bool resetting; /* the log was reset, or will be, and files.history does not know */

	struct mutex synced_lock;
	/* protected by synced_lock */
	void (*synced)(void *state);
	void *synced_state;
};

/* node/store.c: what the log need not keep goes from it; @all: whatever may go at all. */
void store_trim_log(struct store *store, bool all);
/* 0 once no log file up to @file_id is there: they can't be read. -EBUSY: one is pinned, or not
 * flushed. */
int store_drop_log(struct store *store, uint64_t file_id);
/* node/store_role.c: puts into @standing what is known to be on stable storage. */
void store_note_log(const struct store *store, struct standing *standing);
/* node/store_renew.c, in a task: all of it is applied, and the history says that @epoch follows. */
int store_renew(struct store *store, struct commit *commit, uint64_t epoch);
/* node/store_replica.c: what the commit thread is given; @state is the store. */
void store_synced(void *state);
bool store_in_history(void *state, struct version version);
int store_finish_reset(void *state, struct version point);
void store_set_resetting(void *state, bool resetting);
/* Forgets the request ids of versions that are not in the history up to @end. */
void store_forget_ids(struct store *store, struct version end);
/* The same in a copy of the store's. */
void store_forget_ids_of(struct store *store, struct request_ids *ids, struct version end);

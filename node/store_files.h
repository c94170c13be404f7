/* SPDX-License-Identifier: MIT */
/* What opening a store and checking one have in common: identity, standing, history and the log's
 * replay. */
#pragma once

#include "node/history.h"
#include "node/identity.h"
#include "node/lsm.h"
#include "node/standing.h"
#include "node/wal.h"

struct store_files {
	struct vfs_file *lock;
	struct identity identity;
	struct history history;
	struct standing standing; /* as it was read */
};

/* Takes the lock and reads (with @create: makes) the identity, reads history and standing. @ret_why
 * as for store_open(). */
int store_files_open(struct vfs *vfs, const char *dir, bool create, const char *cluster,
		     const char *node, struct store_files *ret_files, char **ret_why);
void store_files_close(struct store_files *files);

/* Whether the log, as it was replayed, ends where segments and history say that it must. @ret_why
 * as for store_open(). */
int store_files_check_end(const struct store_files *files, const char *dir, struct wal_mark end,
			  uint64_t flushed_position, char **ret_why);

struct request_ids;
struct value_refs;

/* State of a replay: where the entries go, NULL to leave out. */
struct store_replay {
	struct lsm *lsm;
	uint64_t flushed_position; /* entries up to here are in segments */
	struct value_files *values;
	struct value_refs *refs;
	struct request_ids *ids;
	bool ends_reset; /* no ordinary record follows the last reset */
	struct entry *entries; /* of one record */
	size_t entry_cap;
};

/* A wal_replay_fn; @state is a struct store_replay. */
int store_replay_record(const struct wal_record *record, void *state);
void store_replay_deinit(struct store_replay *replay);

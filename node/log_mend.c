/* SPDX-License-Identifier: MIT */
/*
 *	1. the damaged file is not written any more, and all entries up to there are applied;
 *	2. the request ids, which the log has held, are saved;
 *	3. segments hold all that the file has held;
 *	4. it goes, and all older ones.
 *
 * A crash before 4 leaves a log that does not open, as if nobody had looked at it.
 */
#include "node/log_mend.h"

#include "lib/log.h"
#include "node/checkpoint_private.h"
#include "node/request_ids_file.h"
#include "node/wal_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct log_damage store_log_damage(struct store *store)
{
	struct log_damage damage;

	mutex_lock(&store->lock);
	damage = store->log_damage;
	mutex_unlock(&store->lock);
	return damage;
}

void store_log_note_damage(struct store *store, uint64_t file_id, uint64_t offset, int error)
{
	struct log_damage damage = { file_id, offset };
	bool known;

	mutex_lock(&store->lock);
	known = memcmp(&store->log_damage, &damage, sizeof(damage)) == 0;
	store->log_damage = damage;
	store->log_damages += !known;
	mutex_unlock(&store->lock);
	if (!known)
		log_error("log is damaged",
			  "file=%08" PRIx64 ".wal offset=%" PRIu64 " error=\"%s\"", file_id, offset,
			  strerror(-error));
}

static void forget(struct store *store, struct log_damage damage)
{
	mutex_lock(&store->lock);
	if (memcmp(&store->log_damage, &damage, sizeof(damage)) == 0)
		store->log_damage = (struct log_damage){ 0 };
	mutex_unlock(&store->lock);
}

static int read_through(struct store *store, const struct wal_extent *extent)
{
	struct wal_mark mark = extent->base;
	struct wal_reader reader;
	int r = wal_reader_open(&reader, store->options.vfs, store->dir,
				store->files.identity.store_id, extent->file_id);

	if (r < 0)
		return r;
	while (r == 0 && reader.offset < extent->bytes) {
		struct wal_reader_record from;
		struct wal_record record;

		r = wal_reader_next(&reader, &from);
		if (r <= 0) {
			r = r < 0 ? r : -EBADMSG;
			break;
		}
		record = wal_reader_to_record(&reader, &from);
		r = record.flags & WAL_CLEAN_CLOSE || wal_mark_advance(&mark, &record) ? 0
										       : -EBADMSG;
	}
	wal_reader_close(&reader);
	return r;
}

/* 1: it can't be read; 0: it can, or is not there any more. */
static int is_damaged(struct store *store, uint64_t file_id)
{
	/* Trimmed, but perhaps the disk did not let go of it. */
	const struct wal_extent gone = { .file_id = file_id, .bytes = UINT64_MAX };
	struct wal_extent *extents;
	struct wal_mark synced;
	size_t count, i = 0;
	int r = wal_extents(store->wal, &extents, &count, &synced);

	if (r < 0)
		return r;
	while (i < count && extents[i].file_id != file_id)
		i++;
	r = read_through(store, i < count ? &extents[i] : &gone);
	free(extents);
	if (r == -ENOMEM)
		return r;
	return r < 0 && r != -ENOENT;
}

struct leaving {
	struct store *store;
	uint64_t file_id;
	uint64_t position; /* that is to be flushed */
};

/* 1 and 2, in the commit thread. */
static int leave(struct commit *commit, void *state)
{
	struct leaving *leaving = state;
	struct store *store = leaving->store;
	struct wal_mark end;
	int r = commit_settle(commit);

	if (r == 0 && wal_current_file(store->wal) == leaving->file_id)
		r = commit_rotate_log(commit);
	if (r < 0)
		return r;
	end = commit_end(commit);
	leaving->position = end.position;
	r = request_ids_save(store->ids, store->options.vfs, store->dir, end.sequence);
	return r == 0 ? lsm_begin_flush(store->lsm) : r;
}

static int let_go(struct store *store, struct log_damage damage)
{
	struct leaving leaving = { .store = store, .file_id = damage.file_id };
	int r = commit_call(store->commit, leave, &leaving);

	if (r == 0)
		r = lsm_wait_flushed(store->lsm, leaving.position, CHECKPOINT_FLUSH_MS);
	if (r == 0)
		r = store_drop_log(store, damage.file_id);
	return r;
}

int store_log_mend(struct store *store)
{
	struct log_damage damage = store_log_damage(store);
	int r = damage.file_id > 0 ? is_damaged(store, damage.file_id) : 0;

	if (r > 0) {
		r = let_go(store, damage);
		if (r == 0)
			log_warn("damaged log is given up; all of it is in segments",
				 "up_to_file=%08" PRIx64 ".wal", damage.file_id);
	}
	if (r == 0)
		forget(store, damage);
	return r;
}

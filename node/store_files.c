/* SPDX-License-Identifier: MIT */
#include "node/store_files.h"

#include "lib/cleanup.h"
#include "node/install.h"
#include "node/request_ids.h"
#include "node/value_refs.h"
#include "node/wal_recovery.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int found_log_file(const char *name, void *state)
{
	(void)state;
	return wal_file_id_parse(name) > 0;
}

/* 1: there is a log. */
static int has_log(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/log", dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_list(vfs, path, found_log_file, NULL);
	return r == -ENOENT ? 0 : r;
}

/* The identity is durable before anything else is made, so a log without one has lost it. */
static int make_identity(struct vfs *vfs, const char *dir, const char *cluster, const char *node,
			 struct identity *identity, char **ret_why)
{
	int r = has_log(vfs, dir);

	if (r > 0) {
		wal_say(ret_why, "%s has a log but no file IDENTITY; restore it from a copy", dir);
		return -EBADMSG;
	}
	return r < 0 ? r : identity_create(vfs, dir, cluster, node, identity);
}

static int load_identity(struct vfs *vfs, const char *dir, bool create, const char *cluster,
			 const char *node, struct identity *identity, char **ret_why)
{
	int r = identity_read(vfs, dir, identity);

	if (r == -ENOENT && create)
		r = make_identity(vfs, dir, cluster, node, identity, ret_why);
	else if (r == -EBADMSG)
		wal_say(ret_why, "%s/IDENTITY is damaged; restore it from a copy", dir);
	else if (r == -EPROTONOSUPPORT)
		wal_say(ret_why, "%s/IDENTITY has a later format; use a later hexkv", dir);
	else if (r == -ENOENT)
		wal_say(ret_why, "%s is not a data directory: it has no file IDENTITY", dir);
	if (r < 0)
		return r;
	if (cluster &&
	    (strcmp(cluster, identity->cluster) != 0 || strcmp(node, identity->node) != 0)) {
		wal_say(ret_why,
			"%s belongs to node \"%s\" of cluster \"%s\"; give that node's "
			"directory, or an empty one",
			dir, identity->node, identity->cluster);
		return -EPERM;
	}
	return 0;
}

static int load_history(struct vfs *vfs, const char *dir, struct store_files *files, char **ret_why)
{
	int r = history_read(vfs, dir, files->identity.store_id, &files->history);

	if (r == -EBADMSG)
		wal_say(ret_why, "%s/HISTORY is damaged; restore it from a copy", dir);
	else if (r == -EPROTONOSUPPORT)
		wal_say(ret_why, "%s/HISTORY has a later format; use a later hexkv", dir);
	return r;
}

/* It is made before the first epoch is; only directories from before there were lineages have
 * none. Those gave value files the number of their epoch. */
static int load_standing(struct vfs *vfs, const char *dir, struct store_files *files,
			 char **ret_why)
{
	const struct history *history = &files->history;
	int r = standing_read(vfs, dir, files->identity.store_id, &files->standing);

	if (r == -ENOENT && !lineage_is_set(&history->lineage)) {
		files->standing.opened = history_last_epoch(history) >> 16;
		return 0;
	}
	if (r == -ENOENT || r == -EBADMSG) {
		wal_say(ret_why, "%s/STANDING is %s; restore the directory from a copy", dir,
			r == -ENOENT ? "missing" : "damaged");
		return -EBADMSG;
	}
	if (r == -EPROTONOSUPPORT)
		wal_say(ret_why, "%s/STANDING has a later format; use a later hexkv", dir);
	return r;
}

int store_files_open(struct vfs *vfs, const char *dir, bool create, const char *cluster,
		     const char *node, struct store_files *ret_files, char **ret_why)
{
	struct store_files files = { 0 };
	int r = 0;

	/* The lock is a file too: none is made where no node lives. */
	if (!create)
		r = load_identity(vfs, dir, false, cluster, node, &files.identity, ret_why);
	if (r == 0)
		r = identity_lock(vfs, dir, &files.lock);
	if (r == -EBUSY)
		wal_say(ret_why, "%s is open in another process; stop that one first", dir);
	if (r == 0 && create)
		r = install_finish(vfs, dir);
	if (r == 0 && create)
		r = load_identity(vfs, dir, true, cluster, node, &files.identity, ret_why);
	if (r == 0)
		r = load_history(vfs, dir, &files, ret_why);
	if (r == 0)
		r = load_standing(vfs, dir, &files, ret_why);
	if (r < 0) {
		store_files_close(&files);
		return r;
	}
	*ret_files = files;
	return 0;
}

void store_files_close(struct store_files *files)
{
	history_deinit(&files->history);
	vfs_close(files->lock);
	files->lock = NULL;
}

int store_files_check_end(const struct store_files *files, const char *dir, struct wal_mark end,
			  uint64_t flushed_position, char **ret_why)
{
	const struct history *history = &files->history;
	const char *what = NULL;

	/* It is durable before the first write, and begins each epoch behind what is durable. */
	if (history->count == 0 && !lineage_is_set(&history->lineage) && end.position > 0)
		what = "the file HISTORY is missing";
	else if (history_last_epoch(history) < end.epoch)
		what = "the log knows a later epoch than HISTORY";
	else if (flushed_position > end.position)
		what = "the newest log file is missing: segments hold more than the log";
	else if (history->count > 0 &&
		 history->epochs[history->count - 1].first_sequence > end.sequence + 1)
		what = "the newest log files are missing: HISTORY knows of later records";
	if (!what)
		return 0;
	wal_say(ret_why, "%s: %s; restore the directory from a copy", dir, what);
	return -EBADMSG;
}

static int decode_record(const struct wal_record *record, struct store_replay *replay)
{
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);

	/* Every entry has some bytes, so a count that can't be true is never allocated for. */
	if (record->count > record->payload_len)
		return -EBADMSG;
	if (record->count > replay->entry_cap) {
		struct entry *entries = realloc(replay->entries, record->count * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		replay->entries = entries;
		replay->entry_cap = record->count;
	}
	for (uint32_t i = 0; i < record->count; i++) {
		int r = entry_decode(&reader, &replay->entries[i]);

		if (r < 0)
			return r;
		if (replay->entries[i].position != record->first_position + i)
			return -EBADMSG;
	}
	return bytes_left(&reader) == 0 ? 0 : -EBADMSG;
}

static int replay_ref(struct store_replay *replay, const struct entry *entry)
{
	struct value_file *file;
	int r;

	if (!replay->refs || entry->kind != ENTRY_FILE)
		return 0;
	r = value_file_get(replay->values, entry->file_id, &file);
	if (r < 0)
		return r;
	r = value_refs_add(replay->refs, entry->position, file);
	if (r < 0)
		value_file_unref(file);
	return r;
}

int store_replay_record(const struct wal_record *record, void *state)
{
	struct store_replay *replay = state;
	uint32_t skip = 0;
	int r;

	r = decode_record(record, replay);
	if (r < 0)
		return r;
	if (!(record->flags & WAL_REPAIR))
		replay->ends_reset = record->flags & WAL_RESET;
	for (uint32_t i = 0; i < record->count && r == 0; i++) {
		skip += replay->entries[i].position <= replay->flushed_position;
		r = replay_ref(replay, &replay->entries[i]);
	}
	if (r == 0 && replay->ids)
		r = request_ids_reserve(replay->ids, record->count);
	/* What a repair installs was answered under a version that is in the history elsewhere. */
	if (r == 0 && replay->ids && !(record->flags & WAL_REPAIR))
		request_ids_add_entries(replay->ids, replay->entries, record->count,
					record->time_ns);
	if (r == 0 && replay->lsm && skip < record->count)
		r = lsm_apply(replay->lsm, replay->entries + skip, record->count - skip);
	return r;
}

void store_replay_deinit(struct store_replay *replay)
{
	free(replay->entries);
	replay->entries = NULL;
	replay->entry_cap = 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * The order: the log is pinned, then the tree is looked at, so that the log reaches back to where
 * the tree ends; then the point there is found, then links are made. HISTORY is read last: an epoch
 * that is added meanwhile begins behind the point and is cut off.
 */
#include "node/checkpoint_private.h"

#include "lib/cleanup.h"
#include "node/lsm_snapshot.h"
#include "node/request_ids_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ATTEMPTS 3

char *checkpoint_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* In the commit thread: for a moment, as nothing is written there. */
static int begin_flush(struct commit *commit, void *state)
{
	(void)commit;
	return lsm_begin_flush(state);
}

int checkpoint_flush(struct store *store)
{
	struct commit_stats stats;
	int r;

	commit_stats(store->commit, &stats);
	r = commit_call(store->commit, begin_flush, store->lsm);
	return r == 0 ? lsm_wait_flushed(store->lsm, stats.position, CHECKPOINT_FLUSH_MS) : r;
}

int checkpoint_make_parent(struct store *store, char **ret_path)
{
	_cleanup_(freep) char *path = checkpoint_path(store->dir, CHECKPOINTS_NAME);
	int r;

	if (!path)
		return -ENOMEM;
	r = vfs_mkdir(store->options.vfs, path);
	if (r == -EEXIST)
		r = 0;
	if (r == 0)
		r = vfs_sync_dir(store->options.vfs, store->dir);
	if (r == 0)
		*ret_path = take_ptr(path);
	return r;
}

static int link_identity(struct store *store, const char *dir)
{
	_cleanup_(freep) char *from = checkpoint_path(store->dir, "IDENTITY");
	_cleanup_(freep) char *to = checkpoint_path(dir, "IDENTITY");

	return from && to ? vfs_link(store->options.vfs, from, to) : -ENOMEM;
}

/* The epochs that began up to @point. */
static int write_history(struct store *store, const char *dir, struct version point)
{
	const uint8_t *store_id = store->files.identity.store_id;
	struct history history = { 0 }, cut = { 0 };
	size_t count;
	int r;

	mutex_lock(&store->lock);
	r = history_copy(&store->files.history, &history);
	mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	count = history.count;
	while (count > 0 && history.epochs[count - 1].first_sequence > point.sequence)
		count--;
	/* The log was reset while it was looked at. */
	if (!history_contains(&history, point))
		r = -EAGAIN;
	if (r == 0)
		r = history_adopt(&cut, store->options.vfs, dir, store_id, &history.lineage,
				  history.epochs, count);
	history_deinit(&history);
	history_deinit(&cut);
	return r;
}

/* Its log is another one, which ends at @mark. */
static int write_standing(struct store *store, const char *dir, struct wal_mark mark)
{
	struct standing standing;

	mutex_lock(&store->lock);
	standing = store->files.standing;
	mutex_unlock(&store->lock);
	standing.log_file = WAL_FIRST_FILE;
	standing.log_position = mark.position;
	return standing_write(store->options.vfs, dir, store->files.identity.store_id, &standing);
}

static int create_log(struct store *store, const char *dir, struct wal_mark mark)
{
	struct wal_options options = {
		.vfs = store->options.vfs,
		.dir = dir,
		.now_ns = store->options.realtime_ns(),
	};

	memcpy(options.store_id, store->files.identity.store_id, 16);
	return wal_create(&options, mark);
}

struct listing {
	struct vfs *vfs;
	const char *dir;
	const char *prefix; /* "" or "value/" */
	struct buf files; /* struct checkpoint_file */
};

static int add_file(const char *name, void *state)
{
	struct checkpoint_file file = { 0 };
	struct listing *listing = state;
	int r;

	if (asprintf(&file.name, "%s%s", listing->prefix, name) < 0)
		return -ENOMEM;
	r = buf_append(&listing->files, &file, sizeof(file));
	if (r < 0)
		free(file.name);
	return r;
}

static int list_part(struct listing *listing, const char *name, const char *prefix)
{
	_cleanup_(freep) char *path = checkpoint_path(listing->dir, name);

	listing->prefix = prefix;
	return path ? vfs_list(listing->vfs, path, add_file, listing) : -ENOMEM;
}

/* Sizes, and without the directories. */
static int measure(struct listing *listing, struct checkpoint_content *content)
{
	for (size_t i = 0; i < content->count;) {
		struct checkpoint_file *file = &content->files[i];
		_cleanup_(freep) char *path = checkpoint_path(listing->dir, file->name);
		_cleanup_(vfs_closep) struct vfs_file *opened = NULL;
		int r;

		if (!path)
			return -ENOMEM;
		if (strcmp(file->name, "value") == 0 || strcmp(file->name, "log") == 0) {
			free(file->name);
			*file = content->files[--content->count];
			continue;
		}
		r = vfs_open(listing->vfs, path, VFS_READ, &opened);
		if (r == 0)
			r = vfs_size(opened, &file->size);
		if (r < 0)
			return r;
		content->bytes += file->size;
		i++;
	}
	return 0;
}

static int list_files(struct store *store, const char *dir, struct checkpoint_content *content)
{
	struct listing listing = { .vfs = store->options.vfs, .dir = dir, .prefix = "" };
	int r;

	r = vfs_list(listing.vfs, dir, add_file, &listing);
	if (r == 0)
		r = list_part(&listing, "value", "value/");
	if (r == 0)
		r = list_part(&listing, "log", "log/");
	content->files = (void *)listing.files.data;
	content->count = listing.files.len / sizeof(*content->files);
	return r == 0 ? measure(&listing, content) : r;
}

/* Pins the log behind the snapshot that it takes. */
static int take_snapshot(struct store *store, struct lsm_snapshot *ret_snapshot,
			 struct wal_pin **ret_pin)
{
	struct wal_pin *early = NULL;
	int r;

	for (int i = 0; i < ATTEMPTS; i++) {
		r = wal_pin(store->wal, store->flushed_position, &early);
		if (r != WAL_TRIMMED)
			break;
	}
	if (r != 0)
		return r < 0 ? r : -EAGAIN;
	lsm_snapshot_take(store->lsm, ret_snapshot);
	r = wal_pin(store->wal, ret_snapshot->flushed, ret_pin);
	wal_unpin(store->wal, early);
	if (r == 0)
		return 0;
	lsm_snapshot_release(ret_snapshot);
	return r < 0 ? r : -EAGAIN;
}

/* A snapshot that is a state that counts, and its point. */
static int choose_point(struct store *store, struct lsm_snapshot *ret_snapshot,
			struct wal_pin **ret_pin, struct wal_mark *ret_mark)
{
	bool flush_helps;
	int r;

	for (int i = 0; i < ATTEMPTS; i++) {
		r = take_snapshot(store, ret_snapshot, ret_pin);
		if (r < 0)
			return r;
		flush_helps = false;
		r = checkpoint_find_point(store, ret_snapshot->flushed, ret_mark, &flush_helps);
		if (r == 0)
			return 0;
		lsm_snapshot_release(ret_snapshot);
		*ret_pin = wal_unpin(store->wal, *ret_pin);
		if (r != -EAGAIN || !flush_helps)
			return r;
		r = checkpoint_flush(store);
		if (r < 0)
			return r;
	}
	return -EAGAIN;
}

int checkpoint_make(struct store *store, const char *dir, struct checkpoint_content *ret_content)
{
	struct checkpoint_content content = { 0 };
	struct lsm_snapshot snapshot;
	struct wal_mark mark;
	int r;

	r = choose_point(store, &snapshot, &content.pin, &mark);
	if (r < 0)
		return r;
	content.point = (struct version){ mark.epoch, mark.sequence };
	r = lsm_snapshot_link(store->lsm, &snapshot, dir);
	lsm_snapshot_release(&snapshot);
	if (r == 0)
		r = link_identity(store, dir);
	if (r == 0)
		r = write_standing(store, dir, mark);
	if (r == 0)
		r = create_log(store, dir, mark);
	if (r == 0)
		r = request_ids_save(store->ids, store->options.vfs, dir, mark.sequence);
	if (r == 0)
		r = write_history(store, dir, content.point);
	if (r == 0)
		r = list_files(store, dir, &content);
	if (r < 0)
		checkpoint_content_deinit(store, &content);
	else
		*ret_content = content;
	return r;
}

void checkpoint_content_deinit(struct store *store, struct checkpoint_content *content)
{
	wal_unpin(store->wal, content->pin);
	for (size_t i = 0; i < content->count; i++)
		free(content->files[i].name);
	free(content->files);
	*content = (struct checkpoint_content){ 0 };
}

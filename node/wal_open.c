/* SPDX-License-Identifier: MIT */
/* Opening a log: what recovery found becomes what is written on, or a log is made that begins
 * somewhere. */
#include "lib/cleanup.h"
#include "node/wal_private.h"
#include "node/wal_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of the last file that nobody promised; *mark is moved up to where it begins. */
static int load_window(struct wal *wal, const struct wal_recovery *recovery, struct wal_mark *mark)
{
	const struct wal_file_info *last = &recovery->files[recovery->file_count - 1];
	struct wal_reader reader;
	int r;

	r = wal_reader_open(&reader, wal->vfs, wal->dir, wal->store_id, last->id);
	if (r < 0)
		return r;
	while (r == 0 && reader.offset < recovery->end) {
		struct wal_reader_record from;
		struct wal_record record;

		r = wal_reader_next(&reader, &from);
		if (r <= 0) {
			r = r < 0 ? r : -EBADMSG;
			break;
		}
		/* A promise that is no record's end was never made. */
		r = from.offset < recovery->synced && reader.offset > recovery->synced ? -EBADMSG
										       : 0;
		record = wal_reader_to_record(&reader, &from);
		if (r < 0)
			break;
		if (record.flags & WAL_CLEAN_CLOSE)
			continue;
		if (from.offset >= recovery->synced)
			r = wal_window_add(&wal->window, &record);
		else if (!wal_mark_advance(mark, &record))
			r = -EBADMSG;
	}
	wal_reader_close(&reader);
	return r;
}

/* How many files, from the oldest on, the next one goes on behind. The last one does not count if
 * nothing in it is promised: whoever wrote its header may have been killed before it was synced.
 * All its records are in the window. */
static size_t count_kept(const struct wal_recovery *recovery)
{
	size_t count = recovery->file_count;

	return count > 0 && recovery->synced == WAL_FILE_HEADER_BYTES ? count - 1 : count;
}

static int adopt(struct wal *wal, const struct wal_recovery *recovery)
{
	size_t kept = count_kept(recovery);
	int r = 0;

	wal->last_id = recovery->last_id;
	wal->last = wal->synced_mark = recovery->end_mark;
	for (size_t i = 0; i < kept && r == 0; i++)
		r = wal_files_add(&wal->files, &recovery->files[i], recovery->end_mark);
	if (r < 0 || recovery->file_count == 0)
		return r;
	wal->synced_mark = recovery->files[recovery->file_count - 1].base;
	r = load_window(wal, recovery, &wal->synced_mark);
	if (r < 0 || kept == 0)
		return r;
	wal->writer.id = recovery->files[kept - 1].id;
	wal->writer.end = recovery->files[kept - 1].bytes;
	wal->synced = kept == recovery->file_count ? recovery->synced : wal->writer.end;
	wal_files_note_synced(&wal->files, wal->synced, wal->synced_mark);
	return 0;
}

/* Space only, so that failures don't matter. */
static void tidy(struct wal *wal, const struct wal_recovery *recovery)
{
	for (size_t i = 0; i < recovery->stray_count; i++) {
		_cleanup_(freep) char *path = wal_file_path(wal->dir, recovery->strays[i]);

		if (path)
			vfs_unlink(wal->vfs, path);
	}
	if (recovery->file_count > 0) {
		uint64_t id = recovery->files[recovery->file_count - 1].id;
		_cleanup_(freep) char *path = wal_file_path(wal->dir, id);
		_cleanup_(vfs_closep) struct vfs_file *file = NULL;

		if (path && count_kept(recovery) < recovery->file_count)
			vfs_unlink(wal->vfs, path);
		else if (path && vfs_open(wal->vfs, path, VFS_WRITE, &file) == 0)
			vfs_truncate(file, recovery->synced);
	}
}

static int make_log_dir(const struct wal_options *options)
{
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/log", options->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_mkdir(options->vfs, path);
	if (r < 0 && r != -EEXIST)
		return r;
	return vfs_sync_dir(options->vfs, options->dir);
}

int wal_new(const struct wal_options *options, struct wal **ret_wal)
{
	struct wal *wal = calloc(1, sizeof(*wal));

	if (!wal)
		return -ENOMEM;
	wal_files_init(&wal->files);
	wal->vfs = options->vfs;
	wal->file_bytes = options->file_bytes;
	memcpy(wal->store_id, options->store_id, 16);
	wal->dir = strdup(options->dir);
	if (!wal->dir) {
		wal_abandon(wal);
		return -ENOMEM;
	}
	*ret_wal = wal;
	return 0;
}

/* Makes the log ready to be appended to. */
static int begin(const struct wal_options *options, struct wal **ret_wal, char **ret_why)
{
	struct wal_recovery recovery = { 0 };
	struct wal *wal = NULL;
	int r;

	r = make_log_dir(options);
	if (r == 0)
		r = wal_recover(options, NULL, NULL, &recovery, ret_why);
	if (r == 0)
		r = wal_new(options, &wal);
	if (r == 0)
		r = adopt(wal, &recovery);
	if (r == 0)
		r = wal_reopen(wal, UINT64_MAX, options->now_ns);
	if (r == 0)
		tidy(wal, &recovery);
	wal_recovery_deinit(&recovery);
	if (r < 0)
		wal_abandon(wal);
	else
		*ret_wal = wal;
	return r;
}

/* Reads everything twice: the first time to find the end and make it durable, so that what @replay
 * is given may be acted on at once. */
int wal_open(const struct wal_options *options, wal_replay_fn replay, void *state,
	     struct wal **ret_wal, char **ret_why)
{
	struct wal_recovery recovery = { 0 };
	struct wal *wal = NULL;
	int r;

	*ret_why = NULL;
	r = begin(options, &wal, ret_why);
	if (r == 0)
		r = wal_recover(options, replay, state, &recovery, ret_why);
	wal_recovery_deinit(&recovery);
	if (r != 0) {
		wal_abandon(wal);
		if (r < 0 && !*ret_why)
			wal_say(ret_why, "the log can't be opened: %s", strerror(-r));
		return r;
	}
	*ret_wal = wal;
	return 0;
}

int wal_verify(const struct wal_options *options, wal_replay_fn replay, void *state,
	       struct wal_mark *ret_end, char **ret_why)
{
	struct wal_recovery recovery = { 0 };
	int r = wal_recover(options, replay, state, &recovery, ret_why);

	*ret_end = recovery.end_mark;
	wal_recovery_deinit(&recovery);
	return r;
}

int wal_create(const struct wal_options *options, struct wal_mark base)
{
	struct wal *wal = NULL;
	int r;

	r = make_log_dir(options);
	if (r == 0)
		r = wal_new(options, &wal);
	if (r < 0)
		return r;
	/* Nothing is appended to it: the opening begins another file. */
	wal->file_bytes = 0;
	r = wal_begin_at(wal, base, options->now_ns);
	wal_abandon(wal);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * Which version the log stands at behind an apply position, and whether the entries up to there are
 * a state that counts. They are not while repairs are incomplete: entries that were taken back are
 * among them, and not all that replaces those.
 */
#include "node/checkpoint_private.h"

#include "lib/cleanup.h"
#include "node/wal_reader.h"

#include <errno.h>

#define TRIES 8 /* while the log goes on in new files */

struct scan {
	uint64_t position; /* the one that is asked for */
	struct wal_mark mark; /* of the last record up to there */
	bool under_repair; /* there are repairs up to here that no reset completes */
	bool repaired_behind; /* there are repairs or resets behind position */
};

static void see_record(struct scan *scan, struct wal_mark *at, const struct wal_record *record)
{
	struct wal_mark before = *at;

	if ((record->flags & WAL_CLEAN_CLOSE) || !wal_mark_advance(at, record))
		return;
	if (record->flags & WAL_REPAIR)
		scan->under_repair = true;
	else if (record->flags & WAL_RESET)
		scan->under_repair = false;
	if (at->position <= scan->position) {
		scan->mark = *at;
		return;
	}
	scan->repaired_behind |= record->flags != 0;
	/* A memtable may end inside a record. */
	if (before.position < scan->position && record->flags == 0)
		scan->mark = (struct wal_mark){
			.position = scan->position,
			.epoch = record->epoch,
			.sequence =
				record->first_sequence + (scan->position - record->first_position),
		};
}

static int scan_extent(struct store *store, const struct wal_extent *extent, struct scan *scan)
{
	struct wal_reader_record from;
	struct wal_mark at = extent->base;
	struct wal_reader reader;
	int r = wal_reader_open(&reader, store->options.vfs, store->dir,
				store->files.identity.store_id, extent->file_id);

	if (r < 0)
		return r;
	if (at.position <= scan->position)
		scan->mark = at;
	while (reader.offset < extent->bytes) {
		struct wal_record record;

		uint64_t offset = reader.offset;

		r = wal_reader_next(&reader, &from);
		if (r <= 0) {
			r = r < 0 ? r : -EBADMSG;
			if (r != -ENOMEM)
				store_log_note_damage(store, extent->file_id, offset, r);
			break;
		}
		r = 0;
		record = wal_reader_to_record(&reader, &from);
		see_record(scan, &at, &record);
	}
	wal_reader_close(&reader);
	return r;
}

static int find_point(struct store *store, uint64_t position, struct wal_mark *ret_mark,
		      bool *ret_flush_helps)
{
	_cleanup_(freep) struct wal_extent *extents = NULL;
	struct scan scan = { .position = position };
	struct wal_mark synced;
	size_t count;
	int r = wal_extents(store->wal, &extents, &count, &synced);

	for (size_t i = 0; i < count && r == 0; i++) {
		r = scan_extent(store, &extents[i], &scan);
		/* What is trimmed while it is read held nothing behind the position, which is
		 * pinned. */
		if (r == -ENOENT && i + 1 < count && extents[i + 1].base.position <= position)
			r = 0;
	}
	if (r < 0)
		return r;
	*ret_flush_helps = !scan.under_repair;
	if (scan.under_repair || scan.repaired_behind)
		return -EAGAIN;
	*ret_mark = scan.mark;
	return 0;
}

int checkpoint_find_point(struct store *store, uint64_t position, struct wal_mark *ret_mark,
			  bool *ret_flush_helps)
{
	int r = -ENOENT;

	/* The newest file, too, is trimmed if a newer one came meanwhile: that one is asked then.
	 */
	for (unsigned i = 0; i < TRIES && r == -ENOENT; i++)
		r = find_point(store, position, ret_mark, ret_flush_helps);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * What may be read is fixed first (the files and how far each is synced), the history is copied
 * after it: every entry that can be met has its epoch in that copy, and what is not in it is dead.
 *
 * Where to begin: going back from the newest file, the first one in front of which the log stood at
 * @after or earlier. The entry behind @after was logged there or later. What is met on the way and
 * has a sequence that was passed is a second copy, or was taken back by a reset.
 *
 * If there is no such file the entry was trimmed, or the log begins with entries that a reset in it
 * took back, to @after or to a point before it: the first entry of the history that is met shows
 * which of the two.
 */
#include "node/log_read.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/store_private.h"
#include "node/wal_reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING_MORE 1

struct log_scan {
	struct store *store;
	struct history history;
	struct wal_extent *extents;
	size_t count;
	struct wal_mark end;
	struct version after; /* the last one that was given */
	bool may_be_trimmed; /* what follows @after; until something was given */
	bool from_oldest; /* whatever is found first follows @after */
	size_t bytes_max, bytes;
	int (*record)(const struct shipped_record *record, void *state);
	void *state;
};

static struct version version_at(const struct wal_mark *mark)
{
	return (struct version){ mark->epoch, mark->sequence };
}

static void scan_deinit(struct log_scan *scan)
{
	history_deinit(&scan->history);
	free(scan->extents);
}

/* 0, -EAGAIN or -ENOMEM. */
static int take_history(struct store *store, struct history *ret_history)
{
	int r = -EAGAIN;

	mutex_lock(&store->lock);
	/* Between a reset on disk and the cut of the history what is dead looks alive. */
	if (!store->resetting)
		r = history_copy(&store->files.history, ret_history);
	mutex_unlock(&store->lock);
	return r;
}

/* The file to begin with; scan->count if that was trimmed. */
static size_t find_file(const struct log_scan *scan)
{
	for (size_t i = scan->count; i > 0; i--)
		if (scan->extents[i - 1].base.sequence <= scan->after.sequence)
			return i - 1;
	return scan->count;
}

/* Of the sequences *first to *last of an epoch those that are in the history and follow what was
 * given. False: there are none. */
static bool clip(const struct log_scan *scan, uint64_t epoch, uint64_t *first, uint64_t *last)
{
	const struct history *history = &scan->history;
	size_t i = 0;

	while (i < history->count && history->epochs[i].epoch != epoch)
		i++;
	if (i == history->count)
		return false;
	if (*first < history->epochs[i].first_sequence)
		*first = history->epochs[i].first_sequence;
	if (*first <= scan->after.sequence)
		*first = scan->after.sequence + 1;
	if (i + 1 < history->count && *last >= history->epochs[i + 1].first_sequence)
		*last = history->epochs[i + 1].first_sequence - 1;
	/* The newest epoch has no end of its own. */
	if (*last > scan->end.sequence)
		*last = scan->end.sequence;
	return *first <= *last;
}

/* Narrows @shipped, which is a whole record, to @count entries from number @skip on. */
static int cut(struct shipped_record *shipped, uint32_t skip, uint32_t count)
{
	struct bytes_reader reader = bytes_reader(shipped->payload, shipped->payload_len);
	const uint8_t *from = shipped->payload;
	int r = 0;

	if (count == shipped->count)
		return 0;
	for (uint32_t i = 0; i < skip + count && r == 0; i++) {
		struct entry entry;

		if (i == skip)
			from = reader.at;
		r = entry_decode(&reader, &entry);
	}
	shipped->payload = from;
	shipped->payload_len = (size_t)(reader.at - from);
	shipped->first_sequence += skip;
	shipped->count = count;
	return r;
}

static int give(struct log_scan *scan, const struct wal_record *record)
{
	uint64_t first = record->first_sequence, last = first + record->count - 1;
	struct shipped_record shipped = {
		.epoch = record->epoch,
		.first_sequence = first,
		.time_ns = record->time_ns,
		.count = record->count,
		.payload = record->payload,
		.payload_len = record->payload_len,
	};
	int r;

	if (record->flags != 0 || !clip(scan, record->epoch, &first, &last))
		return 0;
	if (first != scan->after.sequence + 1 && !scan->from_oldest) {
		if (scan->may_be_trimmed)
			return NOTHING_MORE;
		log_error("log has a gap", "file=%08" PRIx64 " offset=%" PRIu64, record->file_id,
			  record->offset);
		return -EBADMSG;
	}
	r = cut(&shipped, (uint32_t)(first - record->first_sequence), (uint32_t)(last - first + 1));
	if (r < 0)
		return r;
	if (scan->bytes > 0 && scan->bytes + shipped.payload_len > scan->bytes_max)
		return NOTHING_MORE;
	r = scan->record(&shipped, scan->state);
	if (r != 0)
		return r;
	scan->may_be_trimmed = false;
	scan->bytes += shipped.payload_len;
	scan->after = (struct version){ record->epoch, last };
	return 0;
}

static int note_damage(struct log_scan *scan, const struct log_cursor *at, int r)
{
	if (r == 0)
		r = -EBADMSG;
	if (r != -ENOMEM)
		store_log_note_damage(scan->store, at->file_id, at->offset, r);
	return r;
}

/* From @cursor on to the end of its file; it is moved behind what was given. */
static int scan_file(struct log_scan *scan, const struct wal_extent *extent,
		     struct log_cursor *cursor)
{
	struct store *store = scan->store;
	struct wal_reader reader;
	int r;

	r = wal_reader_open(&reader, store->options.vfs, store->dir, store->files.identity.store_id,
			    extent->file_id);
	if (r < 0)
		return r;
	/* Behind it bytes may change while they are read. */
	if (reader.file_bytes > extent->bytes)
		reader.file_bytes = extent->bytes;
	reader.offset = cursor->offset;
	while (r == 0 && reader.offset < extent->bytes) {
		struct wal_mark mark = cursor->mark;
		struct wal_reader_record from;
		struct wal_record record = { 0 };

		r = wal_reader_next(&reader, &from);
		if (r > 0) {
			record = wal_reader_to_record(&reader, &from);
			r = record.flags & WAL_CLEAN_CLOSE || wal_mark_advance(&mark, &record);
		}
		r = r > 0 ? give(scan, &record) : note_damage(scan, cursor, r);
		if (r == 0) {
			cursor->offset = reader.offset;
			cursor->mark = mark;
		}
	}
	wal_reader_close(&reader);
	return r;
}

/* 0, or what ended it. */
static int scan_from(struct log_scan *scan, size_t file, struct log_cursor *cursor)
{
	int r = 0;

	for (size_t i = file; i < scan->count && r == 0; i++) {
		const struct wal_extent *extent = &scan->extents[i];

		if (cursor->file_id != extent->file_id)
			*cursor = (struct log_cursor){
				.file_id = extent->file_id,
				.offset = WAL_FILE_HEADER_BYTES,
				.mark = extent->base,
			};
		r = scan_file(scan, extent, cursor);
	}
	return r;
}

/* The place where an earlier read stopped, if its file is still there. */
static size_t resume(struct log_scan *scan, struct log_cursor *ret_cursor)
{
	if (log_cursors_find(&scan->store->log_cursors, scan->after, ret_cursor))
		for (size_t i = 0; i < scan->count; i++)
			if (scan->extents[i].file_id == ret_cursor->file_id)
				return i;
	*ret_cursor = (struct log_cursor){ 0 };
	return find_file(scan);
}

static int scan_log(struct log_scan *scan)
{
	struct log_cursor cursor;
	size_t file;
	int r;

	if (!history_contains(&scan->history, scan->after) ||
	    scan->after.sequence > scan->end.sequence)
		return STORE_LOG_FOREIGN;
	file = resume(scan, &cursor);
	scan->may_be_trimmed = file == scan->count;
	r = scan_from(scan, scan->may_be_trimmed ? 0 : file, &cursor);
	if (r >= 0 && scan->may_be_trimmed)
		return STORE_LOG_TRIMMED;
	if (scan->bytes > 0 && (r == 0 || r == NOTHING_MORE)) {
		cursor.after = scan->after;
		log_cursors_put(&scan->store->log_cursors, &cursor);
	}
	if (r == NOTHING_MORE)
		return 0;
	/* Trimmed a moment ago: what was read before it counts. */
	return r == -ENOENT && scan->bytes > 0 ? 0 : r;
}

static int find_oldest(struct log_scan *scan)
{
	struct log_cursor cursor = { 0 };
	int r = scan_from(scan, 0, &cursor);

	return r == NOTHING_MORE ? 0 : r;
}

/* *oldest: the oldest file there was; -ENOENT again means that it is missing. */
static int read_once(struct log_scan *scan, uint64_t *oldest)
{
	int r = wal_extents(scan->store->wal, &scan->extents, &scan->count, &scan->end);

	if (r == 0 && scan->extents[0].file_id == *oldest)
		r = -EBADMSG;
	if (r < 0)
		return r;
	*oldest = scan->extents[0].file_id;
	r = take_history(scan->store, &scan->history);
	if (r < 0)
		return r;
	return scan->from_oldest ? find_oldest(scan) : scan_log(scan);
}

/* Again, if a file was trimmed under it. */
static int read_again(const struct log_scan *wanted)
{
	uint64_t oldest = 0;
	int r;

	do {
		struct log_scan scan = *wanted;

		r = read_once(&scan, &oldest);
		scan_deinit(&scan);
	} while (r == -ENOENT);
	return r;
}

int store_log_read(struct store *store, struct version after, size_t bytes_max,
		   int (*record)(const struct shipped_record *record, void *state), void *state)
{
	struct wal_mark synced = wal_synced(store->wal);
	const struct log_scan scan = {
		.store = store,
		.after = after,
		.bytes_max = bytes_max,
		.record = record,
		.state = state,
	};

	return version_compare(version_at(&synced), after) == 0 ? 0 : read_again(&scan);
}

static int note_first(const struct shipped_record *record, void *state)
{
	struct version *first = state;

	*first = (struct version){ record->epoch, record->first_sequence };
	return NOTHING_MORE;
}

static struct version before(const struct history *history, struct version version)
{
	struct version found = { 0 };

	for (size_t i = 0; i < history->count; i++)
		if (history->epochs[i].first_sequence < version.sequence)
			found = (struct version){ history->epochs[i].epoch, version.sequence - 1 };
	return found;
}

int store_log_oldest(struct store *store, struct version *ret_after)
{
	struct wal_mark synced = wal_synced(store->wal);
	struct version first = { 0 };
	const struct log_scan scan = {
		.store = store,
		.record = note_first,
		.state = &first,
		.from_oldest = true,
	};
	struct history history;
	int r = read_again(&scan);

	if (r < 0)
		return r;
	if (first.sequence == 0) {
		*ret_after = version_at(&synced);
		return 0;
	}
	r = store_history(store, &history);
	if (r < 0)
		return r;
	*ret_after = before(&history, first);
	history_deinit(&history);
	return 0;
}

/* How far into a file @after is, as if all its entries were of one size. */
static uint64_t offset_of(const struct log_scan *scan, size_t file)
{
	const struct wal_extent *extent = &scan->extents[file];
	uint64_t end = file + 1 < scan->count ? extent[1].base.sequence : scan->end.sequence;
	uint64_t base = extent->base.sequence;

	if (end <= base || scan->after.sequence >= end)
		return extent->bytes;
	return (uint64_t)((double)extent->bytes * (double)(scan->after.sequence - base) /
			  (double)(end - base));
}

uint64_t store_log_distance(struct store *store, struct version after)
{
	struct log_scan scan = { .store = store, .after = after };
	struct log_cursor cursor;
	uint64_t bytes = 0;
	size_t file;

	if (wal_extents(store->wal, &scan.extents, &scan.count, &scan.end) < 0)
		return 0;
	if (version_compare(version_at(&scan.end), after) == 0) {
		scan_deinit(&scan);
		return 0;
	}
	file = resume(&scan, &cursor);
	for (size_t i = file < scan.count ? file : 0; i < scan.count; i++)
		bytes += scan.extents[i].bytes;
	if (file < scan.count)
		bytes -= cursor.file_id > 0 ? cursor.offset : offset_of(&scan, file);
	scan_deinit(&scan);
	return bytes;
}

int store_log_pin(struct store *store, uint64_t position, struct wal_pin **ret_pin)
{
	int r = wal_pin(store->wal, position, ret_pin);

	return r == WAL_TRIMMED ? STORE_LOG_TRIMMED : r;
}

int store_log_hold(struct store *store, struct version after, struct wal_pin **pin)
{
	int r = wal_hold(store->wal, after.sequence, pin);

	return r == WAL_TRIMMED ? STORE_LOG_TRIMMED : r;
}

struct wal_pin *store_log_unpin(struct store *store, struct wal_pin *pin)
{
	return wal_unpin(store->wal, pin);
}

/* SPDX-License-Identifier: MIT */
/*
 * The writer. A new file is made durable, with its name, before records are appended to it, so that
 * one record that promises anything proves that the header was good. What has been written since
 * the last successful sync is also kept in memory (the window): after a failed sync nobody knows
 * which of its pages reached the disk, and asking that file again would lie, so the window is
 * written to a new file instead. The new file's header says how much of the old one counts. While a
 * sync is under way there are two windows: of what it is for, and of what was appended meanwhile.
 *
 * A file whose header may have reached the disk must never be followed by more records in its
 * predecessor: recovery would end the predecessor where that header says. That is why a start that
 * failed late breaks the log, and why ids are never used twice.
 */
#include "lib/cleanup.h"
#include "node/wal_private.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define SMALL_RECORD_BYTES 2048

static int write_header(struct vfs_file *file, const struct wal_file_header *header)
{
	uint8_t bytes[WAL_FILE_HEADER_BYTES];
	struct iovec part = { bytes, sizeof(bytes) };

	wal_file_header_encode(header, bytes);
	return vfs_pwritev(file, &part, 1, 0);
}

/* A full disk may still have room for a small file; a few records more spare each of them a file of
 * its own. */
static int allocate(struct wal *wal, struct vfs_file *file, uint64_t need, uint64_t *ret_capacity)
{
	const uint64_t spare[] = { need < wal->file_bytes ? wal->file_bytes - need : 0,
				   wal->file_bytes / 64, 0 };
	int r = -ENOSPC;

	for (size_t i = 0; i < 3 && (r == -ENOSPC || r == -EDQUOT); i++) {
		*ret_capacity = need + spare[i];
		r = vfs_allocate(file, 0, *ret_capacity);
	}
	return r;
}

/* Removes a file that was started in vain. */
static void give_up(struct wal *wal, struct wal_writer *writer)
{
	_cleanup_(freep) char *path = wal_file_path(wal->dir, writer->id);

	vfs_close(writer->file);
	if (path)
		vfs_unlink(wal->vfs, path);
}

/* The kernel takes one small piece in less time than three. */
static int write_parts(struct wal_writer *writer, const struct iovec parts[3])
{
	size_t len = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len, at = 0;
	uint8_t bytes[SMALL_RECORD_BYTES];
	struct iovec all = { bytes, len };

	if (len > sizeof(bytes))
		return vfs_pwritev(writer->file, parts, 3, writer->end);
	for (unsigned i = 0; i < 3; i++) {
		if (parts[i].iov_len > 0)
			memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
		at += parts[i].iov_len;
	}
	return vfs_pwritev(writer->file, &all, 1, writer->end);
}

static int write_record(struct wal *wal, struct wal_writer *writer, uint64_t synced,
			const struct wal_record *record)
{
	static const uint8_t padding[WAL_ALIGN];
	struct wal_record_header header = {
		.payload_len = (uint32_t)record->payload_len,
		.flags = record->flags,
		.count = record->count,
		.epoch = record->epoch,
		.first_sequence = record->first_sequence,
		.first_position = record->first_position,
		.synced = synced,
		.time_ns = record->time_ns,
		.payload_hash = hash128(record->payload, record->payload_len),
	};
	uint64_t bytes = wal_record_bytes(record->payload_len);
	uint8_t head[WAL_RECORD_HEADER_BYTES];
	struct iovec parts[] = {
		{ head, sizeof(head) },
		{ (void *)(uintptr_t)record->payload, record->payload_len },
		{ (void *)(uintptr_t)padding,
		  (size_t)bytes - WAL_RECORD_HEADER_BYTES - record->payload_len },
	};
	int r;

	assert(writer->end + bytes <= writer->capacity);
	wal_record_header_encode(&header, wal_seed(wal->store_id, writer->id, writer->end), head);
	r = write_parts(writer, parts);
	if (r == 0)
		writer->end += bytes;
	return r;
}

static int write_again(struct wal *wal, const struct wal_window *window, struct wal_writer *writer)
{
	int r = 0;

	for (size_t i = 0; i < window->count && r == 0; i++) {
		struct wal_record record = wal_window_get(window, i);

		r = write_record(wal, writer, 0, &record);
	}
	return r;
}

/* Promises nothing yet: only the header, which is synced after them, makes them count. */
static int write_windows(struct wal *wal, struct wal_writer *writer)
{
	int r = write_again(wal, &wal->older, writer);

	if (r == 0)
		r = write_again(wal, &wal->window, writer);
	if (r == 0 && wal_unsynced(wal) > 0)
		r = vfs_sync(writer->file);
	return r;
}

/*
 * A durable file that holds the window and has room for @need bytes of records and the mark of a
 * clean close. From the moment its header is durable the predecessor ends where the header says, so
 * what replaces the rest of it goes first:
 *   1. the window, synced; 2. the header, synced; 3. the name.
 * *ret_touched: the header may have reached the disk.
 */
static int start_file(struct wal *wal, const struct wal_file_header *header, uint64_t need,
		      struct wal_writer *ret_writer, bool *ret_touched)
{
	_cleanup_(freep) char *path = wal_file_path(wal->dir, header->file_id);
	struct wal_writer writer = { .id = header->file_id, .end = WAL_FILE_HEADER_BYTES };
	int r;

	*ret_touched = false;
	if (!path)
		return -ENOMEM;
	r = vfs_open(wal->vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, &writer.file);
	if (r < 0)
		return r;
	r = allocate(wal, writer.file, WAL_FILE_HEADER_BYTES + need + wal_record_bytes(0),
		     &writer.capacity);
	if (r == 0)
		r = write_windows(wal, &writer);
	if (r == 0) {
		*ret_touched = true;
		r = write_header(writer.file, header);
	}
	if (r == 0)
		r = vfs_sync(writer.file);
	if (r == 0)
		r = wal_sync_dir(wal);
	if (r < 0) {
		give_up(wal, &writer);
		return r;
	}
	*ret_writer = writer;
	return 0;
}

/* From now on @writer is the file that is written; all of it is on stable storage. */
static int install(struct wal *wal, const struct wal_writer *writer, struct wal_mark base,
		   int64_t time_ns)
{
	struct wal_file_info info = {
		.id = writer->id,
		.bytes = writer->end,
		.base = base,
		.last_position = wal->last.position,
		.last_time_ns = time_ns,
	};
	int r = wal_files_add(&wal->files, &info, wal->last);

	if (r < 0)
		return r;
	if (wal->writer.file) {
		/* Gives back what was preallocated and not used; what counts is below. */
		vfs_truncate(wal->writer.file, wal->writer.end);
		vfs_close(wal->writer.file);
	}
	wal->writer = *writer;
	wal->synced = writer->end;
	wal->synced_mark = wal->last;
	return 0;
}

static struct wal_file_header next_header(struct wal *wal, uint64_t predecessor_bytes,
					  struct wal_mark base, int64_t now_ns)
{
	struct wal_file_header header = {
		.file_id = ++wal->last_id,
		.predecessor_id = wal->writer.id,
		.predecessor_bytes = wal->writer.id > 0 ? predecessor_bytes : 0,
		.base_position = base.position,
		.base_epoch = base.epoch,
		.base_sequence = base.sequence,
		.time_ns = now_ns,
	};

	memcpy(header.store_id, wal->store_id, 16);
	return header;
}

static int rotate(struct wal *wal, uint64_t need, int64_t now_ns)
{
	struct wal_file_header header;
	struct wal_writer writer;
	bool touched;
	int r = wal_sync(wal);

	if (r < 0)
		return r;
	header = next_header(wal, wal->writer.end, wal->last, now_ns);
	r = start_file(wal, &header, need, &writer, &touched);
	if (r == 0) {
		r = install(wal, &writer, wal->last, now_ns);
		if (r < 0)
			give_up(wal, &writer);
	}
	if (r < 0)
		wal->broken |= touched;
	return r;
}

int wal_rotate(struct wal *wal, int64_t now_ns)
{
	if (wal->broken)
		return -EIO;
	return wal->writer.end > WAL_FILE_HEADER_BYTES ? rotate(wal, 0, now_ns) : 0;
}

int wal_restart(struct wal *wal, uint64_t epoch, int64_t now_ns)
{
	struct wal_mark base = { wal->last.position, epoch, wal->last.sequence + 1 };
	struct wal_mark before = wal->last;
	struct wal_file_header header;
	struct wal_writer writer;
	bool touched;
	int r = wal_sync(wal);

	if (r < 0)
		return r;
	header = next_header(wal, 0, base, now_ns);
	header.predecessor_id = 0;
	r = start_file(wal, &header, 0, &writer, &touched);
	if (r == 0) {
		wal->last = base;
		r = install(wal, &writer, base, now_ns);
		if (r < 0) {
			wal->last = before;
			give_up(wal, &writer);
		}
	}
	if (r < 0)
		wal->broken |= touched;
	return r;
}

bool wal_mark_advance(struct wal_mark *mark, const struct wal_record *record)
{
	uint64_t next = mark->sequence + 1;

	if (record->first_position != mark->position + 1)
		return false;
	switch (record->flags) {
	case WAL_RESET:
		if (record->count > 0 || record->payload_len > 0 || record->first_sequence == 0 ||
		    record->first_sequence > next || record->epoch > mark->epoch)
			return false;
		mark->epoch = record->epoch;
		mark->sequence = record->first_sequence - 1;
		return true;
	case WAL_REPAIR:
		if (record->count == 0 || record->first_sequence != next ||
		    record->epoch != mark->epoch)
			return false;
		break;
	case 0:
		if (record->count == 0 || record->first_sequence != next ||
		    record->epoch < mark->epoch)
			return false;
		mark->epoch = record->epoch;
		mark->sequence += record->count;
		break;
	default:
		return false;
	}
	mark->position += record->count;
	return record->payload_len > 0;
}

bool wal_fits(const struct wal *wal, size_t payload_len)
{
	return wal->writer.end + wal_record_bytes(payload_len) + wal_record_bytes(0) <=
	       wal->writer.capacity;
}

int wal_append(struct wal *wal, const struct wal_record *record)
{
	uint64_t need = wal_record_bytes(record->payload_len);
	struct wal_mark mark = wal->last;
	bool continues = wal_mark_advance(&mark, record);
	int r;

	assert(record->payload_len <= WAL_RECORD_BYTES_MAX);
	assert(continues);
	(void)continues;
	if (wal->broken)
		return -EIO;
	if (!wal_fits(wal, record->payload_len)) {
		r = rotate(wal, need, record->time_ns);
		if (r < 0)
			return r;
	}
	r = wal_window_add(&wal->window, record);
	if (r < 0)
		return r;
	r = write_record(wal, &wal->writer, wal->synced, record);
	if (r < 0) {
		wal_window_cut(&wal->window, wal->last.position);
		wal->broken = true;
		return r;
	}
	wal->last = mark;
	wal_files_note_grown(&wal->files, wal->writer.end, mark.position, record->time_ns);
	return 0;
}

int wal_sync_begin(struct wal *wal, struct wal_sync *ret_sync)
{
	struct wal_window cleared = wal->older;

	assert(!wal->syncing);
	if (wal->broken)
		return -EIO;
	assert(wal->older.count == 0);
	if (wal->synced == wal->writer.end)
		return 0;
	wal->older = wal->window;
	wal->window = cleared;
	wal->syncing = true;
	*ret_sync = (struct wal_sync){ wal->writer.file, wal->writer.end, wal->last };
	return WAL_TO_SYNC;
}

int wal_sync_run(const struct wal_sync *sync)
{
	return vfs_sync(sync->file);
}

int wal_sync_end(struct wal *wal, const struct wal_sync *sync, int result)
{
	wal->syncing = false;
	if (result < 0) {
		wal->broken = true;
		return result;
	}
	wal->synced = sync->end;
	wal->synced_mark = sync->mark;
	wal_window_clear(&wal->older);
	wal_files_note_synced(&wal->files, wal->synced, sync->mark);
	return 0;
}

int wal_sync(struct wal *wal)
{
	struct wal_sync sync;
	int r = wal_sync_begin(wal, &sync);

	return r == WAL_TO_SYNC ? wal_sync_end(wal, &sync, wal_sync_run(&sync)) : r;
}

size_t wal_unsynced(const struct wal *wal)
{
	return wal->older.bytes.len + wal->window.bytes.len;
}

bool wal_is_broken(const struct wal *wal)
{
	return wal->broken;
}

/* Moves @mark behind the records of @window. Returns what they take in a file. */
static uint64_t pass_window(const struct wal_window *window, struct wal_mark *mark)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < window->count; i++) {
		struct wal_record record = wal_window_get(window, i);
		bool continues = wal_mark_advance(mark, &record);

		assert(continues);
		(void)continues;
		bytes += wal_record_bytes(record.payload_len);
	}
	return bytes;
}

int wal_reopen(struct wal *wal, uint64_t position, int64_t now_ns)
{
	struct wal_mark base = wal->synced_mark, last = base;
	struct wal_file_header header;
	struct wal_writer writer;
	uint64_t need;
	bool touched;
	int r;

	assert(!wal->syncing);
	wal_window_cut(&wal->window, position);
	wal_window_cut(&wal->older, position);
	need = pass_window(&wal->older, &last);
	need += pass_window(&wal->window, &last);
	wal->broken = true; /* until the end */
	header = next_header(wal, wal->synced, base, now_ns);
	r = start_file(wal, &header, need, &writer, &touched);
	if (r < 0)
		return r;
	wal->writer.end = wal->synced;
	wal_files_cut_last(&wal->files, base.position);
	wal->last = last;
	r = install(wal, &writer, base, now_ns);
	if (r < 0) {
		give_up(wal, &writer);
		return r;
	}
	wal->broken = false;
	wal_window_clear(&wal->older);
	wal_window_clear(&wal->window);
	return 0;
}

int wal_begin_at(struct wal *wal, struct wal_mark base, int64_t now_ns)
{
	struct wal_file_header header = next_header(wal, 0, base, now_ns);
	struct wal_writer writer;
	bool touched;
	int r;

	r = start_file(wal, &header, 0, &writer, &touched);
	if (r < 0)
		return r;
	wal->last = base;
	r = install(wal, &writer, base, now_ns);
	if (r < 0)
		give_up(wal, &writer);
	return r;
}

/* The mark is synced too: then any damage to the file is known as such. */
int wal_finish(struct wal *wal)
{
	struct wal_record mark = {
		.flags = WAL_CLEAN_CLOSE,
		.first_position = wal->last.position + 1,
	};
	int r = wal_sync(wal);

	if (r == 0)
		r = write_record(wal, &wal->writer, wal->synced, &mark);
	if (r == 0)
		r = vfs_truncate(wal->writer.file, wal->writer.end);
	return r == 0 ? vfs_sync(wal->writer.file) : r;
}

struct wal *wal_close(struct wal *wal)
{
	if (wal)
		(void)wal_finish(wal);
	return wal_abandon(wal);
}

struct wal *wal_abandon(struct wal *wal)
{
	if (!wal)
		return NULL;
	vfs_close(wal->writer.file);
	wal_files_deinit(&wal->files);
	wal_window_deinit(&wal->older);
	wal_window_deinit(&wal->window);
	free(wal->dir);
	free(wal);
	return NULL;
}

struct wal_mark wal_last(const struct wal *wal)
{
	return wal->last;
}

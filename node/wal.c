/* SPDX-License-Identifier: MIT */
/*
 * The writer. A new file is made durable, with its name, before records are appended to it, so that
 * one record that promises anything proves that the header was good. What has been written since
 * the last successful sync is also kept in memory (the window): after a failed sync nobody knows
 * which of its pages reached the disk, and asking that file again would lie, so the window is
 * written to a new file instead. The new file's header says how much of the old one counts.
 *
 * A file whose header may have reached the disk must never be followed by more records in its
 * predecessor: recovery would end the predecessor where that header says. That is why a start that
 * failed late breaks the log, and why ids are never used twice.
 */
#include "node/wal.h"

#include "lib/cleanup.h"
#include "lib/mutex.h"
#include "node/wal_reader.h"
#include "node/wal_recovery.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct window_record {
	struct wal_record record; /* payload is an offset into bytes until it is used */
	size_t payload_offset;
};

/* A log file that is written. */
struct wal_writer {
	struct vfs_file *file;
	uint64_t id;
	uint64_t capacity; /* preallocated */
	uint64_t end;
};

struct wal {
	/* immutable after open */
	struct vfs *vfs;
	char *dir;
	uint8_t store_id[16];
	uint64_t file_bytes;

	/* owned by the appending thread */
	struct wal_writer writer;
	uint64_t synced; /* of writer */
	struct wal_mark synced_mark, last;
	uint64_t last_id;
	bool broken;
	struct window_record *window; /* records behind synced */
	size_t window_count, window_cap;
	struct buf window_bytes;

	struct mutex lock;
	/* protected by lock */
	struct wal_file_info *files; /* oldest first; the last one is the writer's */
	size_t file_count, file_cap;
};

static int add_file(struct wal *wal, const struct wal_file_info *info)
{
	int r = 0;

	mutex_lock(&wal->lock);
	if (wal->file_count == wal->file_cap) {
		size_t cap = wal->file_cap ? wal->file_cap * 2 : 16;
		struct wal_file_info *files = realloc(wal->files, cap * sizeof(*files));

		if (files) {
			wal->files = files;
			wal->file_cap = cap;
		} else {
			r = -ENOMEM;
		}
	}
	if (r == 0)
		wal->files[wal->file_count++] = *info;
	mutex_unlock(&wal->lock);
	return r;
}

/* What the list says of the file that is written. */
static void update_current(struct wal *wal, int64_t time_ns)
{
	struct wal_file_info *info;

	mutex_lock(&wal->lock);
	info = &wal->files[wal->file_count - 1];
	info->bytes = wal->writer.end;
	info->last_position = wal->last.position;
	if (time_ns > info->last_time_ns)
		info->last_time_ns = time_ns;
	mutex_unlock(&wal->lock);
}

static int window_add(struct wal *wal, const struct wal_record *record)
{
	struct window_record *slot;
	int r;

	if (wal->window_count == wal->window_cap) {
		size_t cap = wal->window_cap ? wal->window_cap * 2 : 64;
		struct window_record *window = realloc(wal->window, cap * sizeof(*window));

		if (!window)
			return -ENOMEM;
		wal->window = window;
		wal->window_cap = cap;
	}
	slot = &wal->window[wal->window_count];
	slot->record = *record;
	slot->payload_offset = wal->window_bytes.len;
	r = buf_append(&wal->window_bytes, record->payload, record->payload_len);
	if (r == 0)
		wal->window_count++;
	return r;
}

static void window_clear(struct wal *wal)
{
	wal->window_count = 0;
	buf_clear(&wal->window_bytes);
}

/* Drops the records that begin behind @position. */
static void window_cut(struct wal *wal, uint64_t position)
{
	while (wal->window_count > 0) {
		struct window_record *last = &wal->window[wal->window_count - 1];

		if (last->record.first_position <= position)
			break;
		wal->window_bytes.len = last->payload_offset;
		wal->window_count--;
	}
}

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

static int sync_log_dir(struct wal *wal)
{
	_cleanup_(freep) char *path = NULL;

	if (asprintf(&path, "%s/log", wal->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return vfs_sync_dir(wal->vfs, path);
}

/* Removes a file that was started in vain. */
static void give_up(struct wal *wal, struct wal_writer *writer)
{
	_cleanup_(freep) char *path = wal_file_path(wal->dir, writer->id);

	vfs_close(writer->file);
	if (path)
		vfs_unlink(wal->vfs, path);
}

static int write_record(struct wal *wal, struct wal_writer *writer, uint64_t synced,
			const struct wal_record *record, uint16_t flags)
{
	static const uint8_t padding[WAL_ALIGN];
	struct wal_record_header header = {
		.payload_len = (uint32_t)record->payload_len,
		.flags = flags,
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
	r = vfs_pwritev(writer->file, parts, 3, writer->end);
	if (r == 0)
		writer->end += bytes;
	return r;
}

/* Promises nothing yet: only the header, which is synced after them, makes them count. */
static int write_window(struct wal *wal, struct wal_writer *writer)
{
	int r = 0;

	for (size_t i = 0; i < wal->window_count && r == 0; i++) {
		struct wal_record record = wal->window[i].record;

		record.payload = wal->window_bytes.data + wal->window[i].payload_offset;
		r = write_record(wal, writer, 0, &record, 0);
	}
	if (r == 0 && wal->window_count > 0)
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
		r = write_window(wal, &writer);
	if (r == 0) {
		*ret_touched = true;
		r = write_header(writer.file, header);
	}
	if (r == 0)
		r = vfs_sync(writer.file);
	if (r == 0)
		r = sync_log_dir(wal);
	if (r < 0) {
		give_up(wal, &writer);
		return r;
	}
	*ret_writer = writer;
	return 0;
}

/* From now on @writer is the file that is written. */
static int install(struct wal *wal, const struct wal_writer *writer, int64_t time_ns)
{
	struct wal_file_info info = {
		.id = writer->id,
		.bytes = writer->end,
		.last_position = wal->last.position,
		.last_time_ns = time_ns,
	};
	int r = add_file(wal, &info);

	if (r < 0)
		return r;
	if (wal->writer.file) {
		/* Gives back what was preallocated and not used; what counts is below. */
		vfs_truncate(wal->writer.file, wal->writer.end);
		vfs_close(wal->writer.file);
	}
	wal->writer = *writer;
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
		r = install(wal, &writer, now_ns);
		if (r < 0)
			give_up(wal, &writer);
	}
	if (r < 0) {
		wal->broken |= touched;
		return r;
	}
	wal->synced = wal->writer.end;
	return 0;
}

int wal_rotate(struct wal *wal, int64_t now_ns)
{
	if (wal->broken)
		return -EIO;
	return wal->writer.end > WAL_FILE_HEADER_BYTES ? rotate(wal, 0, now_ns) : 0;
}

static struct wal_mark mark_behind(const struct wal_record *record)
{
	return (struct wal_mark){
		.position = record->first_position + record->count - 1,
		.sequence = record->first_sequence + record->count - 1,
	};
}

int wal_append(struct wal *wal, const struct wal_record *record)
{
	uint64_t need = wal_record_bytes(record->payload_len);
	int r;

	assert(record->payload_len <= WAL_RECORD_BYTES_MAX);
	assert(record->count > 0 && record->first_position == wal->last.position + 1);
	if (wal->broken)
		return -EIO;
	if (wal->writer.end + need + wal_record_bytes(0) > wal->writer.capacity) {
		r = rotate(wal, need, record->time_ns);
		if (r < 0)
			return r;
	}
	r = window_add(wal, record);
	if (r < 0)
		return r;
	r = write_record(wal, &wal->writer, wal->synced, record, 0);
	if (r < 0) {
		window_cut(wal, wal->last.position);
		wal->broken = true;
		return r;
	}
	wal->last = mark_behind(record);
	update_current(wal, record->time_ns);
	return 0;
}

int wal_sync(struct wal *wal)
{
	int r;

	if (wal->broken)
		return -EIO;
	if (wal->synced == wal->writer.end)
		return 0;
	r = vfs_sync(wal->writer.file);
	if (r < 0) {
		wal->broken = true;
		return r;
	}
	wal->synced = wal->writer.end;
	wal->synced_mark = wal->last;
	window_clear(wal);
	return 0;
}

size_t wal_unsynced(const struct wal *wal)
{
	return wal->window_bytes.len;
}

bool wal_is_broken(const struct wal *wal)
{
	return wal->broken;
}

int wal_reopen(struct wal *wal, uint64_t position, int64_t now_ns)
{
	struct wal_file_header header;
	struct wal_writer writer;
	struct wal_mark last = wal->synced_mark;
	uint64_t need = 0;
	bool touched;
	int r;

	window_cut(wal, position);
	for (size_t i = 0; i < wal->window_count; i++) {
		need += wal_record_bytes(wal->window[i].record.payload_len);
		last = mark_behind(&wal->window[i].record);
	}
	wal->broken = true; /* until the end */
	header = next_header(wal, wal->synced, wal->synced_mark, now_ns);
	r = start_file(wal, &header, need, &writer, &touched);
	if (r < 0)
		return r;
	wal->writer.end = wal->synced;
	wal->last = wal->synced_mark;
	if (wal->writer.file)
		update_current(wal, 0);
	wal->last = last;
	r = install(wal, &writer, now_ns);
	if (r < 0) {
		give_up(wal, &writer);
		return r;
	}
	wal->synced = wal->writer.end;
	wal->synced_mark = wal->last;
	wal->broken = false;
	window_clear(wal);
	return 0;
}

void wal_add_weight(struct wal *wal, uint64_t file_id, uint64_t bytes)
{
	mutex_lock(&wal->lock);
	for (size_t i = wal->file_count; i > 0; i--) {
		if (wal->files[i - 1].id != file_id)
			continue;
		wal->files[i - 1].weight += bytes;
		break;
	}
	mutex_unlock(&wal->lock);
}

/* Takes the oldest file off the list if it may go. */
static bool take_victim(struct wal *wal, uint64_t position, uint64_t keep_bytes,
			int64_t keep_after_ns, struct wal_file_info *ret_victim)
{
	uint64_t total = 0;
	bool taken = false;

	mutex_lock(&wal->lock);
	for (size_t i = 0; i < wal->file_count; i++)
		total += wal->files[i].bytes + wal->files[i].weight;
	if (wal->file_count > 1 && wal->files[0].last_position <= position &&
	    (total > keep_bytes || wal->files[0].last_time_ns < keep_after_ns)) {
		*ret_victim = wal->files[0];
		wal->file_count--;
		memmove(wal->files, wal->files + 1, wal->file_count * sizeof(*wal->files));
		taken = true;
	}
	mutex_unlock(&wal->lock);
	return taken;
}

int wal_trim(struct wal *wal, uint64_t position, uint64_t keep_bytes, int64_t keep_after_ns,
	     void (*dropped)(uint64_t position, void *state), void *state)
{
	struct wal_file_info victim = { 0 };
	uint64_t up_to = 0;
	int r = 0;

	while (r == 0 && take_victim(wal, position, keep_bytes, keep_after_ns, &victim)) {
		_cleanup_(freep) char *path = wal_file_path(wal->dir, victim.id);

		r = path ? vfs_unlink(wal->vfs, path) : -ENOMEM;
		if (r == -ENOENT)
			r = 0;
		if (r == 0)
			up_to = victim.last_position;
	}
	if (up_to == 0)
		return r;
	/* Only a file that can't come back releases what its entries refer to. */
	if (sync_log_dir(wal) == 0)
		dropped(up_to, state);
	return r;
}

/* The part of the last file that nobody promised. */
static int load_window(struct wal *wal, const struct wal_recovery *recovery)
{
	const struct wal_file_info *last = &recovery->files[recovery->file_count - 1];
	struct wal_reader reader;
	struct wal_reader_record from;
	int r;

	r = wal_reader_open(&reader, wal->vfs, wal->dir, wal->store_id, last->id);
	if (r < 0)
		return r;
	reader.offset = recovery->synced;
	while (r == 0 && reader.offset < recovery->end) {
		struct wal_record record;

		r = wal_reader_next(&reader, &from);
		if (r <= 0) {
			r = r < 0 ? r : -EBADMSG;
			break;
		}
		record = (struct wal_record){
			.epoch = from.header.epoch,
			.first_sequence = from.header.first_sequence,
			.first_position = from.header.first_position,
			.count = from.header.count,
			.time_ns = from.header.time_ns,
			.payload = from.payload,
			.payload_len = from.header.payload_len,
		};
		r = window_add(wal, &record);
	}
	wal_reader_close(&reader);
	return r;
}

static int adopt(struct wal *wal, const struct wal_recovery *recovery)
{
	int r = 0;

	wal->last_id = recovery->last_id;
	wal->last = wal->synced_mark = recovery->end_mark;
	for (size_t i = 0; i < recovery->file_count && r == 0; i++)
		r = add_file(wal, &recovery->files[i]);
	if (r < 0 || recovery->file_count == 0)
		return r;
	wal->writer.id = recovery->files[recovery->file_count - 1].id;
	wal->writer.end = recovery->end;
	wal->synced = recovery->synced;
	r = load_window(wal, recovery);
	if (r < 0)
		return r;
	if (wal->window_count > 0) {
		wal->synced_mark.position = wal->window[0].record.first_position - 1;
		wal->synced_mark.sequence = wal->window[0].record.first_sequence - 1;
	}
	wal->files[wal->file_count - 1].bytes = wal->synced;
	wal->files[wal->file_count - 1].last_position = wal->synced_mark.position;
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

		if (path && vfs_open(wal->vfs, path, VFS_WRITE, &file) == 0)
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

static int wal_new(const struct wal_options *options, struct wal **ret_wal)
{
	struct wal *wal = calloc(1, sizeof(*wal));

	if (!wal)
		return -ENOMEM;
	mutex_init(&wal->lock);
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

/* The mark is synced too: then any damage to the file is known as such. */
static void close_cleanly(struct wal *wal)
{
	struct wal_record mark = { .first_position = wal->last.position + 1 };

	if (wal_sync(wal) < 0)
		return;
	if (write_record(wal, &wal->writer, wal->synced, &mark, WAL_CLEAN_CLOSE) < 0)
		return;
	if (vfs_truncate(wal->writer.file, wal->writer.end) < 0)
		return;
	vfs_sync(wal->writer.file);
}

struct wal *wal_close(struct wal *wal)
{
	if (wal)
		close_cleanly(wal);
	return wal_abandon(wal);
}

struct wal *wal_abandon(struct wal *wal)
{
	if (!wal)
		return NULL;
	vfs_close(wal->writer.file);
	mutex_deinit(&wal->lock);
	free(wal->files);
	free(wal->window);
	buf_deinit(&wal->window_bytes);
	free(wal->dir);
	free(wal);
	return NULL;
}

uint64_t wal_bytes(struct wal *wal)
{
	uint64_t bytes = 0;

	mutex_lock(&wal->lock);
	for (size_t i = 0; i < wal->file_count; i++)
		bytes += wal->files[i].bytes;
	mutex_unlock(&wal->lock);
	return bytes;
}

unsigned wal_files(struct wal *wal)
{
	size_t count;

	mutex_lock(&wal->lock);
	count = wal->file_count;
	mutex_unlock(&wal->lock);
	return (unsigned)count;
}

uint64_t wal_current_file(struct wal *wal)
{
	uint64_t id;

	mutex_lock(&wal->lock);
	id = wal->file_count > 0 ? wal->files[wal->file_count - 1].id : 0;
	mutex_unlock(&wal->lock);
	return id;
}

struct wal_mark wal_last(const struct wal *wal)
{
	return wal->last;
}

/* SPDX-License-Identifier: MIT */
/*
 * The writer. Everything goes to a temporary file; 1. it is on stable storage, 2. it gets its name,
 * 3. the directory is on stable storage. Only then may the writes be given up that are in it.
 */
#include "node/diverged.h"

#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "node/diverged_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEMPORARY "diverged.tmp"
/* As with value files: one sync of gigabytes would hold up those of the log. */
#define SYNC_EVERY_BYTES ((uint64_t)16 * 1024 * 1024)
#define NAMES_MAX        1000
#define REFUSALS_MAX     6

/* A value that is in the file already. */
struct saved_value {
	uint64_t file_id;
	uint64_t offset; /* of its first chunk */
};

struct diverged_writer {
	struct vfs *vfs;
	char *dir;
	char *temporary;
	struct vfs_file *file;
	uint64_t file_id;
	uint64_t bytes; /* written */
	uint64_t unsynced;
	int error; /* the first failure: nothing is written after it */
	struct hash_stream *hash;
	struct diverged_end end;
	uint64_t newest_epoch, lowest, highest; /* of the versions in it */
	struct buf values; /* struct saved_value, by file id */
	/* The value that is being copied. */
	struct value_file *value; /* NULL: none */
	uint64_t value_bytes, next_chunk;
	unsigned refusals; /* in a row, to read something */
	uint8_t *chunk;
	struct buf scratch;
};

static char *path_of(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static void writer_free(struct diverged_writer *writer)
{
	vfs_close(writer->file);
	value_file_unref(writer->value);
	if (writer->hash)
		hash_stream_free(writer->hash);
	buf_deinit(&writer->values);
	buf_deinit(&writer->scratch);
	free(writer->chunk);
	free(writer->temporary);
	free(writer->dir);
	free(writer);
}

struct diverged_writer *diverged_writer_abort(struct diverged_writer *writer)
{
	if (!writer)
		return NULL;
	if (writer->file)
		vfs_unlink(writer->vfs, writer->temporary);
	writer_free(writer);
	return NULL;
}
DEFINE_CLEANUP(struct diverged_writer *, diverged_writer_abort)

void diverged_sweep(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *path = path_of(dir, TEMPORARY);

	if (path)
		vfs_unlink(vfs, path);
}

static int append(struct diverged_writer *writer, enum diverged_kind kind, const void *payload,
		  size_t len)
{
	uint8_t head[DIVERGED_HEAD_BYTES], sum[DIVERGED_SUM_BYTES], kind_byte = (uint8_t)kind;
	struct iovec parts[] = { { head, sizeof(head) },
				 { (void *)(uintptr_t)payload, len },
				 { sum, sizeof(sum) } };

	if (writer->error < 0)
		return writer->error;
	diverged_head_encode(kind, len, head);
	put_u64(sum, diverged_sum(writer->file_id, writer->bytes, head, payload, len));
	writer->error = vfs_pwritev(writer->file, parts, 3, writer->bytes);
	writer->bytes += sizeof(head) + len + sizeof(sum);
	writer->unsynced += len;
	if (writer->error == 0 && writer->unsynced >= SYNC_EVERY_BYTES) {
		writer->unsynced = 0;
		writer->error = vfs_sync(writer->file);
	}
	if (kind != DIVERGED_ABOUT && kind != DIVERGED_END) {
		hash_stream_update(writer->hash, &kind_byte, 1);
		hash_stream_update(writer->hash, payload, len);
	}
	return writer->error;
}

static int begin_file(struct diverged_writer *writer, const struct diverged_about *about)
{
	uint8_t header[FILE_HEADER_BYTES];
	struct iovec part = { header, sizeof(header) };
	struct buf *text = &writer->scratch;
	int r = diverged_about_encode(about, text);

	if (r == 0)
		r = vfs_open(writer->vfs, writer->temporary, VFS_WRITE | VFS_CREATE, &writer->file);
	if (r < 0)
		return r;
	writer->file_id = hash64(text->data, text->len, 0);
	file_header_encode(&diverged_kind, writer->file_id, header);
	r = vfs_pwritev(writer->file, &part, 1, 0);
	writer->bytes = sizeof(header);
	return r == 0 ? append(writer, DIVERGED_ABOUT, text->data, text->len) : r;
}

int diverged_writer_new(struct vfs *vfs, const char *dir, const struct diverged_about *about,
			struct diverged_writer **ret_writer)
{
	_cleanup_(diverged_writer_abortp) struct diverged_writer *writer =
		calloc(1, sizeof(*writer));
	int r;

	if (!writer)
		return -ENOMEM;
	writer->vfs = vfs;
	writer->lowest = UINT64_MAX;
	writer->dir = strdup(dir);
	writer->temporary = path_of(dir, TEMPORARY);
	writer->hash = hash_stream_new();
	if (!writer->dir || !writer->temporary || !writer->hash)
		return -ENOMEM;
	diverged_sweep(vfs, dir);
	r = begin_file(writer, about);
	if (r < 0)
		return r;
	*ret_writer = take_ptr(writer);
	return 0;
}

/* The first of the saved values, by file id, that is not before @file_id. */
static size_t find_saved(const struct diverged_writer *writer, uint64_t file_id)
{
	const struct saved_value *values = (const void *)writer->values.data;
	size_t low = 0, high = writer->values.len / sizeof(*values);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (values[middle].file_id < file_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int add_saved(struct diverged_writer *writer, size_t at, const struct saved_value *value)
{
	struct saved_value *values;
	size_t count = writer->values.len / sizeof(*values);
	int r = buf_append(&writer->values, value, sizeof(*value));

	if (r < 0)
		return r;
	values = (void *)writer->values.data;
	memmove(&values[at + 1], &values[at], (count - at) * sizeof(*values));
	values[at] = *value;
	return 0;
}

/* Entries that differ in metadata only share a value: it is saved once. */
static int begin_value(struct diverged_writer *writer, const struct entry *entry,
		       struct value_file *file)
{
	struct saved_value value = { entry->file_id, writer->bytes };
	const struct saved_value *values = (const void *)writer->values.data;
	size_t at = find_saved(writer, entry->file_id);
	uint8_t offset[8];
	int r;

	if (entry->size_bytes == 0)
		return 0;
	if (at < writer->values.len / sizeof(*values) && values[at].file_id == entry->file_id) {
		put_u64(offset, values[at].offset);
		return append(writer, DIVERGED_SAME, offset, sizeof(offset));
	}
	if (!writer->chunk)
		writer->chunk = malloc(VALUE_CHUNK_BYTES);
	if (!writer->chunk)
		return -ENOMEM;
	r = add_saved(writer, at, &value);
	if (r < 0)
		return r;
	writer->value = value_file_ref(file);
	writer->value_bytes = entry->size_bytes;
	writer->next_chunk = 0;
	return 0;
}

int diverged_writer_step(struct diverged_writer *writer)
{
	uint64_t from = writer->next_chunk * VALUE_CHUNK_BYTES, left;
	uint32_t len;
	ssize_t n;
	int r;

	if (writer->error < 0 || !writer->value)
		return writer->error;
	if (from >= writer->value_bytes) {
		writer->value = value_file_unref(writer->value);
		return 0;
	}
	left = writer->value_bytes - from;
	len = left < VALUE_CHUNK_BYTES ? (uint32_t)left : VALUE_CHUNK_BYTES;
	n = value_file_read_chunk(writer->value, writer->value_bytes, writer->next_chunk,
				  writer->chunk, 0);
	if (n == -EIO && writer->refusals < REFUSALS_MAX) {
		writer->refusals++;
		return -EAGAIN;
	}
	if (n == -EBADMSG || n == -EIO) {
		uint8_t gap[4];

		put_u32(gap, len);
		r = append(writer, DIVERGED_GAP, gap, sizeof(gap));
	} else if (n < 0) {
		return (int)n;
	} else {
		writer->refusals = 0;
		r = append(writer, DIVERGED_CHUNK, writer->chunk, (size_t)n);
	}
	writer->next_chunk++;
	writer->end.value_bytes += len;
	return r < 0 ? r : 1;
}

static int finish_value(struct diverged_writer *writer)
{
	int r;

	do {
		r = diverged_writer_step(writer);
	} while (r > 0 || r == -EAGAIN);
	return r;
}

bool diverged_writer_is_copying(const struct diverged_writer *writer)
{
	return writer->value;
}

int diverged_writer_add(struct diverged_writer *writer, const struct entry *entry,
			struct value_file *file)
{
	const struct version *version = &entry->version;
	int r = finish_value(writer);

	buf_clear(&writer->scratch);
	if (r == 0)
		r = entry_encode(entry, &writer->scratch);
	if (r == 0)
		r = append(writer, DIVERGED_ENTRY, writer->scratch.data, writer->scratch.len);
	if (r == 0 && entry->kind == ENTRY_FILE)
		r = begin_value(writer, entry, file);
	if (r < 0) {
		/* Half an entry with its value must not become a whole file. */
		writer->error = writer->error < 0 ? writer->error : r;
		return r;
	}
	writer->end.entries++;
	if (version->epoch > writer->newest_epoch)
		writer->newest_epoch = version->epoch;
	if (version->sequence < writer->lowest)
		writer->lowest = version->sequence;
	if (version->sequence > writer->highest)
		writer->highest = version->sequence;
	return 0;
}

static char *final_name(const struct diverged_writer *writer, unsigned number)
{
	char suffix[16] = "", *name;

	if (number > 1)
		snprintf(suffix, sizeof(suffix), "-%u", number);
	if (asprintf(&name, "diverged-%" PRIx64 "-%" PRIx64 "-%" PRIx64 "%s.log",
		     writer->newest_epoch, writer->lowest, writer->highest, suffix) < 0)
		return NULL;
	return name;
}

/* 1: @path is a whole file that says the same; 0: it says something else; -ENOENT: there is none.
 */
static int says_the_same(struct diverged_writer *writer, const char *path)
{
	const size_t len = DIVERGED_HEAD_BYTES + DIVERGED_END_BYTES + DIVERGED_SUM_BYTES;
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	uint8_t last[DIVERGED_HEAD_BYTES + DIVERGED_END_BYTES + DIVERGED_SUM_BYTES], id[8];
	const uint8_t *payload = last + DIVERGED_HEAD_BYTES;
	struct diverged_end end;
	uint64_t size = 0;
	ssize_t n;
	int r = vfs_open(writer->vfs, path, VFS_READ, &file);

	if (r == 0)
		r = vfs_size(file, &size);
	if (r < 0 || size < FILE_HEADER_BYTES + len)
		return r;
	n = vfs_pread(file, id, sizeof(id), 16, 0);
	if (n == sizeof(id))
		n = vfs_pread(file, last, len, size - len, 0);
	if (n < 0)
		return (int)n;
	if (n != (ssize_t)len || last[4] != DIVERGED_END ||
	    get_u64(payload + DIVERGED_END_BYTES) !=
		    diverged_sum(get_u64(id), size - len, last, payload, DIVERGED_END_BYTES) ||
	    diverged_end_decode(payload, DIVERGED_END_BYTES, &end) < 0)
		return 0;
	return end.entries == writer->end.entries && hash128_equal(end.hash, writer->end.hash);
}

/* The first name under which there is nothing else. *ret_there: the same is there already. */
static int choose_name(struct diverged_writer *writer, char **ret_name, char **ret_path,
		       bool *ret_there)
{
	for (unsigned number = 1; number <= NAMES_MAX; number++) {
		_cleanup_(freep) char *name = final_name(writer, number);
		_cleanup_(freep) char *path = name ? path_of(writer->dir, name) : NULL;
		int r = path ? says_the_same(writer, path) : -ENOMEM;

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0)
			continue;
		*ret_there = r > 0;
		*ret_name = take_ptr(name);
		*ret_path = take_ptr(path);
		return 0;
	}
	return -EEXIST;
}

int diverged_writer_finish(struct diverged_writer *used, char **ret_name)
{
	_cleanup_(diverged_writer_abortp) struct diverged_writer *writer = used;
	_cleanup_(freep) char *name = NULL, *path = NULL;
	uint8_t end[DIVERGED_END_BYTES];
	bool there = false;
	int r = finish_value(writer);

	if (r < 0)
		return r;
	if (writer->end.entries == 0) {
		*ret_name = NULL;
		return 0;
	}
	writer->end.hash = hash_stream_digest(writer->hash);
	diverged_end_encode(&writer->end, end);
	r = append(writer, DIVERGED_END, end, sizeof(end));
	if (r == 0)
		r = vfs_sync(writer->file);
	if (r == 0)
		r = choose_name(writer, &name, &path, &there);
	if (r == 0 && !there)
		r = vfs_rename(writer->vfs, writer->temporary, path);
	if (r < 0)
		return r;
	if (!there) {
		vfs_close(writer->file);
		writer->file = NULL;
	}
	/* Also if it was there: nobody knows whether its name is durable. */
	r = vfs_sync_dir(writer->vfs, writer->dir);
	if (r == 0)
		*ret_name = take_ptr(name);
	return r;
}

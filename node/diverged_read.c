/* SPDX-License-Identifier: MIT */
/* The reader: forward through the file, record by record; every byte is verified before it counts.
 */
#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "node/diverged_format.h"

#include <errno.h>
#include <string.h>

struct diverged_reader {
	struct vfs_file *file;
	uint64_t file_id;
	uint64_t size;
	uint64_t at; /* the next record */
	struct buf record; /* the payload read last */
	struct buf entry; /* what next() yielded points into it */
	struct hash_stream *hash;
	struct diverged_end seen;
	/* The value of that entry. */
	uint64_t value_size, value_at; /* bytes, so many of them are read */
	bool value_due; /* its chunks, or SAME, are still to come at at */
	uint64_t same; /* its chunks are read from here; 0: from at */
};

struct diverged_reader *diverged_reader_close(struct diverged_reader *reader)
{
	if (!reader)
		return NULL;
	vfs_close(reader->file);
	if (reader->hash)
		hash_stream_free(reader->hash);
	buf_deinit(&reader->record);
	buf_deinit(&reader->entry);
	free(reader);
	return NULL;
}
DEFINE_CLEANUP(struct diverged_reader *, diverged_reader_close)

static int read_exactly(struct diverged_reader *reader, void *data, size_t len, uint64_t offset)
{
	ssize_t n = vfs_pread(reader->file, data, len, offset, 0);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EBADMSG;
}

/* The record at *at, whose payload is then in reader->record; moves behind it. */
static int read_record(struct diverged_reader *reader, uint64_t *at, enum diverged_kind *ret_kind)
{
	uint8_t head[DIVERGED_HEAD_BYTES];
	struct buf *record = &reader->record;
	size_t len;
	int r = read_exactly(reader, head, sizeof(head), *at);

	if (r == 0)
		r = diverged_head_decode(head, ret_kind, &len);
	if (r < 0)
		return r;
	if (len + DIVERGED_SUM_BYTES > reader->size - *at)
		return -EBADMSG;
	buf_clear(record);
	r = buf_reserve(record, len + DIVERGED_SUM_BYTES);
	if (r == 0)
		r = read_exactly(reader, record->data, len + DIVERGED_SUM_BYTES,
				 *at + sizeof(head));
	if (r < 0)
		return r;
	if (get_u64(record->data + len) !=
	    diverged_sum(reader->file_id, *at, head, record->data, len))
		return -EBADMSG;
	record->len = len;
	*at += sizeof(head) + len + DIVERGED_SUM_BYTES;
	return 0;
}

static int read_about(struct diverged_reader *reader, const char *path,
		      struct diverged_about *ret_about)
{
	uint8_t header[FILE_HEADER_BYTES];
	enum diverged_kind kind;
	int r = vfs_size(reader->file, &reader->size);

	if (r == 0)
		r = read_exactly(reader, header, sizeof(header), 0);
	if (r < 0)
		return r;
	reader->file_id = get_u64(header + 16);
	r = file_header_check(&diverged_kind, reader->file_id, header, sizeof(header), path);
	if (r < 0)
		return r;
	reader->at = sizeof(header);
	r = read_record(reader, &reader->at, &kind);
	if (r == 0 && kind != DIVERGED_ABOUT)
		r = -EBADMSG;
	return r == 0 ? diverged_about_decode(reader->record.data, reader->record.len, ret_about)
		      : r;
}

int diverged_reader_open(struct vfs *vfs, const char *path, struct diverged_about *ret_about,
			 struct diverged_reader **ret_reader)
{
	_cleanup_(diverged_reader_closep) struct diverged_reader *reader =
		calloc(1, sizeof(*reader));
	int r;

	if (!reader)
		return -ENOMEM;
	reader->hash = hash_stream_new();
	if (!reader->hash)
		return -ENOMEM;
	r = vfs_open(vfs, path, VFS_READ, &reader->file);
	if (r == 0)
		r = read_about(reader, path, ret_about);
	if (r < 0)
		return r;
	*ret_reader = take_ptr(reader);
	return 0;
}

/* The next record in the order of the file. */
static int next_record(struct diverged_reader *reader, enum diverged_kind *ret_kind)
{
	uint8_t kind_byte;
	int r = read_record(reader, &reader->at, ret_kind);

	if (r < 0 || *ret_kind == DIVERGED_END)
		return r;
	kind_byte = (uint8_t)*ret_kind;
	hash_stream_update(reader->hash, &kind_byte, 1);
	hash_stream_update(reader->hash, reader->record.data, reader->record.len);
	return 0;
}

static size_t chunk_len(const struct diverged_reader *reader)
{
	uint64_t left = reader->value_size - reader->value_at;

	return left < VALUE_CHUNK_BYTES ? (size_t)left : VALUE_CHUNK_BYTES;
}

/* Whether the record that was just read is the chunk that is due. */
static bool is_due(const struct diverged_reader *reader, enum diverged_kind kind)
{
	const struct buf *record = &reader->record;

	if (kind == DIVERGED_CHUNK)
		return record->len == chunk_len(reader);
	return kind == DIVERGED_GAP && record->len == 4 &&
	       get_u32(record->data) == chunk_len(reader);
}

/* The next chunk of the value, or gap, in reader->record. */
static int next_chunk(struct diverged_reader *reader, enum diverged_kind *ret_kind)
{
	int r;

	if (reader->same > 0) {
		r = read_record(reader, &reader->same, ret_kind);
	} else {
		r = next_record(reader, ret_kind);
		if (r == 0 && *ret_kind == DIVERGED_SAME && reader->value_due) {
			if (reader->record.len != 8)
				return -EBADMSG;
			/* Behind the header, and never forward: reading must end. */
			reader->same = get_u64(reader->record.data);
			if (reader->same < FILE_HEADER_BYTES || reader->same >= reader->at)
				return -EBADMSG;
			r = read_record(reader, &reader->same, ret_kind);
		} else if (r == 0) {
			reader->seen.value_bytes += chunk_len(reader);
		}
	}
	reader->value_due = false;
	if (r < 0)
		return r;
	if (!is_due(reader, *ret_kind))
		return -EBADMSG;
	reader->value_at += chunk_len(reader);
	return 0;
}

/* What the caller did not read of the last entry's value. */
static int skip_value(struct diverged_reader *reader)
{
	enum diverged_kind kind;
	int r = 0;

	while (r == 0 && reader->value_at < reader->value_size && reader->same == 0)
		r = next_chunk(reader, &kind);
	return r;
}

static int take_entry(struct diverged_reader *reader, struct entry *ret_entry)
{
	struct buf spare = reader->entry;
	struct bytes_reader bytes;
	int r;

	reader->entry = reader->record;
	reader->record = spare;
	bytes = bytes_reader(reader->entry.data, reader->entry.len);
	r = entry_decode(&bytes, ret_entry);
	if (r < 0 || bytes_left(&bytes) > 0)
		return -EBADMSG;
	reader->seen.entries++;
	reader->same = reader->value_at = 0;
	reader->value_size = ret_entry->kind == ENTRY_FILE ? ret_entry->size_bytes : 0;
	reader->value_due = reader->value_size > 0;
	return 1;
}

static int check_end(struct diverged_reader *reader)
{
	struct hash128 hash = hash_stream_digest(reader->hash);
	struct diverged_end end;
	int r = diverged_end_decode(reader->record.data, reader->record.len, &end);

	if (r < 0)
		return r;
	if (reader->at != reader->size || end.entries != reader->seen.entries ||
	    end.value_bytes != reader->seen.value_bytes || !hash128_equal(end.hash, hash))
		return -EBADMSG;
	return 0;
}

int diverged_reader_next(struct diverged_reader *reader, struct entry *ret_entry)
{
	enum diverged_kind kind;
	int r = skip_value(reader);

	if (r == 0)
		r = next_record(reader, &kind);
	if (r < 0)
		return r;
	if (kind == DIVERGED_ENTRY)
		return take_entry(reader, ret_entry);
	return kind == DIVERGED_END ? check_end(reader) : -EBADMSG;
}

ssize_t diverged_reader_value(struct diverged_reader *reader, void *data)
{
	enum diverged_kind kind;
	int r;

	if (reader->value_at >= reader->value_size)
		return 0;
	r = next_chunk(reader, &kind);
	if (r < 0)
		return r;
	if (kind == DIVERGED_GAP)
		return -ENODATA;
	memcpy(data, reader->record.data, reader->record.len);
	return (ssize_t)reader->record.len;
}

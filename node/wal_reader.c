/* SPDX-License-Identifier: MIT */
/* The file is read through a window, so that small records don't cost a system call each. */
#include "node/wal_reader.h"

#include "lib/bytes.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>

#define WINDOW_BYTES (256 * 1024)

int wal_reader_open(struct wal_reader *reader, struct vfs *vfs, const char *dir,
		    const uint8_t store_id[16], uint64_t file_id)
{
	_cleanup_(freep) char *path = wal_file_path(dir, file_id);
	int r;

	*reader = (struct wal_reader){ .file_id = file_id, .offset = WAL_FILE_HEADER_BYTES };
	memcpy(reader->store_id, store_id, 16);
	if (!path)
		return -ENOMEM;
	r = vfs_open(vfs, path, VFS_READ, &reader->file);
	if (r < 0)
		return r;
	r = vfs_size(reader->file, &reader->file_bytes);
	if (r < 0)
		wal_reader_close(reader);
	return r;
}

void wal_reader_close(struct wal_reader *reader)
{
	vfs_close(reader->file);
	reader->file = NULL;
	buf_deinit(&reader->window);
}

/* Makes the window hold @len bytes from @offset; they must lie inside the file. */
static int fill(struct wal_reader *reader, uint64_t offset, size_t len)
{
	uint64_t window_end = reader->window_offset + reader->window.len;
	size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
	ssize_t n;
	int r;

	if (offset >= reader->window_offset && offset + len <= window_end)
		return 0;
	if (want > reader->file_bytes - offset)
		want = (size_t)(reader->file_bytes - offset);
	buf_clear(&reader->window);
	r = buf_reserve(&reader->window, want);
	if (r < 0)
		return r;
	n = vfs_pread(reader->file, reader->window.data, want, offset, 0);
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return -EIO; /* the file shrank while it was read */
	reader->window.len = (size_t)n;
	reader->window_offset = offset;
	return 0;
}

static const uint8_t *at(const struct wal_reader *reader, uint64_t offset)
{
	return reader->window.data + (offset - reader->window_offset);
}

int wal_reader_header(struct wal_reader *reader, struct wal_file_header *ret_header)
{
	int r;

	if (reader->file_bytes < WAL_FILE_HEADER_BYTES)
		return -EBADMSG;
	r = fill(reader, 0, WAL_FILE_HEADER_BYTES);
	if (r < 0)
		return r;
	return wal_file_header_decode(at(reader, 0), reader->file_id, ret_header);
}

/* As wal_reader_next(), but any offset and without the payload. */
static int read_header(struct wal_reader *reader, uint64_t offset,
		       struct wal_record_header *ret_header)
{
	int r;

	if (offset > reader->file_bytes || reader->file_bytes - offset < WAL_RECORD_HEADER_BYTES)
		return 0;
	r = fill(reader, offset, WAL_RECORD_HEADER_BYTES);
	if (r < 0)
		return r;
	r = wal_record_header_decode(at(reader, offset),
				     wal_seed(reader->store_id, reader->file_id, offset),
				     ret_header);
	return r == 0;
}

int wal_reader_next(struct wal_reader *reader, struct wal_reader_record *ret_record)
{
	struct wal_reader_record record = { .offset = reader->offset };
	struct hash128 hash;
	uint64_t bytes;
	int r;

	r = read_header(reader, record.offset, &record.header);
	if (r <= 0)
		return r;
	/* The length is believed only as far as the file reaches: before anything is allocated. */
	bytes = wal_record_bytes(record.header.payload_len);
	if (bytes > reader->file_bytes - record.offset)
		return 0;
	r = fill(reader, record.offset, (size_t)bytes);
	if (r < 0)
		return r;
	record.payload = at(reader, record.offset) + WAL_RECORD_HEADER_BYTES;
	hash = hash128(record.payload, record.header.payload_len);
	if (!hash128_equal(hash, record.header.payload_hash))
		return 0;
	reader->offset += bytes;
	*ret_record = record;
	return 1;
}

struct wal_record wal_reader_to_record(const struct wal_reader *reader,
				       const struct wal_reader_record *from)
{
	return (struct wal_record){
		.flags = from->header.flags,
		.epoch = from->header.epoch,
		.first_sequence = from->header.first_sequence,
		.first_position = from->header.first_position,
		.count = from->header.count,
		.time_ns = from->header.time_ns,
		.payload = from->payload,
		.payload_len = from->header.payload_len,
		.file_id = reader->file_id,
		.offset = from->offset,
	};
}

int wal_reader_is_promised(struct wal_reader *reader, uint64_t offset, uint64_t *ret_by)
{
	uint64_t end = reader->file_bytes;

	/* Record headers are recognised by their hash alone, so the search needs no chain of
	 * lengths and survives any damage before them. */
	for (uint64_t try = offset & ~(uint64_t)(WAL_ALIGN - 1);
	     try + WAL_RECORD_HEADER_BYTES <= end; try += WAL_ALIGN) {
		struct wal_record_header header;
		int r = read_header(reader, try, &header);

		if (r < 0)
			return r;
		if (r > 0 && header.synced > offset) {
			*ret_by = try;
			return 1;
		}
	}
	return 0;
}

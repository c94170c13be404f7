/* SPDX-License-Identifier: MIT */
/* Writing value files. Layout: docs/FORMAT.md, "Value file". */
#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/utf8.h"
#include "node/value_dir.h"

#include <errno.h>
#include <string.h>

/* Syncing on the way spreads the load: one sync of gigabytes would hold up the log's for seconds.
 */
#define SYNC_EVERY_CHUNKS 16

struct value_writer {
	struct value_files *files;
	uint64_t id;
	char *temporary; /* NULL once it has its final name */
	struct vfs_file *file;
	uint64_t chunks; /* written */
	uint64_t size_bytes; /* appended */
	size_t pending_len;
	int error; /* the first failure: nothing is written after it */
	struct hash_stream *hash;
	struct utf8 utf8;
	uint8_t pending[VALUE_CHUNK_BYTES];
};

struct value_writer *value_writer_abort(struct value_writer *writer)
{
	if (!writer)
		return NULL;
	vfs_close(writer->file);
	if (writer->file && writer->temporary)
		vfs_unlink(writer->files->vfs, writer->temporary);
	if (writer->hash)
		hash_stream_free(writer->hash);
	free(writer->temporary);
	free(writer);
	return NULL;
}
DEFINE_CLEANUP(struct value_writer *, value_writer_abort)

int value_writer_new(struct value_files *files, struct value_writer **ret_writer)
{
	_cleanup_(value_writer_abortp) struct value_writer *writer = malloc(sizeof(*writer));
	uint8_t header[FILE_HEADER_BYTES];
	struct iovec part = { .iov_base = header, .iov_len = sizeof(header) };
	int r;

	if (!writer)
		return -ENOMEM;
	/* Not the buffer: its pages are touched when it fills. */
	memset(writer, 0, offsetof(struct value_writer, pending));
	writer->files = files;
	writer->id = value_new_id(files);
	writer->temporary = value_path(files, writer->id, ".tmp");
	writer->hash = hash_stream_new();
	if (!writer->temporary || !writer->hash)
		return -ENOMEM;
	r = vfs_open(files->vfs, writer->temporary, VFS_WRITE | VFS_CREATE, &writer->file);
	if (r < 0)
		return r;
	file_header_encode(&value_file_kind, writer->id, header);
	r = vfs_pwritev(writer->file, &part, 1, 0);
	if (r < 0)
		return r;
	*ret_writer = take_ptr(writer);
	return 0;
}

static int write_chunk(struct value_writer *writer, const uint8_t *data, size_t len)
{
	uint8_t sum[VALUE_SUM_BYTES];
	struct iovec parts[] = { { .iov_base = (void *)(uintptr_t)data, .iov_len = len },
				 { .iov_base = sum, .iov_len = sizeof(sum) } };
	int r;

	put_u64(sum, checksum(writer->id, writer->chunks, data, len));
	r = vfs_pwritev(writer->file, parts, 2, value_chunk_offset(writer->chunks));
	if (r == 0 && ++writer->chunks % SYNC_EVERY_CHUNKS == 0)
		r = vfs_sync(writer->file);
	return r;
}

int value_writer_append(struct value_writer *writer, const void *data, size_t len)
{
	const uint8_t *at = data;

	if (writer->error < 0)
		return writer->error;
	hash_stream_update(writer->hash, data, len);
	utf8_feed(&writer->utf8, data, len);
	writer->size_bytes += len;
	while (len > 0 && writer->error == 0) {
		size_t room = VALUE_CHUNK_BYTES - writer->pending_len;
		size_t part = len < room ? len : room;

		if (part == VALUE_CHUNK_BYTES) {
			writer->error = write_chunk(writer, at, part);
		} else {
			memcpy(writer->pending + writer->pending_len, at, part);
			writer->pending_len += part;
		}
		if (writer->pending_len == VALUE_CHUNK_BYTES) {
			writer->error = write_chunk(writer, writer->pending, VALUE_CHUNK_BYTES);
			writer->pending_len = 0;
		}
		at += part;
		len -= part;
	}
	return writer->error;
}

/* 1. The bytes are on stable storage, 2. the file has its name, 3. so has the directory. Only then
 * may a log record refer to it. */
static int make_durable(struct value_writer *writer)
{
	struct value_files *files = writer->files;
	_cleanup_(freep) char *path = value_path(files, writer->id, ".val");
	int r = writer->error;

	if (!path)
		return -ENOMEM;
	if (r == 0 && writer->pending_len > 0)
		r = write_chunk(writer, writer->pending, writer->pending_len);
	if (r == 0)
		r = vfs_sync(writer->file);
	if (r == 0)
		r = vfs_rename(files->vfs, writer->temporary, path);
	if (r < 0)
		return r;
	freep(&writer->temporary);
	writer->temporary = NULL;
	r = vfs_sync_dir(files->vfs, files->dir);
	if (r < 0)
		vfs_unlink(files->vfs, path);
	return r;
}

int value_writer_finish(struct value_writer *writer, struct value_file **ret_file,
			uint64_t *ret_size, struct hash128 *ret_hash, bool *ret_utf8)
{
	_cleanup_(value_writer_abortp) struct value_writer *used = writer;
	uint64_t file_bytes;
	int r;

	(void)used;
	r = make_durable(writer);
	if (r < 0)
		return r;
	file_bytes = FILE_HEADER_BYTES + writer->size_bytes + writer->chunks * VALUE_SUM_BYTES;
	r = value_files_enter(writer->files, writer->id, file_bytes, ret_file);
	if (r < 0)
		return r;
	*ret_size = writer->size_bytes;
	*ret_hash = hash_stream_digest(writer->hash);
	*ret_utf8 = utf8_complete(&writer->utf8);
	return 0;
}

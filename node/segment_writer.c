/* SPDX-License-Identifier: MIT */
/*
 * Blocks collect in memory and go out in large writes. The index, the value ids and (for all but
 * huge segments) the hashes of the keys wait until the end, when their sizes are known.
 */
#include "node/segment_writer.h"

#include "lib/cleanup.h"
#include "lib/hash.h"
#include "node/bloom.h"
#include "node/key_order.h"
#include "node/segment_format.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WRITE_BYTES ((size_t)256 * 1024)
/* Syncing on the way spreads the load of a large segment. */
#define SYNC_BYTES ((uint64_t)16 * 1024 * 1024)
/* Up to this many keys the filter is sized by what was really added. */
#define HASHES_MAX ((uint64_t)4 * 1024 * 1024)

struct segment_writer {
	struct vfs *vfs;
	char *dir;
	char *path;
	uint64_t file_id;
	struct vfs_file *file;

	struct buf out; /* what follows the first @written bytes of the file */
	uint64_t written;
	uint64_t synced;

	struct buf block; /* entries of the block that is being filled */
	struct buf offsets; /* where each begins */
	struct key separator; /* of that block; len 0 is legal here */
	struct buf index;
	struct buf hashes; /* u64 in this machine's order; unused if filter is set */
	struct buf values; /* u64 in this machine's order */
	uint8_t *filter;
	size_t filter_size;
	struct segment_properties properties;
	struct segment_footer footer;
};

char *segment_path(const char *dir, uint64_t file_id)
{
	char *path;

	return asprintf(&path, "%s/%016" PRIx64 ".seg", dir, file_id) < 0 ? NULL : path;
}

static void deinit(struct segment_writer *writer)
{
	vfs_close(writer->file);
	buf_deinit(&writer->out);
	buf_deinit(&writer->block);
	buf_deinit(&writer->offsets);
	buf_deinit(&writer->index);
	buf_deinit(&writer->hashes);
	buf_deinit(&writer->values);
	free(writer->filter);
	free(writer->path);
	free(writer->dir);
	free(writer);
}

struct segment_writer *segment_writer_abort(struct segment_writer *writer)
{
	if (!writer)
		return NULL;
	if (writer->file)
		vfs_unlink(writer->vfs, writer->path);
	deinit(writer);
	return NULL;
}
DEFINE_CLEANUP(struct segment_writer *, segment_writer_abort)

int segment_writer_new(const struct segment_writer_options *options,
		       struct segment_writer **ret_writer)
{
	_cleanup_(segment_writer_abortp) struct segment_writer *writer = calloc(1, sizeof(*writer));
	int r;

	if (!writer)
		return -ENOMEM;
	writer->vfs = options->vfs;
	writer->file_id = options->file_id;
	writer->dir = strdup(options->dir);
	writer->path = segment_path(options->dir, options->file_id);
	if (!writer->dir || !writer->path)
		return -ENOMEM;
	if (options->entries_max > HASHES_MAX) {
		writer->filter_size = bloom_size(options->entries_max);
		writer->filter = calloc(1, writer->filter_size);
		if (!writer->filter)
			return -ENOMEM;
	}
	r = buf_reserve(&writer->out, WRITE_BYTES + FILE_HEADER_BYTES);
	if (r < 0)
		return r;
	file_header_encode(&segment_kind, writer->file_id, writer->out.data);
	writer->out.len = FILE_HEADER_BYTES;
	r = vfs_open(writer->vfs, writer->path, VFS_WRITE | VFS_CREATE, &writer->file);
	if (r < 0)
		return r;
	*ret_writer = take_ptr(writer);
	return 0;
}

uint64_t segment_writer_entries(const struct segment_writer *writer)
{
	return writer->properties.entries;
}

static int write_out(struct segment_writer *writer)
{
	struct iovec part = { .iov_base = writer->out.data, .iov_len = writer->out.len };
	int r;

	if (writer->out.len == 0)
		return 0;
	r = vfs_pwritev(writer->file, &part, 1, writer->written);
	if (r < 0)
		return r;
	writer->written += writer->out.len;
	buf_clear(&writer->out);
	if (writer->written - writer->synced < SYNC_BYTES)
		return 0;
	writer->synced = writer->written;
	return vfs_sync(writer->file);
}

/* Appends @count pieces as one block or section. */
static int put_piece(struct segment_writer *writer, const struct iovec *parts, int count,
		     struct segment_range *ret_range)
{
	size_t start = writer->out.len;
	int r = 0;

	ret_range->offset = writer->written + start;
	ret_range->len = 0;
	for (int i = 0; i < count && r == 0; i++) {
		ret_range->len += parts[i].iov_len;
		r = buf_append(&writer->out, parts[i].iov_base, parts[i].iov_len);
	}
	if (r == 0)
		r = buf_reserve(&writer->out, SEGMENT_TRAILER_BYTES);
	if (r < 0)
		return r;
	segment_trailer_encode(writer->file_id, ret_range->offset, writer->out.data + start,
			       (size_t)ret_range->len);
	writer->out.len += SEGMENT_TRAILER_BYTES;
	return writer->out.len >= WRITE_BYTES ? write_out(writer) : 0;
}

static int close_block(struct segment_writer *writer)
{
	uint8_t count[4];
	struct iovec parts[] = {
		{ .iov_base = writer->block.data, .iov_len = writer->block.len },
		{ .iov_base = writer->offsets.data, .iov_len = writer->offsets.len },
		{ .iov_base = count, .iov_len = sizeof(count) },
	};
	struct segment_range range;
	int r;

	if (writer->block.len == 0)
		return 0;
	put_u32(count, (uint32_t)(writer->offsets.len / sizeof(uint32_t)));
	r = put_piece(writer, parts, 3, &range);
	if (r == 0)
		r = buf_append_u64(&writer->index, range.offset);
	if (r == 0)
		r = buf_append_u32(&writer->index, (uint32_t)range.len);
	if (r == 0)
		r = buf_append_u8(&writer->index, writer->separator.len);
	if (r == 0)
		r = buf_append(&writer->index, writer->separator.bytes, writer->separator.len);
	buf_clear(&writer->block);
	buf_clear(&writer->offsets);
	writer->properties.blocks++;
	return r;
}

/* The shortest prefix of @entry's key that is above the last key. */
static void begin_block(struct segment_writer *writer, const struct entry *entry)
{
	const struct key *last = &writer->properties.last;
	uint8_t same = 0;

	writer->separator.len = 0;
	if (writer->properties.entries == 0)
		return;
	while (same < last->len && same < entry->key_len && last->bytes[same] == entry->key[same])
		same++;
	writer->separator.len = (uint8_t)(same + 1);
	memcpy(writer->separator.bytes, entry->key, writer->separator.len);
}

/* Notes all that the sections say of @entry. */
static int count_entry(struct segment_writer *writer, const struct entry *entry)
{
	struct segment_properties *properties = &writer->properties;
	uint64_t hash = hash64(entry->key, entry->key_len, 0);
	int r = 0;

	if (properties->entries == 0) {
		key_from_bytes(entry->key, entry->key_len, &properties->first);
		properties->position_min = entry->position;
	}
	key_from_bytes(entry->key, entry->key_len, &properties->last);
	if (entry->position < properties->position_min)
		properties->position_min = entry->position;
	if (entry->position > properties->position_max)
		properties->position_max = entry->position;
	properties->entries++;
	properties->tombstones += entry->kind == ENTRY_TOMBSTONE;
	if (writer->filter)
		bloom_add(writer->filter, writer->filter_size, hash);
	else
		r = buf_append(&writer->hashes, &hash, sizeof(hash));
	if (r == 0 && entry->kind == ENTRY_FILE)
		r = buf_append(&writer->values, &entry->file_id, sizeof(entry->file_id));
	return r;
}

static int put_whole(struct segment_writer *writer, const uint8_t *encoded, size_t len)
{
	int r = buf_append_u8(&writer->block, SEGMENT_WHOLE);

	return r < 0 ? r : buf_append(&writer->block, encoded, len);
}

static int put_apart(struct segment_writer *writer, const struct entry *entry,
		     const uint8_t *encoded, size_t len)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)encoded, .iov_len = len };
	struct segment_range range;
	int r;

	r = put_piece(writer, &part, 1, &range);
	if (r == 0)
		r = buf_append_u8(&writer->block, SEGMENT_APART);
	if (r == 0)
		r = buf_append(&writer->block, encoded, len - (size_t)entry->size_bytes);
	if (r == 0)
		r = buf_append_u64(&writer->block, range.offset);
	return r < 0 ? r : buf_append_u32(&writer->block, (uint32_t)range.len);
}

int segment_writer_add(struct segment_writer *writer, const uint8_t *encoded, size_t len)
{
	struct bytes_reader reader = bytes_reader(encoded, len);
	const struct key *last = &writer->properties.last;
	struct entry entry;
	int r;

	r = entry_decode(&reader, &entry);
	if (r < 0 || bytes_left(&reader) > 0 || len > SEGMENT_BLOCK_BYTES_MAX)
		return -EBADMSG;
	if (writer->properties.entries > 0 &&
	    key_order(last->bytes, last->len, entry.key, entry.key_len) >= 0)
		return -EBADMSG;
	if (writer->block.len >= SEGMENT_BLOCK_BYTES) {
		r = close_block(writer);
		if (r < 0)
			return r;
	}
	if (writer->block.len == 0)
		begin_block(writer, &entry);
	r = buf_append_u32(&writer->offsets, (uint32_t)writer->block.len);
	if (r < 0)
		return r;
	r = entry.kind == ENTRY_INLINE && len > SEGMENT_APART_BYTES
		    ? put_apart(writer, &entry, encoded, len)
		    : put_whole(writer, encoded, len);
	return r < 0 ? r : count_entry(writer, &entry);
}

static int put_section(struct segment_writer *writer, enum segment_section section,
		       const void *data, size_t len)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = len };

	return put_piece(writer, &part, 1, &writer->footer.sections[section]);
}

static int put_filter(struct segment_writer *writer)
{
	size_t hashes = writer->hashes.len / sizeof(uint64_t);

	if (!writer->filter) {
		writer->filter_size = bloom_size(hashes);
		writer->filter = calloc(1, writer->filter_size);
		if (!writer->filter)
			return -ENOMEM;
	}
	for (size_t i = 0; i < hashes; i++)
		bloom_add(writer->filter, writer->filter_size,
			  ((const uint64_t *)(const void *)writer->hashes.data)[i]);
	return put_section(writer, SEGMENT_FILTER, writer->filter, writer->filter_size);
}

static int order_ids(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

/* Ascending, each once: versions that differ in metadata only share a file. */
static int put_values(struct segment_writer *writer)
{
	size_t count = writer->values.len / sizeof(uint64_t), kept = 0;
	uint64_t *ids = (uint64_t *)(void *)writer->values.data;

	if (count > 0)
		qsort(ids, count, sizeof(*ids), order_ids);
	for (size_t i = 0; i < count; i++)
		if (kept == 0 || ids[i] != ids[kept - 1])
			ids[kept++] = ids[i];
	for (size_t i = 0; i < kept; i++)
		put_u64(&ids[i], ids[i]);
	return put_section(writer, SEGMENT_VALUES, ids, kept * sizeof(*ids));
}

static int put_properties(struct segment_writer *writer)
{
	struct buf out = { 0 };
	int r = segment_properties_encode(&writer->properties, &out);

	if (r == 0)
		r = put_section(writer, SEGMENT_PROPERTIES, out.data, out.len);
	buf_deinit(&out);
	return r;
}

static int put_footer(struct segment_writer *writer)
{
	uint8_t footer[SEGMENT_FOOTER_BYTES];

	segment_footer_encode(&writer->footer, writer->file_id, footer);
	return buf_append(&writer->out, footer, sizeof(footer));
}

int segment_writer_finish(struct segment_writer *writer)
{
	_cleanup_(segment_writer_abortp) struct segment_writer *unfinished = writer;
	int r;

	assert(writer->properties.entries > 0);
	r = close_block(writer);
	if (r == 0)
		r = put_section(writer, SEGMENT_INDEX, writer->index.data, writer->index.len);
	if (r == 0)
		r = put_filter(writer);
	if (r == 0)
		r = put_values(writer);
	if (r == 0)
		r = put_properties(writer);
	if (r == 0)
		r = put_footer(writer);
	if (r == 0)
		r = write_out(writer);
	/* Both, in this order, before the manifest may name it. */
	if (r == 0)
		r = vfs_sync(writer->file);
	if (r == 0)
		r = vfs_sync_dir(writer->vfs, writer->dir);
	if (r < 0)
		return r;
	unfinished = NULL;
	deinit(writer);
	return 0;
}

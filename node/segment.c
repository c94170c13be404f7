/* SPDX-License-Identifier: MIT */
/*
 * Opening segments and finding keys in them. Every byte that is used was covered by a checksum that
 * was verified when it was read, and yet is bounded by checks of its own: a checksum proves what
 * was written, not that it was written by us.
 */
#include "node/segment.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/bloom.h"
#include "node/key_order.h"
#include "node/segment_index.h"
#include "node/segment_private.h"
#include "node/segment_writer.h"

#include <errno.h>
#include <inttypes.h>

DEFINE_CLEANUP(struct block *, block_unref)
DEFINE_CLEANUP(struct segment *, segment_unref)

int segment_damaged(struct segment *segment, uint64_t offset, const char *why)
{
	atomic_fetch_add(&segment->context->damaged_blocks, 1);
	/* A key that many ask for must not flood the log. */
	if (!atomic_exchange(&segment->damaged, true) ||
	    atomic_load(&segment->damaged_at) != offset)
		log_error("damaged file", "kind=segment file=%s offset=%" PRIu64 " why=\"%s\"",
			  segment->path, offset, why);
	atomic_store(&segment->damaged_at, offset);
	return -EBADMSG;
}

/* Reads and verifies @range, past any cache. */
static int read_block(struct segment *segment, struct segment_range range, unsigned flags,
		      struct block **ret_block)
{
	size_t len = (size_t)range.len + SEGMENT_TRAILER_BYTES;
	_cleanup_(block_unrefp) struct block *block = NULL;
	ssize_t n;

	block = block_new(segment->file_id, range.offset, len);
	if (!block)
		return -ENOMEM;
	n = vfs_pread(segment->file, block->data, len, range.offset, flags);
	/* Left alone like damage: merging it would fail again and again, while runs pile up. */
	if (n == -EIO)
		segment_damaged(segment, range.offset, "a block can't be read");
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return segment_damaged(segment, range.offset, "it is too short");
	block->len = (size_t)range.len;
	if (!segment_trailer_check(segment->file_id, range.offset, block->data, block->len))
		return segment_damaged(segment, range.offset, "a block fails its checksum");
	*ret_block = take_ptr(block);
	return 0;
}

int segment_check_range(struct segment *segment, struct segment_range range)
{
	if (range.offset < FILE_HEADER_BYTES || range.offset > segment->blocks_end ||
	    range.len > SEGMENT_BLOCK_BYTES_MAX ||
	    range.len + SEGMENT_TRAILER_BYTES > segment->blocks_end - range.offset)
		return segment_damaged(segment, range.offset, "a block is out of bounds");
	return 0;
}

int segment_read(struct segment *segment, struct segment_range range, bool cached, unsigned flags,
		 struct block **ret_block)
{
	int r;

	if (cached) {
		*ret_block =
			block_cache_get(segment->context->cache, segment->file_id, range.offset);
		if (*ret_block && (*ret_block)->len == range.len)
			return 0;
		block_unref(*ret_block);
	}
	r = segment_check_range(segment, range);
	if (r == 0)
		r = read_block(segment, range, flags, ret_block);
	if (r == 0 && cached)
		block_cache_put(segment->context->cache, *ret_block);
	return r;
}

static int load_values(struct segment *segment, const struct block *block)
{
	size_t count = block->len / sizeof(uint64_t);

	if (block->len % sizeof(uint64_t) != 0)
		return segment_damaged(segment, block->offset, "its value list is malformed");
	segment->values = calloc(count > 0 ? count : 1, sizeof(*segment->values));
	if (!segment->values)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint64_t id = get_u64(block->data + i * sizeof(uint64_t));
		int r;

		if (i > 0 && id <= value_file_id(segment->values[i - 1]))
			return segment_damaged(segment, block->offset,
					       "its value list is out of order");
		r = value_file_get(segment->context->values, id, &segment->values[i]);
		if (r < 0)
			return r;
		segment->value_count++;
	}
	return 0;
}

static int load_section(struct segment *segment, enum segment_section section,
			const struct block *block)
{
	int r;

	switch (section) {
	case SEGMENT_PROPERTIES:
		r = segment_properties_decode(block->data, block->len, &segment->properties);
		return r < 0 ? segment_damaged(segment, block->offset,
					       "its properties are malformed")
			     : 0;
	case SEGMENT_INDEX:
		r = segment_index_build(&segment->index, block->data, block->len,
					segment->properties.blocks, segment->blocks_end);
		return r == -EBADMSG
			       ? segment_damaged(segment, block->offset, "its index is malformed")
			       : r;
	case SEGMENT_VALUES:
		return load_values(segment, block);
	default:
		return block->len > 0 && block->len % BLOOM_LINE_BYTES == 0
			       ? 0
			       : segment_damaged(segment, block->offset, "its filter is malformed");
	}
}

static int load_sections(struct segment *segment, const struct segment_footer *footer)
{
	static const enum segment_section order[] = { SEGMENT_PROPERTIES, SEGMENT_INDEX,
						      SEGMENT_VALUES, SEGMENT_FILTER };

	segment->blocks_end = footer->sections[SEGMENT_INDEX].offset;
	for (int i = 0; i < SEGMENT_SECTIONS; i++) {
		_cleanup_(block_unrefp) struct block *block = NULL;
		int r = read_block(segment, footer->sections[order[i]], 0, &block);

		if (r == 0)
			r = load_section(segment, order[i], block);
		if (r < 0)
			return r;
		if (order[i] == SEGMENT_FILTER)
			segment->filter = take_ptr(block);
	}
	return 0;
}

static int load(struct segment *segment)
{
	uint8_t header[FILE_HEADER_BYTES], bytes[SEGMENT_FOOTER_BYTES];
	struct segment_footer footer;
	ssize_t n;
	int r;

	r = vfs_size(segment->file, &segment->file_bytes);
	if (r < 0)
		return r;
	n = vfs_pread(segment->file, header, sizeof(header), 0, 0);
	if (n < 0)
		return (int)n;
	r = file_header_check(&segment_kind, segment->file_id, header, (size_t)n, segment->path);
	if (r < 0)
		return r;
	if (segment->file_bytes < sizeof(header) + sizeof(bytes))
		return segment_damaged(segment, 0, "it is too short");
	n = vfs_pread(segment->file, bytes, sizeof(bytes), segment->file_bytes - sizeof(bytes), 0);
	if (n < 0)
		return (int)n;
	if (n < SEGMENT_FOOTER_BYTES ||
	    segment_footer_decode(bytes, segment->file_id, segment->file_bytes, &footer) < 0)
		return segment_damaged(segment, segment->file_bytes - sizeof(bytes),
				       "its footer is damaged");
	return load_sections(segment, &footer);
}

int segment_open(struct segment_context *context, uint64_t file_id, struct segment **ret_segment)
{
	_cleanup_(segment_unrefp) struct segment *segment = calloc(1, sizeof(*segment));
	int r;

	if (!segment)
		return -ENOMEM;
	atomic_init(&segment->references, 1);
	segment->context = context;
	segment->file_id = file_id;
	segment->path = segment_path(context->dir, file_id);
	if (!segment->path)
		return -ENOMEM;
	r = vfs_open(context->vfs, segment->path, VFS_READ, &segment->file);
	if (r == -ENOENT) {
		log_error("missing file", "kind=segment file=%s why=\"the manifest names it\"",
			  segment->path);
		return -EBADMSG;
	}
	if (r == 0)
		r = load(segment);
	if (r < 0)
		return r;
	*ret_segment = take_ptr(segment);
	return 0;
}

struct segment *segment_ref(struct segment *segment)
{
	atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
	return segment;
}

struct segment *segment_unref(struct segment *segment)
{
	if (!segment || atomic_fetch_sub(&segment->references, 1) != 1)
		return NULL;
	if (atomic_load(&segment->obsolete))
		reaper_add(segment->context->reaper, take_ptr(segment->path),
			   take_ptr(segment->file));
	for (size_t i = 0; i < segment->value_count; i++)
		value_file_unref(segment->values[i]);
	vfs_close(segment->file);
	segment_index_deinit(&segment->index);
	block_unref(segment->filter);
	free(segment->values);
	free(segment->path);
	free(segment);
	return NULL;
}

void segment_obsolete(struct segment *segment)
{
	atomic_store(&segment->obsolete, true);
}

uint64_t segment_file_id(const struct segment *segment)
{
	return segment->file_id;
}

uint64_t segment_bytes(const struct segment *segment)
{
	return segment->file_bytes;
}

uint64_t segment_filter_bytes(const struct segment *segment)
{
	return segment->filter->len;
}

uint64_t segment_index_bytes(const struct segment *segment)
{
	return segment->index.bytes;
}

const struct segment_properties *segment_properties(const struct segment *segment)
{
	return &segment->properties;
}

bool segment_is_damaged(const struct segment *segment)
{
	return atomic_load(&segment->damaged);
}

bool segment_names_values(const struct segment *segment)
{
	return segment->value_count > 0;
}

size_t segment_values(const struct segment *segment, struct value_file *const **ret_files)
{
	*ret_files = segment->values;
	return segment->value_count;
}

struct value_file *segment_value(const struct segment *segment, uint64_t file_id)
{
	size_t low = 0, high = segment->value_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		uint64_t id = value_file_id(segment->values[middle]);

		if (id == file_id)
			return segment->values[middle];
		if (id < file_id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Reads the block that holds all of an entry of which @head is the head. */
int segment_read_apart(struct segment *segment, const struct entry *head,
		       struct segment_range range, bool cached, unsigned flags,
		       struct entry *ret_entry, struct block **ret_block)
{
	_cleanup_(block_unrefp) struct block *block = NULL;
	struct bytes_reader reader;
	int r;

	r = segment_read(segment, range, cached, flags, &block);
	if (r < 0)
		return r;
	reader = bytes_reader(block->data, block->len);
	if (entry_decode(&reader, ret_entry) < 0 || bytes_left(&reader) > 0 ||
	    ret_entry->position != head->position ||
	    key_order(ret_entry->key, ret_entry->key_len, head->key, head->key_len) != 0)
		return segment_damaged(segment, range.offset, "a block holds another entry");
	*ret_block = take_ptr(block);
	return 0;
}

void segment_prefetch(const struct segment *segment, uint64_t hash)
{
	bloom_prefetch(segment->filter->data, segment->filter->len, hash);
}

int segment_get(struct segment *segment, const void *key, size_t key_len, uint64_t hash,
		unsigned flags, struct entry *ret_entry, struct block **ret_block)
{
	_cleanup_(block_unrefp) struct block *block = NULL;
	struct segment_range range, apart;
	struct segment_block view;
	struct segment_slot slot;
	struct entry entry;
	uint32_t index;
	bool equal;
	int r;

	if (!bloom_may_contain(segment->filter->data, segment->filter->len, hash))
		return SEGMENT_NOT_FOUND;
	range = segment_index_range(segment_index_find(&segment->index, key, key_len));
	r = segment_read(segment, range, true, flags, &block);
	if (r < 0)
		return r;
	if (segment_block_init(&view, block->data, block->len) < 0 ||
	    segment_block_seek(&view, key, key_len, false, &index, &equal) < 0)
		return segment_damaged(segment, range.offset, "a block is malformed");
	if (!equal)
		return SEGMENT_NOT_FOUND;
	if (segment_block_slot(&view, index, &slot) < 0 ||
	    segment_slot_decode(&slot, &entry, &apart) < 0)
		return segment_damaged(segment, range.offset, "an entry is malformed");
	if (slot.form == SEGMENT_APART)
		return segment_read_apart(segment, &entry, apart, true, flags, ret_entry,
					  ret_block);
	*ret_entry = entry;
	*ret_block = take_ptr(block);
	return 0;
}

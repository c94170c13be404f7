/* SPDX-License-Identifier: MIT */
#include "node/segment_format.h"

#include "node/key_order.h"

#include <errno.h>

const struct file_kind segment_kind = { .name = "segment", .magic = "hexkvSEG", .version = 1 };

#define FOOTER_MAGIC_AT (SEGMENT_FOOTER_BYTES - 8)
#define FOOTER_SUM_AT   (SEGMENT_FOOTER_BYTES - 16)

void segment_footer_encode(const struct segment_footer *footer, uint64_t file_id,
			   uint8_t ret_bytes[SEGMENT_FOOTER_BYTES])
{
	memset(ret_bytes, 0, SEGMENT_FOOTER_BYTES);
	for (int i = 0; i < SEGMENT_SECTIONS; i++) {
		put_u64(ret_bytes + 16 * i, footer->sections[i].offset);
		put_u64(ret_bytes + 16 * i + 8, footer->sections[i].len);
	}
	put_u64(ret_bytes + FOOTER_SUM_AT, checksum(file_id, UINT64_MAX, ret_bytes, FOOTER_SUM_AT));
	memcpy(ret_bytes + FOOTER_MAGIC_AT, segment_kind.magic, 8);
}

int segment_footer_decode(const uint8_t bytes[SEGMENT_FOOTER_BYTES], uint64_t file_id,
			  uint64_t file_bytes, struct segment_footer *ret_footer)
{
	struct segment_footer footer;
	uint64_t end = file_bytes - SEGMENT_FOOTER_BYTES;
	uint64_t at = FILE_HEADER_BYTES;

	if (memcmp(bytes + FOOTER_MAGIC_AT, segment_kind.magic, 8) != 0 ||
	    get_u64(bytes + FOOTER_SUM_AT) != checksum(file_id, UINT64_MAX, bytes, FOOTER_SUM_AT))
		return -EBADMSG;
	for (int i = 0; i < SEGMENT_SECTIONS; i++) {
		struct segment_range *range = &footer.sections[i];

		range->offset = get_u64(bytes + 16 * i);
		range->len = get_u64(bytes + 16 * i + 8);
		if (range->offset < at || range->offset > end ||
		    end - range->offset < SEGMENT_TRAILER_BYTES ||
		    range->len > end - range->offset - SEGMENT_TRAILER_BYTES)
			return -EBADMSG;
		if (i > 0 && range->offset != at)
			return -EBADMSG;
		at = range->offset + range->len + SEGMENT_TRAILER_BYTES;
	}
	if (at != end)
		return -EBADMSG;
	*ret_footer = footer;
	return 0;
}

static int append_key(struct buf *out, const struct key *key)
{
	int r = buf_append_u8(out, key->len);

	return r < 0 ? r : buf_append(out, key->bytes, key->len);
}

int segment_properties_encode(const struct segment_properties *properties, struct buf *out)
{
	const uint64_t numbers[] = { properties->entries, properties->tombstones,
				     properties->position_min, properties->position_max,
				     properties->blocks };
	int r = 0;

	for (size_t i = 0; i < 5 && r == 0; i++)
		r = buf_append_u64(out, numbers[i]);
	if (r == 0)
		r = append_key(out, &properties->first);
	return r < 0 ? r : append_key(out, &properties->last);
}

static bool read_key(struct bytes_reader *reader, struct key *key)
{
	uint8_t len = bytes_read_u8(reader);
	const uint8_t *bytes = bytes_read(reader, len);

	return bytes && key_from_bytes(bytes, len, key) == 0;
}

int segment_properties_decode(const void *data, size_t len,
			      struct segment_properties *ret_properties)
{
	struct bytes_reader reader = bytes_reader(data, len);
	struct segment_properties properties = {
		.entries = bytes_read_u64(&reader),
	};

	properties.tombstones = bytes_read_u64(&reader);
	properties.position_min = bytes_read_u64(&reader);
	properties.position_max = bytes_read_u64(&reader);
	properties.blocks = bytes_read_u64(&reader);
	if (!read_key(&reader, &properties.first) || !read_key(&reader, &properties.last))
		return -EBADMSG;
	if (reader.bad || bytes_left(&reader) > 0)
		return -EBADMSG;
	*ret_properties = properties;
	return 0;
}

void segment_trailer_encode(uint64_t file_id, uint64_t offset, uint8_t *data, size_t len)
{
	data[len] = SEGMENT_CODEC_NONE;
	put_u64(data + len + 1, checksum(file_id, offset, data, len + 1));
}

bool segment_trailer_check(uint64_t file_id, uint64_t offset, const uint8_t *data, size_t len)
{
	return data[len] == SEGMENT_CODEC_NONE &&
	       get_u64(data + len + 1) == checksum(file_id, offset, data, len + 1);
}

int segment_block_init(struct segment_block *block, const uint8_t *data, size_t len)
{
	uint32_t count;

	if (len < sizeof(uint32_t))
		return -EBADMSG;
	len -= sizeof(uint32_t);
	count = get_u32(data + len);
	if (count > len / sizeof(uint32_t))
		return -EBADMSG;
	*block = (struct segment_block){ .data = data,
					 .entries_len = len - count * sizeof(uint32_t),
					 .count = count };
	return 0;
}

static size_t slot_offset(const struct segment_block *block, uint32_t index)
{
	return index < block->count
		       ? get_u32(block->data + block->entries_len + index * sizeof(uint32_t))
		       : block->entries_len;
}

int segment_block_slot(const struct segment_block *block, uint32_t index,
		       struct segment_slot *ret_slot)
{
	size_t from = slot_offset(block, index), to = slot_offset(block, index + 1);

	if (from >= to || to > block->entries_len || block->data[from] > SEGMENT_APART)
		return -EBADMSG;
	ret_slot->form = (enum segment_form)block->data[from];
	ret_slot->encoded = block->data + from + 1;
	ret_slot->len = to - from - 1;
	return 0;
}

int segment_block_seek(const struct segment_block *block, const void *key, size_t key_len,
		       bool after, uint32_t *ret_index, bool *ret_equal)
{
	uint32_t low = 0, high = block->count;

	*ret_equal = false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		struct segment_slot slot;
		struct entry peek;
		int order;

		if (segment_block_slot(block, middle, &slot) < 0 ||
		    !entry_peek(slot.encoded, slot.len, &peek))
			return -EBADMSG;
		order = key_order(peek.key, peek.key_len, key, key_len);
		if (order == 0 && !after) {
			*ret_equal = true;
			*ret_index = middle;
			return 0;
		}
		if (order <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_index = low;
	return 0;
}

int segment_slot_decode(const struct segment_slot *slot, struct entry *ret_entry,
			struct segment_range *ret_apart)
{
	struct bytes_reader reader = bytes_reader(slot->encoded, slot->len);
	bool whole = slot->form == SEGMENT_WHOLE;
	int r;

	r = whole ? entry_decode(&reader, ret_entry) : entry_decode_head(&reader, ret_entry);
	if (r < 0)
		return r;
	if (!whole) {
		ret_apart->offset = bytes_read_u64(&reader);
		ret_apart->len = bytes_read_u32(&reader);
		if (ret_entry->kind != ENTRY_INLINE)
			return -EBADMSG;
	}
	return reader.bad || bytes_left(&reader) > 0 ? -EBADMSG : 0;
}

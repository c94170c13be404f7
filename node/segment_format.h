/* SPDX-License-Identifier: MIT */
/*
 * Bytes of a segment file (docs/FORMAT.md, "Segment"). Private to node/segment*.c and their tests.
 *
 *   header | blocks | index | filter | value ids | properties | footer
 */
#pragma once

#include "lib/bytes.h"
#include "node/checksum.h"
#include "node/entry.h"

/* A block is closed once it has this much. */
#define SEGMENT_BLOCK_BYTES 4608
/* A larger entry is stored in a block of its own; its head stands in the block of its neighbours,
 * so that listing reads no values. */
#define SEGMENT_APART_BYTES 2048
/* Bounds that the index relies on: a block of entries holds at most one above SEGMENT_BLOCK_BYTES,
 * and that is no larger than SEGMENT_APART_BYTES or an entry without a value. */
#define SEGMENT_INDEXED_BYTES_MAX UINT16_MAX
#define SEGMENT_OFFSET_MAX        (((uint64_t)1 << 40) - 1)
/* No block is larger: an entry is at most one inline value of 16 MiB, its labels and key. */
#define SEGMENT_BLOCK_BYTES_MAX (17 * 1024 * 1024)
/* Behind each block and section: codec, checksum of bytes and codec. */
#define SEGMENT_TRAILER_BYTES 9
#define SEGMENT_FOOTER_BYTES  128
#define SEGMENT_CODEC_NONE    0

/* What stands before each entry of a block. */
enum segment_form {
	SEGMENT_WHOLE = 0,
	SEGMENT_APART = 1, /* the head, then u64 offset and u32 length of the block that has it all
			    */
};

enum segment_section {
	SEGMENT_INDEX,
	SEGMENT_FILTER,
	SEGMENT_VALUES,
	SEGMENT_PROPERTIES,
	SEGMENT_SECTIONS
};

struct segment_range {
	uint64_t offset;
	uint64_t len; /* without the trailer */
};

struct segment_footer {
	struct segment_range sections[SEGMENT_SECTIONS];
};

struct segment_properties {
	uint64_t entries;
	uint64_t tombstones;
	uint64_t position_min;
	uint64_t position_max;
	uint64_t blocks; /* entries of the index */
	struct key first, last;
};

extern const struct file_kind segment_kind;

void segment_footer_encode(const struct segment_footer *footer, uint64_t file_id,
			   uint8_t ret_bytes[SEGMENT_FOOTER_BYTES]);
/* -EBADMSG, also for sections that do not fill the space between header and footer in order. */
int segment_footer_decode(const uint8_t bytes[SEGMENT_FOOTER_BYTES], uint64_t file_id,
			  uint64_t file_bytes, struct segment_footer *ret_footer);
int segment_properties_encode(const struct segment_properties *properties, struct buf *out);
int segment_properties_decode(const void *data, size_t len,
			      struct segment_properties *ret_properties);

/* @data is followed by room for the trailer. */
void segment_trailer_encode(uint64_t file_id, uint64_t offset, uint8_t *data, size_t len);
bool segment_trailer_check(uint64_t file_id, uint64_t offset, const uint8_t *data, size_t len);

/*
 * A block: entries, then their offsets (u32 each), then their count (u32). The payload's bytes may
 * be anything: every access is checked.
 */
struct segment_block {
	const uint8_t *data;
	size_t entries_len;
	uint32_t count;
};

struct segment_slot {
	enum segment_form form;
	const uint8_t *encoded; /* the entry or its head, with what stands behind it */
	size_t len;
};

/* -EBADMSG. */
int segment_block_init(struct segment_block *block, const uint8_t *data, size_t len);
int segment_block_slot(const struct segment_block *block, uint32_t index,
		       struct segment_slot *ret_slot);
/* The first entry >= key (or > key if @after); count if there is none. *ret_equal: it is the key.
 */
int segment_block_seek(const struct segment_block *block, const void *key, size_t key_len,
		       bool after, uint32_t *ret_index, bool *ret_equal);
/* Decodes the head, and for SEGMENT_APART where the whole entry is; for SEGMENT_WHOLE also the
 * value. */
int segment_slot_decode(const struct segment_slot *slot, struct entry *ret_entry,
			struct segment_range *ret_apart);

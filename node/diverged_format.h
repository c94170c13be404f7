/* SPDX-License-Identifier: MIT */
/* Bytes of diverged logs (docs/FORMAT.md, "Diverged log"). Private to node/diverged*.c. */
#pragma once

#include "lib/buf.h"
#include "lib/hash.h"
#include "node/checksum.h"
#include "node/diverged.h"

/* Before each payload: u32 its length, u8 kind, 3 bytes 0; behind it u64 checksum. */
#define DIVERGED_HEAD_BYTES  8
#define DIVERGED_SUM_BYTES   8
#define DIVERGED_PAYLOAD_MAX (4u * 1024 * 1024)
#define DIVERGED_END_BYTES   32
#define DIVERGED_ABOUT_MAX   1024

enum diverged_kind {
	DIVERGED_ABOUT = 1,
	DIVERGED_ENTRY = 2,
	DIVERGED_CHUNK = 3, /* of the value of the entry before */
	DIVERGED_GAP = 4, /* a chunk that could not be read */
	DIVERGED_SAME = 5, /* the value is the one whose chunks begin at this offset */
	DIVERGED_END = 6,
};

struct diverged_end {
	uint64_t entries;
	uint64_t value_bytes;
	struct hash128 hash; /* of kinds and payloads between ABOUT and END */
};

extern const struct file_kind diverged_kind;

int diverged_about_encode(const struct diverged_about *about, struct buf *out);
int diverged_about_decode(const uint8_t *data, size_t len, struct diverged_about *ret_about);
void diverged_end_encode(const struct diverged_end *end, uint8_t ret_data[DIVERGED_END_BYTES]);
int diverged_end_decode(const uint8_t *data, size_t len, struct diverged_end *ret_end);
/* All but the payload of the record at @offset. */
void diverged_head_encode(enum diverged_kind kind, size_t len,
			  uint8_t ret_head[DIVERGED_HEAD_BYTES]);
/* The checksum of a record: its head and its payload are bound to file and place. */
uint64_t diverged_sum(uint64_t file_id, uint64_t offset, const uint8_t head[DIVERGED_HEAD_BYTES],
		      const void *payload, size_t len);
/* Length of the payload and kind; -EBADMSG. */
int diverged_head_decode(const uint8_t head[DIVERGED_HEAD_BYTES], enum diverged_kind *ret_kind,
			 size_t *ret_len);

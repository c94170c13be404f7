/* SPDX-License-Identifier: MIT */
/* Little-endian integers in memory, and a bounded reader for bytes that can't be trusted. */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get_u16(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static inline uint32_t get_u32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static inline uint64_t get_u64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static inline void put_u16(void *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_u32(void *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_u64(void *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* Reads forward and never past the end. After the first read that did not fit, bad is set and every
 * read yields 0 or NULL, so that a decoder checks once, at its end. */
struct bytes_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

static inline struct bytes_reader bytes_reader(const void *data, size_t len)
{
	const uint8_t *p = data;

	return (struct bytes_reader){ .at = p, .end = len ? p + len : p };
}

static inline size_t bytes_left(const struct bytes_reader *r)
{
	return (size_t)(r->end - r->at);
}

/* Borrowed: the bytes live as long as what the reader was made of. */
static inline const uint8_t *bytes_read(struct bytes_reader *r, size_t len)
{
	const uint8_t *p = r->at;

	if (r->bad || bytes_left(r) < len) {
		r->bad = true;
		return NULL;
	}
	r->at += len;
	return p;
}

static inline uint8_t bytes_read_u8(struct bytes_reader *r)
{
	const uint8_t *p = bytes_read(r, 1);

	return p ? *p : 0;
}

static inline uint16_t bytes_read_u16(struct bytes_reader *r)
{
	const uint8_t *p = bytes_read(r, 2);

	return p ? get_u16(p) : 0;
}

static inline uint32_t bytes_read_u32(struct bytes_reader *r)
{
	const uint8_t *p = bytes_read(r, 4);

	return p ? get_u32(p) : 0;
}

static inline uint64_t bytes_read_u64(struct bytes_reader *r)
{
	const uint8_t *p = bytes_read(r, 8);

	return p ? get_u64(p) : 0;
}

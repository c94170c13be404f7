/* SPDX-License-Identifier: MIT */
/*
 * Growable byte buffer.
 *
 * Ownership: a buf owns its bytes; zero-initialise, buf_deinit() frees and leaves it empty.
 * Errors: growing calls return 0 or -ENOMEM and leave the content unchanged on failure.
 * Threads: the caller serialises.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *data;
	size_t len;
	size_t cap;
};

/* Makes room for @more bytes behind len. */
int buf_reserve(struct buf *buf, size_t more);
/* And for no more than that: for what does not grow again. */
int buf_reserve_exact(struct buf *buf, size_t more);
int buf_append(struct buf *buf, const void *data, size_t len);
int buf_append_str(struct buf *buf, const char *str);
int buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_append_u8(struct buf *buf, uint8_t value);
/* Little-endian integers. */
int buf_append_u16(struct buf *buf, uint16_t value);
int buf_append_u32(struct buf *buf, uint32_t value);
int buf_append_u64(struct buf *buf, uint64_t value);
/* Drops the first @len bytes (at most all) and moves the rest to the front. */
void buf_consume(struct buf *buf, size_t len);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *buf);
/* Moves the content to the returned struct and leaves @buf empty. */
struct buf buf_take(struct buf *buf);
void buf_deinit(struct buf *buf);

/* SPDX-License-Identifier: MIT */
/*
 * A page of names as text, the form that programs read (docs/PROTOCOL.md, Names): a line for where
 * the names are, one for each name, and one for what follows.
 *
 * Ownership: what is read is borrowed from the text. Errors: -EBADMSG for what no writer makes.
 * Threads: the caller serialises.
 */
#pragma once

#include "lib/buf.h"
#include "lib/exchange.h"
#include "lib/record.h"

#define NAME_PAGE_TYPE "text/plain"

/* Which form a request for names asks for. -EINVAL for a form that there is not. */
int name_page_format(const struct exchange *ex, bool *ret_text);

struct name_line {
	const char *key; /* lower-case hex, not terminated */
	size_t key_len;
	uint64_t size_bytes;
	int64_t mtime_ns;
	struct version version;
};

/* @prefix: with a name of the page behind it, it is the cursor that goes on behind that name. */
int name_page_begin(struct buf *page, const char *prefix);
int name_page_add(struct buf *page, const struct name_line *line);
/* @cursor: where the next page begins, NULL: this is the last. */
int name_page_end(struct buf *page, const char *cursor);

/* The same as JSON, for people. @first: no comma before it. */
int name_page_json_begin(struct buf *page);
int name_page_json_add(struct buf *page, const struct name_line *line, bool first);
int name_page_json_end(struct buf *page, const char *cursor);

/* A cursor is written without escapes and can be part of a URL. */
#define NAME_PAGE_CURSOR_MAX 320

struct name_page {
	char prefix[NAME_PAGE_CURSOR_MAX + 1];
	char cursor[NAME_PAGE_CURSOR_MAX + 1]; /* "" after the last page */
	const char *at; /* the next name's line */
	const char *end; /* of all lines of names */
};

/* The first and the last line, which tells that nothing is missing. */
int name_page_open(const void *text, size_t len, struct name_page *ret_page);
/* 1, 0 at the end, -EBADMSG. */
int name_page_next(struct name_page *page, struct name_line *ret_line);

/* SPDX-License-Identifier: MIT */
/*
 * Small files that a person can read: text, one member a line, the last line a hash of the others
 * (docs/FORMAT.md, "Identity"). Bytes from disk are hostile: anything unexpected is -EBADMSG.
 */
#pragma once

#include "lib/buf.h"
#include "node/vfs.h"

/* The whole file, which begins with the line @first and ends with its right hash; NUL-terminated.
 * -ENOENT: there is none; -EBADMSG: it is damaged. */
int text_file_read(struct vfs *vfs, const char *dir, const char *name, const char *first,
		   struct buf *ret_text);
/* Adds the hash to @text and replaces the file, durably. */
int text_file_write(struct vfs *vfs, const char *dir, const char *name, struct buf *text);
/* The line "@name value\n" at *at; moves behind it. */
int text_file_take(const char **at, const char *name, char *ret_value, size_t size);
/* As text_file_take(), a number in base 10 or 16 and nothing else. */
int text_file_take_number(const char **at, const char *name, int base, uint64_t *ret_number);
/* The lines format, features and store, which all of them have. -EPROTONOSUPPORT: a later format.
 */
int text_file_take_head(const char **at, uint8_t ret_store_id[16]);

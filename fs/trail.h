/* SPDX-License-Identifier: MIT */
/*
 * Where a reader of the directory has been: each page's names and how to go on behind them, so that
 * it may come back to any of them whatever has become of the names since. What is more than fits a
 * little memory is in an unlinked temporary file; the oldest is dropped when that becomes too much.
 *
 * Threads: the caller serialises.
 */
#pragma once

#include "fs/listed_page.h"

struct trail;

/* @dir: where a temporary file may be, if one is needed; borrowed. */
int trail_new(const char *dir, struct trail **ret_trail);
struct trail *trail_free(struct trail *trail);
/* Numbers rise from 1. -EIO, -ENOSPC, -ENOMEM. */
int trail_add(struct trail *trail, const struct listed_page *page, uint64_t *ret_number);
/* The cursor that goes on behind name @i of page @number. -EINVAL if there is or was none, or it
 * was dropped. */
int trail_cursor(struct trail *trail, uint64_t number, size_t i,
		 char ret_cursor[NAME_PAGE_CURSOR_MAX + NAME_BYTES_MAX + 1]);

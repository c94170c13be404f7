/* SPDX-License-Identifier: MIT */
/*
 * Records changed and looked at past the mount, as curl would. Errors: negative errno; -ENOENT no
 * such record. Threads: any.
 */
#pragma once

#include "lib/buf.h"
#include "lib/record.h"

struct side;

int side_new(const char *url, struct side **ret_side);
struct side *side_free(struct side *side);
/* @ret_value must be empty. */
int side_get(struct side *side, const char *key, struct record_meta *ret_meta,
	     struct buf *ret_value);
/* Labels may be NULL. */
int side_put(struct side *side, const char *key, const void *data, size_t len,
	     const char *content_type, const char *encoding);
int side_delete(struct side *side, const char *key);

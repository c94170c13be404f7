/* SPDX-License-Identifier: MIT */
/* What segment.c and segment_iterator.c share. */
#pragma once

#include "node/segment.h"
#include "node/segment_index.h"

struct segment {
	atomic_uint references;
	atomic_bool obsolete;
	atomic_bool damaged;
	_Atomic uint64_t damaged_at; /* the offset that was logged last */

	/* Immutable after open. */
	struct segment_context *context;
	uint64_t file_id;
	char *path;
	struct vfs_file *file;
	uint64_t file_bytes;
	uint64_t blocks_end;
	struct segment_properties properties;
	struct segment_index index;
	struct block *filter;
	struct value_file **values; /* ascending ids */
	size_t value_count;
};

/* Notes damage, logs it, and returns -EBADMSG. */
int segment_damaged(struct segment *segment, uint64_t offset, const char *why);
/* 0, or that @range can not be that of a block. */
int segment_check_range(struct segment *segment, struct segment_range range);
int segment_read(struct segment *segment, struct segment_range range, bool cached, unsigned flags,
		 struct block **ret_block);
int segment_read_apart(struct segment *segment, const struct entry *head,
		       struct segment_range range, bool cached, unsigned flags,
		       struct entry *ret_entry, struct block **ret_block);

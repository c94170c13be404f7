/* SPDX-License-Identifier: MIT */
/* What the readers and the writers of value files share. Private to node/value_*.c. */
#pragma once

#include "lib/mutex.h"
#include "node/checksum.h"
#include "node/rbtree.h"
#include "node/reaper.h"
#include "node/value_file.h"

#include <stdatomic.h>

#define VALUE_SUM_BYTES 8 /* behind each chunk */

struct value_files {
	/* Immutable after open. */
	struct vfs *vfs;
	char *dir; /* value/ */
	struct reaper *reaper;
	uint64_t first_new_id; /* ids from here on are this process's */

	_Atomic uint64_t bytes;
	struct mutex lock;
	struct rbtree tree GUARDED_BY(lock); /* by id */
	uint64_t next_id GUARDED_BY(lock);
	bool deleting GUARDED_BY(lock);
	/* Open descriptors, the one used last in front. */
	struct value_file *newest GUARDED_BY(lock);
	struct value_file *oldest GUARDED_BY(lock);
	unsigned open_count GUARDED_BY(lock);
};

struct value_file {
	struct value_files *files;
	uint64_t id;
	/* Goes from 1 to 0 and from 0 to 1 under the lock only. */
	atomic_uint references;

	/* Protected by files->lock. */
	struct rbnode node;
	uint64_t file_bytes; /* counted in files->bytes */
	struct vfs_file *file; /* NULL: not open */
	unsigned users; /* reads under way on file */
	struct value_file *newer, *older;
};

extern const struct file_kind value_file_kind;

/* To be freed; NULL if memory is out. */
char *value_path(const struct value_files *files, uint64_t id, const char *suffix);
uint64_t value_new_id(struct value_files *files);
/* Enters a file that was just made durable, with one reference. */
int value_files_enter(struct value_files *files, uint64_t id, uint64_t file_bytes,
		      struct value_file **ret_file);
static inline uint64_t value_chunk_offset(uint64_t index)
{
	return FILE_HEADER_BYTES + index * (VALUE_CHUNK_BYTES + VALUE_SUM_BYTES);
}

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

	/* node/value_pins */
	struct condition kept_changed;
	struct value_file *kept_first GUARDED_BY(lock); /* the one whose time ends first */
	struct value_file *kept_last GUARDED_BY(lock);
	uint64_t kept_count GUARDED_BY(lock);
	uint64_t kept_bytes GUARDED_BY(lock);
	uint64_t kept_bytes_max GUARDED_BY(lock);
	uint64_t old_until_ms GUARDED_BY(lock); /* for files from before this process */
	uint64_t pins_given GUARDED_BY(lock);
	uint64_t pins_refused GUARDED_BY(lock);
	bool kept_stop GUARDED_BY(lock);
	bool kept_started;
	pthread_t kept_thread;
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
	/* node/value_pins */
	uint64_t pinned_until_ms; /* 0: nobody was promised anything */
	uint64_t kept_until_ms;
	bool kept; /* nothing refers to it, and it is not deleted yet */
	bool pins_end; /* none is given or renewed */
	struct value_file *kept_before, *kept_after;
};

extern const struct file_kind value_file_kind;

/* To be freed; NULL if memory is out. */
char *value_path(const struct value_files *files, uint64_t id, const char *suffix);
uint64_t value_new_id(struct value_files *files);
/* Enters a file that was just made durable, with one reference. */
int value_files_enter(struct value_files *files, uint64_t id, uint64_t file_bytes,
		      struct value_file **ret_file);
struct value_file *value_files_find_locked(struct value_files *files, uint64_t id)
	REQUIRES(files->lock);
/* Takes the file out of the tables; what it yields goes to value_file_discard(). */
struct vfs_file *value_file_forget_locked(struct value_files *files, struct value_file *file)
	REQUIRES(files->lock);
/* Deletes it on disk and frees it. */
void value_file_discard(struct value_file *file, struct vfs_file *opened);

/* The last reference to @file is gone: true if it is kept for now. */
bool value_pins_keep_locked(struct value_files *files, struct value_file *file)
	REQUIRES(files->lock);
/* It is about to be referenced again. */
void value_pins_leave_locked(struct value_files *files, struct value_file *file)
	REQUIRES(files->lock);
/* Again does nothing. */
int value_pins_start(struct value_files *files);
void value_pins_stop(struct value_files *files);

static inline uint64_t value_chunk_offset(uint64_t index)
{
	return FILE_HEADER_BYTES + index * (VALUE_CHUNK_BYTES + VALUE_SUM_BYTES);
}

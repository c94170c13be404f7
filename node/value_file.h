/* SPDX-License-Identifier: MIT */
/*
 * Values in files of their own: chunks of 1 MiB, each with its XXH3-64, behind a header
 * (docs/FORMAT.md, "Value file"), in value/ of the data directory. Written under a temporary name;
 * finish() makes it durable (fdatasync, rename, directory fsync) before any log record may refer to
 * it.
 *
 * Ownership: a value file is deleted when its last reference is gone, after value_files_sweep() has
 * run once; until then (during recovery) nothing is deleted. References are held by memtables,
 * segments, log files and readers. Threads: value_files and references from any thread; a writer
 * belongs to one thread at a time.
 */
#pragma once

#include "lib/record.h"
#include "node/vfs.h"

#define VALUE_CHUNK_BYTES (1024 * 1024)

struct value_files; /* the directory */
struct value_file; /* one file, referenced */
struct value_writer;

/* @dir is the data directory; creates value/ if missing. */
int value_files_open(struct vfs *vfs, const char *dir, struct value_files **ret_files);
struct value_files *value_files_free(struct value_files *files);
/* The highest id of a file that is there; 0: there is none. Before value_files_begin(). */
uint64_t value_files_last_id(struct value_files *files);
/* Before the first write: new files get ids from @first_id on, or higher ones. An id that is never
 * given twice, also after a file was deleted, names one value for ever. */
void value_files_begin(struct value_files *files, uint64_t first_id);
/* After recovery: deletes every file that has no reference, and from now on each file with its last
 * reference, unless it is pinned (node/value_pins). */
int value_files_sweep(struct value_files *files);
/* From now on deletions are the work of a thread, so that dropping a reference never waits. */
int value_files_start(struct value_files *files);
/* Before closing: from now on nothing is deleted, so that references may be dropped. lsm_free()
 * calls it. */
void value_files_hold(struct value_files *files);
/* Bytes of all live value files. */
uint64_t value_files_bytes(const struct value_files *files);

/* A reference to file @id; the file is opened at its first read. -ENOMEM. */
int value_file_get(struct value_files *files, uint64_t id, struct value_file **ret_file);
struct value_file *value_file_ref(struct value_file *file);
struct value_file *value_file_unref(struct value_file *file);
uint64_t value_file_id(const struct value_file *file);
/* One more name for its bytes, in value/ of the data directory @dir. 0 also if it is there already.
 */
int value_file_link(const struct value_file *file, const char *dir);
/* Reads the whole chunk @index into @data (VALUE_CHUNK_BYTES) and verifies it. Its length, or a
 * negative errno: -EBADMSG damaged or shorter than @size_bytes says, -EAGAIN with VFS_NOWAIT. */
ssize_t value_file_read_chunk(struct value_file *file, uint64_t size_bytes, uint64_t index,
			      void *data, unsigned flags);

/* 0: it is there, and its header is sound. Otherwise as value_file_read_chunk(). */
int value_file_check_header(struct value_file *file);

/* May block, all three. */
int value_writer_new(struct value_files *files, struct value_writer **ret_writer);
int value_writer_append(struct value_writer *writer, const void *data, size_t len);
/* Durable on success; the writer is used up either way. Yields the file (one reference) and what is
 * known of the value. */
int value_writer_finish(struct value_writer *writer, struct value_file **ret_file,
			uint64_t *ret_size, struct hash128 *ret_hash, bool *ret_utf8);
/* Deletes what was written. NULL-safe. */
struct value_writer *value_writer_abort(struct value_writer *writer);

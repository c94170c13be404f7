/* SPDX-License-Identifier: MIT */
/*
 * Writes a segment from encoded entries in ascending order of key.
 * Threads: belongs to one thread.
 */
#pragma once

#include "node/entry.h"
#include "node/vfs.h"

struct segment_writer;

struct segment_writer_options {
	struct vfs *vfs;
	const char *dir;
	uint64_t file_id;
	uint64_t entries_max; /* as many will be added, or fewer: sizes a large filter */
};

/* To be freed; NULL if memory is out. */
char *segment_path(const char *dir, uint64_t file_id);

int segment_writer_new(const struct segment_writer_options *options,
		       struct segment_writer **ret_writer);
/* -EBADMSG if it is not an entry or its key does not follow the last one. */
int segment_writer_add(struct segment_writer *writer, const uint8_t *encoded, size_t len);
uint64_t segment_writer_entries(const struct segment_writer *writer);
/* The file and its directory entry are on stable storage; at least one entry was added. The writer
 * is used up either way, and on failure the file is deleted. */
int segment_writer_finish(struct segment_writer *writer);
/* Deletes the file. NULL-safe. */
struct segment_writer *segment_writer_abort(struct segment_writer *writer);

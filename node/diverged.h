/* SPDX-License-Identifier: MIT */
/*
 * Writes that this node had and that its shard went on without, saved in the data directory before
 * the node gives them up: diverged-EPOCH-FROM-TO.log (docs/FORMAT.md, "Diverged log"; numbers in
 * hex: the newest epoch, lowest and highest sequence). It needs nothing beside it: large values are
 * in it. Only people read it, with hexkv-node --diverged.
 *
 * Ownership: writers and readers copy what they are given; what a reader yields is borrowed until
 * its next call. Threads: one at a time. Errors: negative errno, -EBADMSG for damage.
 */
#pragma once

#include "node/entry.h"
#include "node/value_file.h"
#include "node/vfs.h"

/* For the people who will look at it. */
struct diverged_about {
	char cluster[256];
	char node[256];
	uint8_t store_id[16];
	struct version end; /* of the node's log */
	struct version common; /* the last version that the shard has too; {0, 0}: none */
	uint64_t leader_epoch; /* in which the shard went on */
	int64_t time_ns;
};

struct diverged_writer;

/* Begins @dir/diverged.tmp; one that was there goes. */
int diverged_writer_new(struct vfs *vfs, const char *dir, const struct diverged_about *about,
			struct diverged_writer **ret_writer);
/* In the order of their versions, so that the last one of a key is the one that counted. @file is
 * that of an ENTRY_FILE, NULL for others. A value that is damaged here is lost: this is noted, and
 * is no error. */
int diverged_writer_add(struct diverged_writer *writer, const struct entry *entry,
			struct value_file *file);
/* A large value is copied piece by piece: 1 there is more to do, 0 nothing is; -EAGAIN: the disk
 * refuses to read it, which may pass: step again in a while, after a few times it counts as
 * damaged. The next add() or finish() does the rest at once. */
int diverged_writer_step(struct diverged_writer *writer);
/* Whether step() has something to do. */
bool diverged_writer_is_copying(const struct diverged_writer *writer);
/* On stable storage under its final name, which *ret_name gets (to be freed; NULL: nothing was
 * added, so there is no file). The writer is used up either way. A file of the same name is never
 * lost: if it says something else, the new one's name gets a number. */
int diverged_writer_finish(struct diverged_writer *writer, char **ret_name);
/* Removes what was written. NULL-safe. */
struct diverged_writer *diverged_writer_abort(struct diverged_writer *writer);

/* At the opening of a store: what a crash left half written. */
void diverged_sweep(struct vfs *vfs, const char *dir);

struct diverged_reader;

/* -EBADMSG: not such a file, or its beginning is damaged; -ENOTSUP: of a newer program. */
int diverged_reader_open(struct vfs *vfs, const char *path, struct diverged_about *ret_about,
			 struct diverged_reader **ret_reader);
/* 1: an entry; 0: that was all of it, and the file is whole. */
int diverged_reader_next(struct diverged_reader *reader, struct entry *ret_entry);
/* The value of the ENTRY_FILE that next() yielded, chunk by chunk: bytes in @data
 * (VALUE_CHUNK_BYTES), 0 at its end, -ENODATA: it was damaged when it was saved. */
ssize_t diverged_reader_value(struct diverged_reader *reader, void *data);
struct diverged_reader *diverged_reader_close(struct diverged_reader *reader);

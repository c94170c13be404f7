/* SPDX-License-Identifier: MIT */
/*
 * A consistent copy of a running store, made of hard links: the segments and value files of one
 * moment, a manifest, IDENTITY, STANDING, HISTORY cut to the point of the log where the segments
 * end, and an empty log that begins there. It opens as a data directory of the same node. What it
 * shares with the store is never changed in place; it keeps the space of what the store deletes.
 *
 * Making one holds up neither readers nor writers: the moment is chosen under a lock that is held
 * for a few instructions, and what it names stays on disk by references. The log is pinned and read
 * beside its writer.
 *
 * Threads: a checkpoint belongs to one thread at a time. All of them go before the store is closed.
 */
#pragma once

#include "node/store.h"

struct checkpoint;

struct checkpoint_file {
	char *name; /* in the checkpoint's directory: "CURRENT", "value/0000000100000001.val" */
	uint64_t size;
};

/* For another node to begin from: the point is what is flushed, so nothing waits for anything. It
 * lies in checkpoints/.bootstrap-ID of the data directory until it is freed, and never outlives the
 * store. The log behind its point is held as long as it lives (store_log_hold()). Blocks for as
 * long as linking takes (tens of thousands of files a second), and for a flush if the log was
 * repaired just now. -EAGAIN: it is under repair, so that segments hold no state that ever was.
 * -EBADMSG: a segment is damaged. */
int checkpoint_new(struct store *store, struct checkpoint **ret_checkpoint);
/* Everything that was acknowledged or applied before is flushed, so that the next one holds it. */
int checkpoint_flush(struct store *store);
/* Removes it. NULL-safe. */
struct checkpoint *checkpoint_free(struct checkpoint *checkpoint);

struct checkpoint_view {
	uint64_t id; /* no two of a store have the same, also after a restart; never 0 */
	struct version point; /* all up to here is in it */
	const struct checkpoint_file *files; /* borrowed from the checkpoint */
	size_t count;
	uint64_t bytes; /* of all files */
};
void checkpoint_view(const struct checkpoint *checkpoint, struct checkpoint_view *ret_view);

/* Whether the log does not reach back to its point any more: whoever has it can't go on from there.
 */
bool checkpoint_is_cut_off(const struct checkpoint *checkpoint);

/* Bytes of a file, fewer than @len only at its end; -EINVAL: there is no such file. */
ssize_t checkpoint_read(struct checkpoint *checkpoint, size_t file, uint64_t offset, void *data,
			size_t len);
/* As checkpoint_read(); if that comes to the file's end, and @len is not used up, the files that
 * follow, whole ones only and so many that nobody waits long. */
ssize_t checkpoint_read_on(struct checkpoint *checkpoint, size_t file, uint64_t offset, void *data,
			   size_t len);
/* XXH3-128 of a file, by reading at most @bytes_max more of it: 1: ask again, *ret_hash is not
 * set. Asking for another file in between begins anew. */
int checkpoint_sum(struct checkpoint *checkpoint, size_t file, uint64_t bytes_max,
		   struct hash128 *ret_hash);

/* For people: everything that was acknowledged before is in it. It lies in checkpoints/NAME of the
 * data directory, is on stable storage, and is theirs to keep and to delete. */
struct checkpoint_saved {
	char *path; /* to be freed */
	struct version version; /* all up to here is in it */
	uint64_t files;
	uint64_t bytes;
};
#define CHECKPOINT_NAME_MAX 100
/* Letters, digits, '.', '_' and '-', no '.' in front. */
bool checkpoint_name_is_valid(const char *name);
/* Waits for a flush. -EEXIST: the name is taken; -EBUSY: another one is being saved; -ENOSPC,
 * -EDQUOT: the disk is full; -EXDEV, -EPERM, -EMLINK: the file system makes no such links;
 * otherwise as checkpoint_new(). */
int checkpoint_save(struct store *store, const char *name, struct checkpoint_saved *ret_saved);

/* At the opening of a store: removes those for bootstrap and what a crash left half made. */
void checkpoint_sweep(struct vfs *vfs, const char *dir);

/* SPDX-License-Identifier: MIT */
/*
 * Which segments make up the tree, up to which apply position they hold everything, and the next
 * file id (docs/FORMAT.md, "Manifest"): a file of checksummed edits that CURRENT names.
 *
 * Threads: the caller serialises. Errors: after a failed manifest_edit() the edit may or may not be
 * found by a recovery, so nothing that either state needs may be deleted until manifest_rewrite()
 * or a later manifest_edit() has succeeded.
 */
#pragma once

#include "lib/buf.h"
#include "node/vfs.h"

struct manifest;

struct manifest_segment {
	uint64_t file_id;
	uint64_t run; /* ascending: a higher run is newer */
};

/* All of it. */
struct manifest_state {
	struct manifest_segment *segments; /* newest run first */
	size_t count;
	uint64_t flushed; /* apply position */
	uint64_t next_file_id;
};

struct manifest_edit {
	const uint64_t *removed; /* file ids */
	size_t removed_count;
	const struct manifest_segment *added;
	size_t added_count;
	uint64_t flushed; /* 0: as it was */
	uint64_t next_file_id;
};

/* Reads it, or begins an empty one if the directory holds neither a manifest nor a segment, and
 * begins a new file. -EBADMSG damaged, -ENOTSUP of a newer program. */
int manifest_open(struct vfs *vfs, const char *dir, struct manifest **ret_manifest);
/* As manifest_open(), but changes nothing on disk; there can be no edits. */
int manifest_open_to_read(struct vfs *vfs, const char *dir, struct manifest **ret_manifest);
void manifest_state_deinit(struct manifest_state *state);
struct manifest *manifest_free(struct manifest *manifest);
const struct manifest_state *manifest_state(const struct manifest *manifest);
/* Durable on success, and then part of manifest_state(); on failure the state is as it was. */
int manifest_edit(struct manifest *manifest, const struct manifest_edit *edit);
/* Number of the file that CURRENT names. */
uint64_t manifest_file_id(const struct manifest *manifest);
/* True after a failure, until a manifest_edit() or manifest_rewrite() succeeds. */
bool manifest_is_broken(const struct manifest *manifest);
/* Replaces the file by one that holds the state alone. */
int manifest_rewrite(struct manifest *manifest);
/* Whether @name is a manifest that is not the current one, or a temporary file of it. */
bool manifest_is_stale_name(const struct manifest *manifest, const char *name);

/* SPDX-License-Identifier: MIT */
#include "fs/conflict.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES (64 * 1024)

void conflict_guard_locked(struct mount *mount, const struct inode *inode, struct remote_put *put,
			   struct version *ret_replaces)
{
	const struct inode *aside;

	if (!mount->options->conflict_estale && !inode->stale)
		return;
	if (inode->stored) {
		*ret_replaces = inode->version;
	} else {
		/* Made anew after the record was moved aside here: that one is still stored. */
		aside = inode_hider_locked(&mount->inodes, inode->filename, (struct version){ 0 });
		put->only_new = !aside;
		if (!aside)
			return;
		*ret_replaces = aside->hides_version;
	}
	put->replaces = ret_replaces;
}

/* Of what @put sends. */
static int hash_content(const struct remote_put *put, struct hash128 *ret_hash)
{
	_cleanup_(freep) uint8_t *data = malloc(HASH_BYTES);
	struct hash_stream *stream = hash_stream_new();
	uint64_t offset = 0;
	int r = data && stream ? 0 : -ENOMEM;

	while (r == 0 && offset < put->size_bytes) {
		ssize_t n = put->source(put->state, offset, data, HASH_BYTES);

		if (n > 0)
			hash_stream_update(stream, data, (size_t)n);
		else
			r = n < 0 ? (int)n : -EIO;
		offset += n > 0 ? (uint64_t)n : 0;
	}
	if (r == 0)
		*ret_hash = hash_stream_digest(stream);
	hash_stream_free(stream);
	return r;
}

static bool is_equal(const struct remote_put *put, const struct record_meta *meta)
{
	return meta->size_bytes == put->size_bytes &&
	       strcmp(meta->content_type.text, put->content_type) == 0 &&
	       strcmp(meta->encoding.text, put->encoding) == 0 &&
	       (!put->has_mtime || meta->mtime_ns == put->mtime_ns);
}

int conflict_settle(struct mount *mount, const struct remote_put *put,
		    const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	struct record_meta meta;
	struct hash128 hash;
	int r;

	r = remote_head_at_leader(mount->remote, put->key, interrupt, &meta);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (!is_equal(put, &meta))
		return -ESTALE;
	r = hash_content(put, &hash);
	if (r < 0)
		return r;
	if (!hash128_equal(hash, meta.hash))
		return -ESTALE;
	if (put->durability == DURABILITY_DISK)
		r = remote_barrier(mount->remote, put->key, &meta.version, interrupt);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	*ret_stored = (struct remote_stored){ .version = meta.version, .mtime_ns = meta.mtime_ns };
	return 0;
}

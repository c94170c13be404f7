/* SPDX-License-Identifier: MIT */
#include "fs/aside.h"

#include "fs/base.h"
#include "fs/meta.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <string.h>

#define RESTORE_TRIES 16

DEFINE_CLEANUP(struct staging *, staging_unref)

int aside_remove(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	struct inode_table *table = &mount->inodes;
	char key[NAME_BYTES_MAX + 1] = "";
	struct version version;
	int r = 0;

	mutex_lock(&table->lock);
	if (inode->hides)
		strncpy(key, inode->hides, NAME_BYTES_MAX);
	version = inode->hides_version;
	mutex_unlock(&table->lock);
	if (*key)
		r = remote_delete(mount->remote, key, &version, DURABILITY_DISK, interrupt);
	if (r < 0 && r != -ENOENT && r != -ESTALE)
		return r;
	mutex_lock(&table->lock);
	inode_set_hides_locked(table, inode, NULL, version);
	mutex_unlock(&table->lock);
	return 0;
}

bool aside_is_hidden(struct mount *mount, const char *key)
{
	bool hidden;

	mutex_lock(&mount->inodes.lock);
	hidden = inode_is_hidden_locked(&mount->inodes, key, (struct version){ 0 });
	mutex_unlock(&mount->inodes.lock);
	return hidden;
}

/* The temporary file that it is now. */
struct aside {
	struct mount *mount;
	struct inode *inode;
	const char *key;
	const struct interrupt *interrupt;
};

static void hides_now(const struct aside *aside, struct version version)
{
	mutex_lock(&aside->mount->inodes.lock);
	aside->inode->hides_version = version;
	mutex_unlock(&aside->mount->inodes.lock);
}

/* It is still there, and so it stays: it takes the place of the write that is in doubt, if any. */
static int settle(const struct aside *aside, const struct record_meta *current)
{
	const struct remote_patch patch = {
		.key = aside->key,
		.of = &current->version,
		.content_type = current->content_type.text,
	};
	struct remote_stored stored;
	int r;

	if (!remote_is_in_doubt(aside->mount->remote, aside->key))
		return -ENOENT;
	r = remote_patch(aside->mount->remote, &patch, aside->interrupt, &stored);
	if (r == 0)
		hides_now(aside, stored.version);
	return r == -ENOENT ? -ESTALE : r;
}

/* @over: what is in its place. */
static int store(const struct aside *aside, const struct version *over)
{
	struct inode_table *table = &aside->mount->inodes;
	struct remote_put put = {
		.key = aside->key,
		.replaces = over,
		.durability = DURABILITY_DISK,
		.has_mtime = true,
		.source = base_read,
	};
	_cleanup_(base_deinit) struct base base = { 0 };
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	struct remote_stored stored;
	struct labels labels;
	int r;

	mutex_lock(&table->lock);
	meta_labels_locked(aside->inode, &labels);
	put.mtime_ns = aside->inode->mtime_ns;
	staging = staging_ref(aside->inode->staging);
	mutex_unlock(&table->lock);
	put.content_type = labels.content_type;
	put.encoding = labels.encoding;
	put.size_bytes = staging_size(staging);
	base_init(&base, aside->mount, aside->inode, staging, aside->interrupt);
	put.state = &base;
	r = remote_put(aside->mount->remote, &put, aside->interrupt, &stored);
	if (r == 0)
		hides_now(aside, stored.version);
	return r;
}

static int delete (const struct aside *aside, const struct version *version)
{
	struct inode_table *table = &aside->mount->inodes;
	int r = remote_delete(aside->mount->remote, aside->key, version, DURABILITY_DISK,
			      aside->interrupt);

	mutex_lock(&table->lock);
	if (r == 0 || r == -ENOENT)
		inode_unhide_locked(table, aside->key, VERSION_NEWEST);
	mutex_unlock(&table->lock);
	return r;
}

/* @last: whatever comes meanwhile. */
static int restore_once(const struct aside *aside, bool tried, bool last)
{
	struct inode_table *table = &aside->mount->inodes;
	struct record_meta current;
	const struct version *version;
	bool hidden, changed;
	int r;

	r = remote_head_at_leader(aside->mount->remote, aside->key, aside->interrupt, &current);
	/* Nobody has it any more, and nobody shall. */
	if (r == -ENOENT)
		return delete (aside, NULL);
	if (r < 0)
		return r;
	version = last ? NULL : &current.version;
	mutex_lock(&table->lock);
	hidden = version_compare(current.version, aside->inode->hides_version) <= 0;
	changed = aside->inode->unsaved;
	mutex_unlock(&table->lock);
	if (hidden)
		return settle(aside, &current);
	/* What was changed since is another file, which nobody has stored. */
	return tried && !changed ? store(aside, version) : delete (aside, version);
}

int aside_restore(struct mount *mount, const char *key, bool tried,
		  const struct interrupt *interrupt)
{
	struct inode_table *table = &mount->inodes;
	struct aside aside = { .mount = mount, .key = key, .interrupt = interrupt };
	int r;

	mutex_lock(&table->lock);
	aside.inode = inode_hider_locked(table, key, (struct version){ 0 });
	if (aside.inode)
		inode_ref_locked(aside.inode);
	mutex_unlock(&table->lock);
	if (!aside.inode)
		return -ENOENT;
	r = inode_begin_send(table, aside.inode, interrupt);
	for (int i = 1; i <= RESTORE_TRIES && r == 0; i++) {
		r = restore_once(&aside, tried, i == RESTORE_TRIES);
		if (r != -ESTALE)
			break;
		r = i < RESTORE_TRIES ? 0 : -EIO;
	}
	inode_end_send(table, aside.inode);
	inode_unref(table, aside.inode);
	return r;
}

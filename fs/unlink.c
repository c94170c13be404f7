/* SPDX-License-Identifier: MIT */
/*
 * Whoever has a removed file open keeps it: what it may still read is pinned, or brought here,
 * first.
 */
#include "fs/content.h"
#include "fs/files.h"

#include <errno.h>
#include <string.h>

/* The record that a temporary file was goes with it, unless it has been replaced since. */
int files_remove_hidden(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
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

static int unlink_temporary(struct mount *mount, struct inode *inode,
			    const struct interrupt *interrupt)
{
	int r = files_remove_hidden(mount, inode, interrupt);

	if (r == 0)
		inode_mark_deleted(&mount->inodes, inode);
	return r;
}

/* As with any file system it is durable once the directory has been synced. */
static int remove_record(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	int r = remote_delete(mount->remote, name, NULL, DURABILITY_MEMORY, interrupt);

	/* Without an answer it may have been removed all the same. */
	if (r != -ENOENT)
		removals_note(&mount->removals, name);
	return r;
}

/* Not stored as far as is known; an attempt to store it may come late. */
int files_remove_doubtful(struct mount *mount, const char *key, const struct interrupt *interrupt)
{
	int r = 0;

	if (remote_is_in_doubt(mount->remote, key))
		r = remove_record(mount, key, interrupt);
	return r == -ENOENT ? 0 : r;
}

static int unlink_record(struct mount *mount, struct inode *inode,
			 const struct interrupt *interrupt)
{
	char name[NAME_BYTES_MAX + 1];
	bool stored, unsaved;
	int r;

	r = content_keep(mount, inode, interrupt);
	if (r < 0)
		return r;
	r = inode_begin_send(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
	inode_name_locked(inode, name);
	stored = inode->stored;
	unsaved = inode->unsaved;
	mutex_unlock(&mount->inodes.lock);
	r = stored ? remove_record(mount, name, interrupt)
		   : files_remove_doubtful(mount, name, interrupt);
	/* What was never stored, or is gone already, is removed all the same. */
	if (r == 0 || r == -ENOENT)
		inode_mark_deleted(&mount->inodes, inode);
	inode_end_send(&mount->inodes, inode);
	return r == -ENOENT && unsaved ? 0 : r;
}

int files_unlink(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	enum name_kind kind = name_classify(name);
	struct inode *inode;
	int r;

	r = name_lookup_error(kind);
	if (r < 0)
		return r;
	inode = inode_find(&mount->inodes, name);
	if (!inode)
		return kind == NAME_TEMPORARY ? -ENOENT : remove_record(mount, name, interrupt);
	r = kind == NAME_TEMPORARY ? unlink_temporary(mount, inode, interrupt)
				   : unlink_record(mount, inode, interrupt);
	inode_unref(&mount->inodes, inode);
	return r;
}

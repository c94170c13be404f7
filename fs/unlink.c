/* SPDX-License-Identifier: MIT */
/*
 * Whoever has a removed file open keeps it: what it may still read is pinned, or brought here,
 * first.
 */
#include "fs/aside.h"
#include "fs/content.h"
#include "fs/files.h"
#include "fs/withdraw.h"

#include <errno.h>

static int unlink_temporary(struct mount *mount, const char *name,
			    const struct interrupt *interrupt)
{
	struct inode *inode = inode_find(&mount->inodes, name);
	int r;

	if (!inode)
		return -ENOENT;
	r = aside_remove(mount, inode, interrupt);
	if (r == 0)
		inode_mark_deleted(&mount->inodes, inode);
	inode_unref(&mount->inodes, inode);
	return r;
}

/* As with any file system it is durable once the directory has been synced. */
static int remove_record(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	int r = remote_delete(mount->remote, name, NULL, DURABILITY_MEMORY, interrupt);

	/* Without an answer it may have been removed all the same. */
	if (r != -ENOENT)
		removals_note(&mount->removals, name);
	if (r == 0 || r == -ENOENT) {
		mutex_lock(&mount->inodes.lock);
		inode_unhide_locked(&mount->inodes, name, VERSION_NEWEST);
		mutex_unlock(&mount->inodes.lock);
	}
	return r;
}

/* What is stored under the name of a file that is not, as far as is known: what others stored
 * meanwhile, or what came of a try. */
static int remove_what_is_there(struct mount *mount, const char *name, bool tried,
				const struct interrupt *interrupt)
{
	if (aside_is_hidden(mount, name))
		return aside_restore(mount, name, tried, interrupt);
	return remove_record(mount, name, interrupt);
}

/* Perhaps the last try is still under way. */
static bool was_tried(struct mount *mount, const struct inode *inode, const char *name)
{
	bool unsure;

	mutex_lock(&mount->inodes.lock);
	unsure = inode->unsure;
	mutex_unlock(&mount->inodes.lock);
	return unsure || remote_is_in_doubt(mount->remote, name);
}

int files_remove_tried(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	char name[NAME_BYTES_MAX + 1];
	int r;

	mutex_lock(&mount->inodes.lock);
	inode_name_locked(inode, name);
	mutex_unlock(&mount->inodes.lock);
	if (!was_tried(mount, inode, name))
		return 0;
	r = remove_what_is_there(mount, name, true, interrupt);
	return r == -ENOENT ? 0 : r;
}

/* @inode has the name; NULL if none has. */
static int remove_named(struct mount *mount, const char *name, struct inode *inode,
			const struct interrupt *interrupt)
{
	bool stored = true, unsaved = false;
	int r;

	if (inode) {
		mutex_lock(&mount->inodes.lock);
		stored = inode->stored;
		unsaved = inode->unsaved;
		mutex_unlock(&mount->inodes.lock);
	}
	if (stored)
		r = remove_record(mount, name, interrupt);
	else
		r = remove_what_is_there(mount, name, was_tried(mount, inode, name), interrupt);
	/* What was never stored, or is gone already, is removed all the same. */
	if (r == -ENOENT && inode)
		inode_mark_deleted(&mount->inodes, inode);
	return r == -ENOENT && unsaved ? 0 : r;
}

static int unlink_record(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	struct inode *inode = inode_find(&mount->inodes, name);
	struct withdrawal withdrawal;
	int r = 0;

	if (inode) {
		r = content_keep(mount, inode, interrupt);
		inode_unref(&mount->inodes, inode);
	}
	if (r == 0)
		r = withdraw_begin(mount, name, NULL, interrupt, &withdrawal);
	if (r < 0)
		return r;
	r = remove_named(mount, name, withdrawal.named, interrupt);
	withdraw_end(mount, &withdrawal, r == 0);
	return r;
}

int files_unlink(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	enum name_kind kind = name_classify(name);
	int r = name_lookup_error(kind);

	if (r < 0)
		return r;
	return kind == NAME_TEMPORARY ? unlink_temporary(mount, name, interrupt)
				      : unlink_record(mount, name, interrupt);
}

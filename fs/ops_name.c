/* SPDX-License-Identifier: MIT */
/* Operations on names. Nothing but files can be in the directory: EPERM for everything else. */
#include "fs/content.h"
#include "fs/files.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/ops_stats.h"
#include "fs/resolve.h"
#include "fs/save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct fuse_entry_param entry;
	struct inode *inode;
	int r;

	(void)parent;
	r = resolve_lookup(mount, name, fuse_req_ctx(req)->pid, &interrupt, &inode);
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	ops_entry(mount, inode, &entry);
	forget_oldest(&mount->forget, &mount->inodes);
	/* An answer that nobody waits for any more gives the kernel no reference. */
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		inode_unref(&mount->inodes, inode);
}

static void forget(struct mount *mount, fuse_ino_t ino, uint64_t count)
{
	if (ino == FUSE_ROOT_ID || ino == STATS_INO)
		return;
	mutex_lock(&mount->inodes.lock);
	inode_unref_locked(&mount->inodes, ops_inode(mount, ino), count);
	mutex_unlock(&mount->inodes.lock);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(ops_mount(req), ino, nlookup);
	fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(ops_mount(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	const struct files_create create = {
		.name = name,
		.mode = mode,
		.exclusive = fi->flags & O_EXCL,
		.truncate = fi->flags & O_TRUNC,
	};
	struct fuse_entry_param entry;
	struct handle *handle;
	struct inode *inode;
	int r;

	(void)parent;
	r = files_create(mount, &create, &interrupt, &inode);
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	/* A file created to be read only is stored as well, when it is closed. */
	r = handle_open(mount, inode, true, &handle);
	files_created(mount, inode, r);
	if (r < 0) {
		inode_unref(&mount->inodes, inode);
		ops_reply_error(req, r);
		return;
	}
	fi->fh = (uintptr_t)handle;
	fi->keep_cache = 1;
	ops_entry(mount, inode, &entry);
	if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
		handle_close(handle);
		inode_unref(&mount->inodes, inode);
	}
}

/* Who removes or replaces a name has looked it up. If the kernel then has an entry of what took its
 * place, the next open would pass for the second try of one that ended without. */
static void end_open(fuse_req_t req)
{
	struct mount *mount = ops_mount(req);

	mutex_lock(&mount->inodes.lock);
	reopen_forget(&mount->reopen, fuse_req_ctx(req)->pid);
	mutex_unlock(&mount->inodes.lock);
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct interrupt interrupt = ops_interrupt(req);

	(void)parent;
	end_open(req);
	ops_reply_error(req, files_unlink(ops_mount(req), name, &interrupt));
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		const char *newname, unsigned flags)
{
	const struct interrupt interrupt = ops_interrupt(req);

	(void)parent;
	(void)newparent;
	if (flags & ~(unsigned)RENAME_NOREPLACE) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	end_open(req);
	ops_reply_error(req, files_rename(ops_mount(req), name, newname, flags & RENAME_NOREPLACE,
					  &interrupt));
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	(void)parent;
	(void)name;
	(void)mode;
	fuse_reply_err(req, EPERM);
}

/* An empty file that nobody opens: there will be no close() that stores it. */
static int make_file(struct mount *mount, const char *name, mode_t mode,
		     const struct interrupt *interrupt, struct inode **ret_inode)
{
	const struct files_create create = { .name = name, .mode = mode, .exclusive = true };
	int r = files_create(mount, &create, interrupt, ret_inode);

	if (r < 0)
		return r;
	r = save_content(mount, *ret_inode, DURABILITY_MEMORY, interrupt);
	files_created(mount, *ret_inode, r);
	if (r < 0)
		inode_unref(&mount->inodes, *ret_inode);
	return r;
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct fuse_entry_param entry;
	struct inode *inode;
	int r;

	(void)parent;
	(void)rdev;
	r = S_ISREG(mode) ? make_file(mount, name, mode, &interrupt, &inode) : -EPERM;
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	ops_entry(mount, inode, &entry);
	if (fuse_reply_entry(req, &entry) == -ENOENT)
		inode_unref(&mount->inodes, inode);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	(void)parent;
	(void)name;
	fuse_reply_err(req, ENOTDIR);
}

void ops_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
	(void)link;
	(void)parent;
	(void)name;
	fuse_reply_err(req, EPERM);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	(void)ino;
	(void)newparent;
	(void)newname;
	fuse_reply_err(req, EPERM);
}

/* SPDX-License-Identifier: MIT */
/* Open files. */
#include "fs/content.h"
#include "fs/handle.h"
#include "fs/ops.h"
#include "fs/resolve.h"
#include "fs/save.h"
#include "fs/still_open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

static struct handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct handle *)(uintptr_t)fi->fh; /* NOLINT: a file handle is the address */
}

static int open_file(struct mount *mount, struct inode *inode, int flags, pid_t pid,
		     const struct interrupt *interrupt, struct handle **ret_handle)
{
	bool writable = (flags & O_ACCMODE) != O_RDONLY;
	struct resolve_try try;
	int r;

	r = resolve_check_current(mount, inode, pid, interrupt, &try);
	if (r == 0)
		r = handle_open(mount, inode, writable, ret_handle);
	if (r == -ESTALE)
		resolve_try_failed(mount, inode, pid, &try);
	if (r < 0)
		return r;
	r = flags & O_TRUNC ? content_truncate(mount, inode, 0, interrupt)
			    : content_hold(mount, inode, interrupt);
	if (r < 0)
		handle_close(*ret_handle);
	return r;
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct handle *handle;
	int r;

	r = open_file(mount, ops_inode(mount, ino), fi->flags, fuse_req_ctx(req)->pid, &interrupt,
		      &handle);
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	fi->fh = (uintptr_t)handle;
	fi->keep_cache = 1;
	fi->noflush = !handle->writable;
	if (fuse_reply_open(req, fi) == -ENOENT)
		handle_close(handle);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct interrupt interrupt = ops_interrupt(req);
	const struct content_range range = { .offset = (uint64_t)offset, .len = size };
	struct handle *handle = handle_of(fi);
	struct reader_bytes bytes = { 0 };
	int r;

	(void)ino;
	r = content_read(ops_mount(req), handle->inode, handle->reader, &range, &interrupt, &bytes);
	if (r < 0)
		ops_reply_error(req, r);
	else
		fuse_reply_iov(req, bytes.parts, (int)bytes.count);
	reader_bytes_deinit(&bytes);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
	       struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	int r;

	(void)fi;
	/* What the page cache writes may come with any of the inode's handles. */
	r = content_write(mount, ops_inode(mount, ino), (uint64_t)offset, data, size, &interrupt);
	if (r < 0)
		ops_reply_error(req, r);
	else
		fuse_reply_write(req, size);
}

/* A shell opens the target of a redirection, duplicates the descriptor and closes the first: that
 * says nothing about the content, and an empty version must not show up on the way to the real one.
 */
static bool is_only_begun(fuse_req_t req, struct mount *mount, struct inode *inode)
{
	char path[PATH_MAX];
	int len;

	mutex_lock(&mount->inodes.lock);
	len = inode->unsaved && inode_size_locked(inode) == 0
		      ? snprintf(path, sizeof(path), "%s/%s", mount->options->mountpoint,
				 inode->filename)
		      : -1;
	mutex_unlock(&mount->inodes.lock);
	return len >= 0 && (size_t)len < sizeof(path) && still_open(fuse_req_ctx(req)->pid, path);
}

void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct interrupt interrupt = ops_interrupt(req);
	struct handle *handle = handle_of(fi);
	int r = 0;

	(void)ino;
	if (handle->writable && !is_only_begun(req, handle->mount, handle->inode))
		r = save_content(handle->mount, handle->inode, DURABILITY_MEMORY, &interrupt);
	ops_reply_error(req, r);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);

	(void)datasync;
	(void)fi;
	ops_reply_error(req,
			save_content(mount, ops_inode(mount, ino), DURABILITY_DISK, &interrupt));
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	handle_close(handle_of(fi));
	fuse_reply_err(req, 0);
}

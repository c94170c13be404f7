/* SPDX-License-Identifier: MIT */
#include "fs/ops_stats.h"

#include "fs/stats_text.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* The text as it was when the file was opened, so that its parts fit together. */
struct stats_handle {
	struct opened opened;
	struct buf text;
};

static bool is_stats(const char *name)
{
	return strcmp(name, STATS_NAME) == 0;
}

static struct stats_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct stats_handle *)(uintptr_t)fi->fh; /* NOLINT: a file handle is the address */
}

/* No size, as in /proc: how long the text will be nobody knows before it is read. */
static void stats_stat(const struct mount *mount, struct stat *ret_stat)
{
	const struct timespec now = { .tv_sec = (time_t)(clock_realtime_ns() / 1000000000) };

	*ret_stat = (struct stat){
		.st_ino = STATS_INO,
		.st_mode = S_IFREG | (0444 & mount->options->file_mode),
		.st_nlink = 1,
		.st_uid = mount->options->uid,
		.st_gid = mount->options->gid,
		.st_blksize = 4096,
		.st_mtim = now,
		.st_ctim = now,
		.st_atim = now,
	};
}

void ops_stats_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mount *mount = ops_mount(req);
	struct fuse_entry_param entry = {
		.ino = STATS_INO,
		.attr_timeout = mount->options->attr_timeout_ms / 1000.0,
		.entry_timeout = mount->options->attr_timeout_ms / 1000.0,
	};

	if (!is_stats(name)) {
		ops_lookup(req, parent, name);
		return;
	}
	stats_stat(mount, &entry.attr);
	fuse_reply_entry(req, &entry);
}

void ops_stats_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	if (ino == STATS_INO)
		fuse_reply_none(req);
	else
		ops_forget(req, ino, nlookup);
}

void ops_stats_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	if (is_stats(name))
		fuse_reply_err(req, EPERM);
	else
		ops_create(req, parent, name, mode, fi);
}

void ops_stats_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	if (is_stats(name))
		fuse_reply_err(req, EPERM);
	else
		ops_unlink(req, parent, name);
}

void ops_stats_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned flags)
{
	if (is_stats(name) || is_stats(newname))
		fuse_reply_err(req, EPERM);
	else
		ops_rename(req, parent, name, newparent, newname, flags);
}

void ops_stats_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	struct stat st;

	if (ino != STATS_INO) {
		ops_getattr(req, ino, fi);
		return;
	}
	stats_stat(mount, &st);
	fuse_reply_attr(req, &st, mount->options->attr_timeout_ms / 1000.0);
}

void ops_stats_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, EPERM);
	else
		ops_setattr(req, ino, attr, to_set, fi);
}

static void stats_close(struct opened *opened)
{
	struct stats_handle *handle = container_of(opened, struct stats_handle, opened);

	opens_remove(&handle->opened);
	buf_deinit(&handle->text);
	free(handle);
}

static void open_stats(fuse_req_t req, struct mount *mount, struct fuse_file_info *fi)
{
	struct stats_handle *handle = calloc(1, sizeof(*handle));

	if (!handle || stats_text(mount, &handle->text) < 0) {
		if (handle)
			buf_deinit(&handle->text);
		free(handle);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	handle->opened.free = stats_close;
	mutex_lock(&mount->inodes.lock);
	opens_add(&mount->opens, &handle->opened);
	mutex_unlock(&mount->inodes.lock);
	fi->fh = (uintptr_t)handle;
	fi->direct_io = 1;
	fi->noflush = 1;
	if (fuse_reply_open(req, fi) != -ENOENT)
		return;
	mutex_lock(&mount->inodes.lock);
	stats_close(&handle->opened);
	mutex_unlock(&mount->inodes.lock);
}

void ops_stats_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino != STATS_INO)
		ops_open(req, ino, fi);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC)
		fuse_reply_err(req, EACCES);
	else
		open_stats(req, ops_mount(req), fi);
}

void ops_stats_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	_cleanup_(buf_deinit) struct buf part = { 0 };
	const struct buf *text;
	size_t left;

	if (ino != STATS_INO) {
		ops_read(req, ino, size, offset, fi);
		return;
	}
	text = &handle_of(fi)->text;
	left = (uint64_t)offset < text->len ? text->len - (size_t)offset : 0;
	/* A copy: once the program has its answer it may close the file, before we are back. */
	if (left > 0 && buf_append(&part, text->data + offset, left < size ? left : size) < 0)
		fuse_reply_err(req, ENOMEM);
	else
		fuse_reply_buf(req, (const char *)part.data, part.len);
}

void ops_stats_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, 0);
	else
		ops_flush(req, ino, fi);
}

void ops_stats_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, 0);
	else
		ops_fsync(req, ino, datasync, fi);
}

void ops_stats_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);

	if (ino != STATS_INO) {
		ops_release(req, ino, fi);
		return;
	}
	mutex_lock(&mount->inodes.lock);
	stats_close(&handle_of(fi)->opened);
	mutex_unlock(&mount->inodes.lock);
	fuse_reply_err(req, 0);
}

void ops_stats_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, ENOTSUP);
	else
		ops_getxattr(req, ino, name, size);
}

void ops_stats_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, EPERM);
	else
		ops_setxattr(req, ino, name, value, size, flags);
}

void ops_stats_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	if (ino != STATS_INO)
		ops_listxattr(req, ino, size);
	else if (size == 0)
		fuse_reply_xattr(req, 0);
	else
		fuse_reply_buf(req, NULL, 0);
}

void ops_stats_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	if (ino == STATS_INO)
		fuse_reply_err(req, EPERM);
	else
		ops_removexattr(req, ino, name);
}

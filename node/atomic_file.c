/* SPDX-License-Identifier: MIT */
#include "node/atomic_file.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>

static int write_new(struct vfs *vfs, const char *path, const void *data, size_t len)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	struct iovec part = { (void *)(uintptr_t)data, len };
	int r;

	r = vfs_unlink(vfs, path);
	if (r < 0 && r != -ENOENT)
		return r;
	r = vfs_open(vfs, path, VFS_WRITE | VFS_CREATE, &file);
	if (r == 0)
		r = vfs_pwritev(file, &part, 1, 0);
	if (r == 0)
		r = vfs_sync(file);
	return r;
}

int atomic_file_write(struct vfs *vfs, const char *dir, const char *name, const void *data,
		      size_t len)
{
	_cleanup_(freep) char *path = NULL, *temporary = NULL;
	int r;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (asprintf(&temporary, "%s.tmp", path) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	r = write_new(vfs, temporary, data, len);
	if (r == 0)
		r = vfs_rename(vfs, temporary, path);
	if (r < 0) {
		vfs_unlink(vfs, temporary);
		return r;
	}
	return vfs_sync_dir(vfs, dir);
}

int atomic_file_read(struct vfs *vfs, const char *dir, const char *name, size_t max,
		     struct buf *out)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	_cleanup_(freep) char *path = NULL;
	uint64_t size;
	ssize_t n;
	int r;

	if (asprintf(&path, "%s/%s", dir, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_open(vfs, path, VFS_READ, &file);
	if (r == 0)
		r = vfs_size(file, &size);
	if (r == 0 && size > max)
		r = -EFBIG;
	if (r == 0)
		r = buf_reserve(out, (size_t)size + 1);
	if (r < 0)
		return r;
	n = vfs_pread(file, out->data + out->len, (size_t)size, 0, 0);
	if (n < 0)
		return (int)n;
	if ((uint64_t)n != size)
		return -EIO;
	out->len += (size_t)n;
	return 0;
}

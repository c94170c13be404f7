/* SPDX-License-Identifier: MIT */
#include "node/ballast.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>

static char *ballast_path(const char *dir)
{
	char *path;

	return asprintf(&path, "%s/BALLAST", dir) < 0 ? NULL : path;
}

/* A sparse file would set nothing aside: allocate() reserves blocks wherever that is possible. */
int ballast_restore(struct vfs *vfs, const char *dir, uint64_t bytes)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	_cleanup_(freep) char *path = ballast_path(dir);
	uint64_t size;
	int r;

	if (!path)
		return -ENOMEM;
	r = vfs_open(vfs, path, VFS_READ | VFS_WRITE, &file);
	if (r == -ENOENT)
		r = vfs_open(vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, &file);
	if (r == 0)
		r = vfs_size(file, &size);
	if (r == 0 && size != bytes)
		r = vfs_allocate(file, 0, bytes);
	if (r < 0 && file)
		vfs_truncate(file, 0);
	return r == -EDQUOT ? -ENOSPC : r;
}

void ballast_release(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *path = ballast_path(dir);

	if (path)
		vfs_unlink(vfs, path);
}

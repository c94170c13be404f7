/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/memory_vfs.h"

#include <errno.h>
#include <string.h>

static struct memory_vfs *vfs_of(struct vfs_file *file)
{
	return (struct memory_vfs *)file->vfs;
}

static int memory_open(struct vfs *vfs, const char *path, unsigned flags,
		       struct vfs_file **ret_file)
{
	struct memory_vfs *memory = (struct memory_vfs *)vfs;

	(void)path;
	if (flags != VFS_READ)
		return -EROFS;
	*ret_file = &memory->file;
	return 0;
}

static void memory_close(struct vfs_file *file)
{
	(void)file;
}

static ssize_t memory_pread(struct vfs_file *file, void *data, size_t len, uint64_t offset,
			    unsigned flags)
{
	const struct memory_vfs *memory = vfs_of(file);

	(void)flags;
	if (offset >= memory->len)
		return 0;
	if (len > memory->len - offset)
		len = memory->len - offset;
	memcpy(data, memory->data + offset, len);
	return (ssize_t)len;
}

static int memory_size(struct vfs_file *file, uint64_t *ret_size)
{
	*ret_size = vfs_of(file)->len;
	return 0;
}

static int memory_mkdir(struct vfs *vfs, const char *path)
{
	(void)vfs;
	(void)path;
	return -EEXIST;
}

static int memory_list(struct vfs *vfs, const char *path,
		       int (*found)(const char *name, void *state), void *state)
{
	(void)vfs;
	(void)path;
	(void)found;
	(void)state;
	return 0;
}

static int memory_space(struct vfs *vfs, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	(void)vfs;
	(void)path;
	(void)ret_free;
	(void)ret_total;
	return -ENOSYS;
}

static const struct vfs_ops memory_ops = {
	.open = memory_open,
	.close = memory_close,
	.pread = memory_pread,
	.size = memory_size,
	.mkdir = memory_mkdir,
	.list = memory_list,
	.space = memory_space,
};

void memory_vfs_init(struct memory_vfs *vfs, const uint8_t *data, size_t len)
{
	*vfs = (struct memory_vfs){ .base.ops = &memory_ops, .data = data, .len = len };
	vfs->file.vfs = &vfs->base;
}

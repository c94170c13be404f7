/* SPDX-License-Identifier: MIT */
/*
 * All file access of the storage engine goes through this table, so that tests can lose unsynced
 * bytes and directory entries, tear writes and fail the N-th call.
 *
 * Errors: negative errno. Short writes are completed by the implementation or reported as an error.
 * Threads: every call is safe from any thread; one file may be read by many threads at once, and
 * written by one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct vfs;
struct vfs_file;

enum vfs_open_flags {
	VFS_READ = 1,
	VFS_WRITE = 2,
	VFS_CREATE = 4, /* fails with -EEXIST if it exists */
};

enum vfs_read_flags {
	VFS_NOWAIT = 1, /* -EAGAIN instead of waiting for a disk */
};

struct vfs_ops {
	int (*open)(struct vfs *, const char *path, unsigned flags, struct vfs_file **ret_file);
	/* NULL-safe; never fails in a way that a caller could act on. */
	void (*close)(struct vfs_file *);
	/* Up to @len bytes; fewer only at the end of the file. */
	ssize_t (*pread)(struct vfs_file *, void *data, size_t len, uint64_t offset,
			 unsigned flags);
	/* All or a negative errno. */
	int (*pwritev)(struct vfs_file *, const struct iovec *parts, int count, uint64_t offset);
	/* fdatasync(2). After a failure the file must not be synced again. */
	int (*sync)(struct vfs_file *);
	/* Reserves space without changing what is read below the old size; bytes behind it read as
	 * zero. */
	int (*allocate)(struct vfs_file *, uint64_t offset, uint64_t len);
	int (*truncate)(struct vfs_file *, uint64_t size);
	int (*size)(struct vfs_file *, uint64_t *ret_size);
	/* flock(2), exclusive, not waiting: -EWOULDBLOCK if another process holds it. */
	int (*lock)(struct vfs_file *);

	int (*rename)(struct vfs *, const char *from, const char *to);
	int (*link)(struct vfs *, const char *from, const char *to);
	/* -EISDIR if it is a directory. */
	int (*unlink)(struct vfs *, const char *path);
	/* -ENOTEMPTY if it holds anything. */
	int (*rmdir)(struct vfs *, const char *path);
	/* -EEXIST if it exists. */
	int (*mkdir)(struct vfs *, const char *path);
	int (*sync_dir)(struct vfs *, const char *path);
	/* Calls @found for each name but "." and "..", in any order; stops at its first non-zero
	 * return and returns it. */
	int (*list)(struct vfs *, const char *path, int (*found)(const char *name, void *state),
		    void *state);
	int (*space)(struct vfs *, const char *path, uint64_t *ret_free, uint64_t *ret_total);
};

struct vfs {
	const struct vfs_ops *ops;
};

/* Embedded first in an implementation's file. */
struct vfs_file {
	struct vfs *vfs;
};

/* The real file system. */
struct vfs *vfs_posix(void);

#define vfs_open(vfs, ...)        ((vfs)->ops->open((vfs), __VA_ARGS__))
#define vfs_pread(file, ...)      ((file)->vfs->ops->pread((file), __VA_ARGS__))
#define vfs_pwritev(file, ...)    ((file)->vfs->ops->pwritev((file), __VA_ARGS__))
#define vfs_sync(file)            ((file)->vfs->ops->sync(file))
#define vfs_allocate(file, ...)   ((file)->vfs->ops->allocate((file), __VA_ARGS__))
#define vfs_truncate(file, size)  ((file)->vfs->ops->truncate((file), (size)))
#define vfs_size(file, ret)       ((file)->vfs->ops->size((file), (ret)))
#define vfs_lock(file)            ((file)->vfs->ops->lock(file))
#define vfs_rename(vfs, from, to) ((vfs)->ops->rename((vfs), (from), (to)))
#define vfs_link(vfs, from, to)   ((vfs)->ops->link((vfs), (from), (to)))
#define vfs_unlink(vfs, path)     ((vfs)->ops->unlink((vfs), (path)))
#define vfs_rmdir(vfs, path)      ((vfs)->ops->rmdir((vfs), (path)))
#define vfs_mkdir(vfs, path)      ((vfs)->ops->mkdir((vfs), (path)))
#define vfs_sync_dir(vfs, path)   ((vfs)->ops->sync_dir((vfs), (path)))
#define vfs_list(vfs, ...)        ((vfs)->ops->list((vfs), __VA_ARGS__))
#define vfs_space(vfs, ...)       ((vfs)->ops->space((vfs), __VA_ARGS__))

static inline void vfs_close(struct vfs_file *file)
{
	if (file)
		file->vfs->ops->close(file);
}

static inline void vfs_closep(struct vfs_file **file)
{
	vfs_close(*file);
}

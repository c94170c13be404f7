/* SPDX-License-Identifier: MIT */
/* The real file system behind the vfs table. */
#include "node/vfs.h"

#include "lib/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct posix_file {
	struct vfs_file base;
	int fd;
};

static int fd_of(struct vfs_file *file)
{
	return ((struct posix_file *)file)->fd;
}

static int posix_open(struct vfs *vfs, const char *path, unsigned flags, struct vfs_file **ret_file)
{
	struct posix_file *file;
	int mode = O_RDONLY;
	int fd;

	if (flags & VFS_WRITE)
		mode = flags & VFS_READ ? O_RDWR : O_WRONLY;
	if (flags & VFS_CREATE)
		mode |= O_CREAT | O_EXCL;
	fd = open(path, mode | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	file = malloc(sizeof(*file));
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	file->base.vfs = vfs;
	file->fd = fd;
	*ret_file = &file->base;
	return 0;
}

static void posix_close(struct vfs_file *file)
{
	close(fd_of(file));
	free(file);
}

/* With RWF_NOWAIT a short count means "the rest isn't cached" as often as "end of file"; asking
 * again for the rest tells them apart. */
static ssize_t posix_pread(struct vfs_file *file, void *data, size_t len, uint64_t offset,
			   unsigned flags)
{
	size_t done = 0;

	while (done < len) {
		struct iovec part = { .iov_base = (char *)data + done, .iov_len = len - done };
		ssize_t n = preadv2(fd_of(file), &part, 1, (off_t)(offset + done),
				    flags & VFS_NOWAIT ? RWF_NOWAIT : 0);

		if (n == 0)
			break;
		if (n < 0) {
			if (errno == EINTR)
				continue;
			/* Some file systems don't know RWF_NOWAIT: there, any read may wait. */
			if ((flags & VFS_NOWAIT) && errno == EOPNOTSUPP)
				return -EAGAIN;
			return -errno;
		}
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int write_rest(int fd, const char *data, size_t len, uint64_t offset)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EIO;
		data += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int posix_pwritev(struct vfs_file *file, const struct iovec *parts, int count,
			 uint64_t offset)
{
	while (count > 0) {
		int batch = count < IOV_MAX ? count : IOV_MAX;
		ssize_t n = pwritev(fd_of(file), parts, batch, (off_t)offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0 && parts->iov_len > 0)
			return -EIO;
		offset += (uint64_t)n;
		while (count > 0 && (size_t)n >= parts->iov_len) {
			n -= (ssize_t)parts->iov_len;
			parts++;
			count--;
		}
		if (n > 0) {
			/* Cut inside a part: finish this one alone, then go on with the others. */
			size_t rest = parts->iov_len - (size_t)n;
			int r = write_rest(fd_of(file), (const char *)parts->iov_base + n, rest,
					   offset);

			if (r < 0)
				return r;
			offset += rest;
			parts++;
			count--;
		}
	}
	return 0;
}

static int posix_sync(struct vfs_file *file)
{
	return fdatasync(fd_of(file)) < 0 ? -errno : 0;
}

static int posix_size(struct vfs_file *file, uint64_t *ret_size)
{
	struct stat st;

	if (fstat(fd_of(file), &st) < 0)
		return -errno;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int posix_truncate(struct vfs_file *file, uint64_t size)
{
	return ftruncate(fd_of(file), (off_t)size) < 0 ? -errno : 0;
}

static int posix_allocate(struct vfs_file *file, uint64_t offset, uint64_t len)
{
	uint64_t size;
	int r;

	do {
		r = fallocate(fd_of(file), 0, (off_t)offset, (off_t)len);
	} while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return -errno;
	/* The file system can't reserve: a sparse tail reads the same. */
	r = posix_size(file, &size);
	if (r < 0 || size >= offset + len)
		return r;
	return posix_truncate(file, offset + len);
}

static int posix_lock(struct vfs_file *file)
{
	return flock(fd_of(file), LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int posix_rename(struct vfs *vfs, const char *from, const char *to)
{
	(void)vfs;
	return rename(from, to) < 0 ? -errno : 0;
}

static int posix_link(struct vfs *vfs, const char *from, const char *to)
{
	(void)vfs;
	return link(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(struct vfs *vfs, const char *path)
{
	(void)vfs;
	return unlink(path) < 0 ? -errno : 0;
}

static int posix_rmdir(struct vfs *vfs, const char *path)
{
	(void)vfs;
	return rmdir(path) < 0 ? -errno : 0;
}

static int posix_mkdir(struct vfs *vfs, const char *path)
{
	(void)vfs;
	return mkdir(path, 0700) < 0 ? -errno : 0;
}

static int posix_sync_dir(struct vfs *vfs, const char *path)
{
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)vfs;
	if (fd < 0)
		return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

static int posix_list(struct vfs *vfs, const char *path, int (*found)(const char *, void *),
		      void *state)
{
	DIR *dir = opendir(path);
	int r = 0;

	(void)vfs;
	if (!dir)
		return -errno;
	while (r == 0) {
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry) {
			r = -errno;
			break;
		}
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = found(entry->d_name, state);
	}
	closedir(dir);
	return r;
}

static int posix_space(struct vfs *vfs, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	struct statvfs st;

	(void)vfs;
	if (statvfs(path, &st) < 0)
		return -errno;
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	*ret_total = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}

struct vfs *vfs_posix(void)
{
	static const struct vfs_ops ops = {
		.open = posix_open,
		.close = posix_close,
		.pread = posix_pread,
		.pwritev = posix_pwritev,
		.sync = posix_sync,
		.allocate = posix_allocate,
		.truncate = posix_truncate,
		.size = posix_size,
		.lock = posix_lock,
		.rename = posix_rename,
		.link = posix_link,
		.unlink = posix_unlink,
		.rmdir = posix_rmdir,
		.mkdir = posix_mkdir,
		.sync_dir = posix_sync_dir,
		.list = posix_list,
		.space = posix_space,
	};
	static struct vfs vfs = { .ops = &ops };

	return &vfs;
}

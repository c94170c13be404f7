/* SPDX-License-Identifier: MIT */
#include "fs/scratch.h"

#include "fs/stats.h"
#include "lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAP 4096

static atomic_size_t memory_in_use;
static atomic_uint_least64_t limit_bytes;
static atomic_uint_least64_t used_bytes;

void scratch_limit(uint64_t bytes)
{
	atomic_store(&limit_bytes, bytes);
}

void scratch_init(struct scratch *scratch, const char *dir)
{
	*scratch = (struct scratch){ .dir = dir };
	atomic_init(&scratch->fd, -1);
	mutex_init(&scratch->lock);
}

static void free_memory_locked(struct scratch *scratch) REQUIRES(&scratch->lock)
{
	atomic_fetch_sub(&memory_in_use, scratch->cap);
	free(scratch->data);
	scratch->data = NULL;
	scratch->len = scratch->cap = 0;
}

static void count_locked(struct scratch *scratch, uint64_t bytes) REQUIRES(&scratch->lock)
{
	stats_gauge_add(STATS_STAGED_BYTES, (int64_t)(bytes - scratch->counted));
	atomic_fetch_add(&used_bytes, bytes - scratch->counted);
	scratch->counted = bytes;
}

/* Counts what it takes now. */
static void recount_locked(struct scratch *scratch) REQUIRES(&scratch->lock)
{
	int fd = atomic_load(&scratch->fd);
	struct stat st;

	if (fd < 0)
		count_locked(scratch, scratch->cap);
	else if (fstat(fd, &st) == 0)
		count_locked(scratch, (uint64_t)st.st_blocks * 512);
}

static bool is_there_locked(const struct scratch *scratch, uint64_t offset, size_t len)
	REQUIRES(&scratch->lock)
{
	int fd = atomic_load(&scratch->fd);

	if (fd < 0)
		return offset + len <= scratch->cap;
	return lseek(fd, (off_t)offset, SEEK_HOLE) >= (off_t)(offset + len);
}

/* Counts @len bytes before they are written, so that others see them; recount_locked() follows. */
static int reserve_locked(struct scratch *scratch, uint64_t offset, size_t len)
	REQUIRES(&scratch->lock)
{
	uint64_t limit = atomic_load(&limit_bytes);
	uint64_t before = scratch->counted;

	count_locked(scratch, before + len);
	if (limit == 0 || atomic_load(&used_bytes) <= limit)
		return 0;
	count_locked(scratch, before);
	return is_there_locked(scratch, offset, len) ? 0 : -ENOSPC;
}

void scratch_deinit(struct scratch *scratch)
{
	int fd = atomic_load(&scratch->fd);

	if (fd >= 0)
		close(fd);
	mutex_lock(&scratch->lock);
	count_locked(scratch, 0);
	free_memory_locked(scratch);
	mutex_unlock(&scratch->lock);
	mutex_deinit(&scratch->lock);
}

static int open_temporary(const char *dir)
{
	char path[4096];
	int fd;

	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
		return -errno;
	/* A file system without O_TMPFILE. */
	if (snprintf(path, sizeof(path), "%s/hexkv-fs-XXXXXX", dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	unlink(path);
	return fd;
}

static int write_all(int fd, uint64_t offset, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* *ret_fd is the file that everything is in from now on. */
static int need_file_locked(struct scratch *scratch, int *ret_fd) REQUIRES(&scratch->lock)
{
	int fd = atomic_load(&scratch->fd);
	int r;

	if (fd < 0) {
		fd = open_temporary(scratch->dir);
		if (fd < 0) {
			log_error("no temporary file for unsaved content", "directory=%s error=%d",
				  scratch->dir, -fd);
			/* To a program that writes, its file is there. */
			return fd == -ENOENT ? -EIO : fd;
		}
		r = write_all(fd, 0, scratch->data, scratch->len);
		if (r < 0) {
			close(fd);
			return r;
		}
		atomic_store(&scratch->fd, fd);
		free_memory_locked(scratch);
	}
	*ret_fd = fd;
	return 0;
}

/* Whether @end bytes find room in memory; there is a file otherwise, or will be. */
static bool grow_memory_locked(struct scratch *scratch, uint64_t end) REQUIRES(&scratch->lock)
{
	size_t cap = scratch->cap ? scratch->cap : FIRST_CAP;
	uint8_t *data;

	if (atomic_load(&scratch->fd) >= 0 || end > SCRATCH_MEMORY_BYTES)
		return false;
	if (end <= scratch->cap)
		return true;
	while (cap < end)
		cap *= 2;
	if (atomic_load(&memory_in_use) + cap - scratch->cap > SCRATCH_ALL_BYTES)
		return false;
	data = realloc(scratch->data, cap);
	if (!data)
		return false;
	atomic_fetch_add(&memory_in_use, cap - scratch->cap);
	scratch->data = data;
	scratch->cap = cap;
	return true;
}

/* Bytes beyond the end are always zeros when the end moves over them. */
static void extend_locked(struct scratch *scratch, size_t end) REQUIRES(&scratch->lock)
{
	if (end <= scratch->len)
		return;
	memset(scratch->data + scratch->len, 0, end - scratch->len);
	scratch->len = end;
}

int scratch_write(struct scratch *scratch, uint64_t offset, const void *data, size_t len)
{
	int fd, r = 0;

	if (len == 0)
		return 0;
	mutex_lock(&scratch->lock);
	r = reserve_locked(scratch, offset, len);
	if (r == 0 && grow_memory_locked(scratch, offset + len)) {
		extend_locked(scratch, (size_t)offset + len);
		memcpy(scratch->data + offset, data, len);
	} else if (r == 0) {
		r = need_file_locked(scratch, &fd);
		if (r == 0)
			r = write_all(fd, offset, data, len);
	}
	recount_locked(scratch);
	mutex_unlock(&scratch->lock);
	return r;
}

int scratch_truncate(struct scratch *scratch, uint64_t size_bytes)
{
	int fd, r = 0;

	mutex_lock(&scratch->lock);
	if (atomic_load(&scratch->fd) < 0 && size_bytes <= scratch->len) {
		scratch->len = (size_t)size_bytes;
	} else if (grow_memory_locked(scratch, size_bytes)) {
		extend_locked(scratch, (size_t)size_bytes);
	} else {
		r = need_file_locked(scratch, &fd);
		if (r == 0 && ftruncate(fd, (off_t)size_bytes) < 0)
			r = -errno;
	}
	recount_locked(scratch);
	mutex_unlock(&scratch->lock);
	return r;
}

static ssize_t read_file(int fd, uint64_t offset, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, (uint8_t *)data + done, len - done, (off_t)(offset + done));

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

ssize_t scratch_read(struct scratch *scratch, uint64_t offset, void *data, size_t len)
{
	int fd = atomic_load(&scratch->fd);

	if (fd >= 0)
		return read_file(fd, offset, data, len);
	mutex_lock(&scratch->lock);
	/* It may have moved meanwhile, and then it stays there. */
	fd = atomic_load(&scratch->fd);
	if (fd < 0) {
		if (offset >= scratch->len)
			len = 0;
		else if (len > scratch->len - offset)
			len = scratch->len - (size_t)offset;
		if (len > 0)
			memcpy(data, scratch->data + offset, len);
	}
	mutex_unlock(&scratch->lock);
	return fd < 0 ? (ssize_t)len : read_file(fd, offset, data, len);
}

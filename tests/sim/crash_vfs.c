/* SPDX-License-Identifier: MIT */
#include "tests/sim/crash_vfs.h"

#include "lib/mutex.h"
#include "tests/sim/crash_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct crash_vfs {
	struct vfs base;
	struct mutex lock;
	struct crash_disk disk;
	bool cut;
	uint64_t generation; /* of files: a restart makes older ones dead */
	uint64_t calls, changes;
	uint64_t cut_at; /* in changes; 0: never */
	uint64_t fail_from, fail_to; /* in calls */
	uint64_t failures;
	int error;
	uint64_t capacity, refusals;
	unsigned again_percent;
};

struct crash_file {
	struct vfs_file base;
	struct crash_inode *inode;
	uint64_t generation;
	unsigned flags;
};

enum call { READS, CHANGES };

static struct crash_vfs *of(struct vfs *vfs)
{
	return (struct crash_vfs *)vfs;
}

static struct crash_file *file_of(struct vfs_file *file)
{
	return (struct crash_file *)file;
}

/* What becomes of this call: 0 it happens; otherwise it answers with the error. *ret_happens: it
 * happens all the same, which only a power cut will show (the power went while it ran). */
static int enter(struct crash_vfs *vfs, enum call call, bool *ret_happens)
{
	*ret_happens = false;
	if (vfs->cut)
		return -EIO;
	vfs->calls++;
	if (call == CHANGES && ++vfs->changes == vfs->cut_at) {
		vfs->cut = true;
		*ret_happens = true;
		return -EIO;
	}
	if (vfs->calls >= vfs->fail_from && vfs->calls < vfs->fail_to) {
		vfs->failures++;
		return -vfs->error;
	}
	*ret_happens = true;
	return 0;
}

static bool is_dead(struct vfs_file *file)
{
	return of(file->vfs)->cut || file_of(file)->generation != of(file->vfs)->generation;
}

static int enter_file(struct vfs_file *file, enum call call, bool *ret_happens)
{
	*ret_happens = false;
	if (is_dead(file))
		return -EIO;
	return enter(of(file->vfs), call, ret_happens);
}

static int open_locked(struct crash_vfs *vfs, const char *path, unsigned flags,
		       struct crash_inode **ret_inode)
{
	struct crash_inode *inode = crash_disk_find(&vfs->disk, path);

	if (flags & VFS_CREATE) {
		if (inode)
			return -EEXIST;
		if (!crash_disk_has_parent(&vfs->disk, path))
			return -ENOENT;
		inode = crash_disk_create(&vfs->disk, path, false);
	}
	if (!inode)
		return -ENOENT;
	if (inode->is_dir)
		return -EISDIR;
	*ret_inode = inode;
	return 0;
}

static int crash_open(struct vfs *base, const char *path, unsigned flags,
		      struct vfs_file **ret_file)
{
	struct crash_file *file = calloc(1, sizeof(*file));
	struct crash_vfs *vfs = of(base);
	struct crash_inode *inode = NULL;
	bool happens;
	int r, r2 = 0;

	if (!file)
		return -ENOMEM;
	mutex_lock(&vfs->lock);
	r = enter(vfs, flags & VFS_CREATE ? CHANGES : READS, &happens);
	if (happens)
		r2 = open_locked(vfs, path, flags, &inode);
	r = r < 0 ? r : r2;
	if (r == 0) {
		inode->refs++;
		*file = (struct crash_file){ .base.vfs = base,
					     .inode = inode,
					     .generation = vfs->generation,
					     .flags = flags };
	}
	mutex_unlock(&vfs->lock);
	if (r < 0)
		free(file);
	else
		*ret_file = &file->base;
	return r;
}

static void crash_close(struct vfs_file *base)
{
	struct crash_file *file = file_of(base);
	struct crash_vfs *vfs = of(base->vfs);

	mutex_lock(&vfs->lock);
	if (file->inode->locked_by == file)
		file->inode->locked_by = NULL;
	crash_inode_unref(&vfs->disk, file->inode);
	mutex_unlock(&vfs->lock);
	free(file);
}

static ssize_t crash_pread(struct vfs_file *base, void *data, size_t len, uint64_t offset,
			   unsigned flags)
{
	struct crash_inode *inode = file_of(base)->inode;
	struct crash_vfs *vfs = of(base->vfs);
	ssize_t n;
	bool happens;

	mutex_lock(&vfs->lock);
	n = enter_file(base, READS, &happens);
	if (n == 0 && !(file_of(base)->flags & VFS_READ))
		n = -EBADF;
	if (n == 0 && (flags & VFS_NOWAIT) &&
	    crash_disk_random(&vfs->disk) % 100 < vfs->again_percent)
		n = -EAGAIN;
	if (n == 0 && offset < inode->len && len > 0) {
		n = (ssize_t)(len < inode->len - offset ? len : inode->len - offset);
		memcpy(data, inode->data + offset, (size_t)n);
	}
	mutex_unlock(&vfs->lock);
	return n;
}

static bool has_room(struct crash_vfs *vfs, const struct crash_inode *inode, uint64_t end)
{
	if (vfs->capacity == 0 || end <= inode->len)
		return true;
	if (crash_disk_bytes(&vfs->disk) + (end - inode->len) <= vfs->capacity)
		return true;
	vfs->refusals++;
	return false;
}

static void write_parts(struct crash_inode *inode, const struct iovec *parts, int count,
			uint64_t offset, uint64_t limit)
{
	for (int i = 0; i < count && limit > 0; i++) {
		size_t len = parts[i].iov_len < limit ? parts[i].iov_len : (size_t)limit;

		crash_inode_write(inode, parts[i].iov_base, len, offset);
		offset += len;
		limit -= len;
	}
}

static int crash_pwritev(struct vfs_file *base, const struct iovec *parts, int count,
			 uint64_t offset)
{
	struct crash_inode *inode = file_of(base)->inode;
	struct crash_vfs *vfs = of(base->vfs);
	uint64_t total = 0;
	bool happens;
	int r;

	for (int i = 0; i < count; i++)
		total += parts[i].iov_len;
	mutex_lock(&vfs->lock);
	r = enter_file(base, CHANGES, &happens);
	if (r == 0 && !(file_of(base)->flags & VFS_WRITE)) {
		r = -EBADF;
		happens = false;
	} else if (r == 0 && !has_room(vfs, inode, offset + total)) {
		r = -ENOSPC;
	}
	if (r < 0 && r != -EBADF && !is_dead(base) && total > 0) {
		total = crash_disk_random(&vfs->disk) % total;
		happens = has_room(vfs, inode, offset + total);
	}
	if (happens)
		write_parts(inode, parts, count, offset, total);
	mutex_unlock(&vfs->lock);
	return r;
}

/* A sync during which the power goes has done nothing that counts; one that fails leaves what was
 * written in doubt. */
static int crash_sync(struct vfs_file *base)
{
	struct crash_vfs *vfs = of(base->vfs);
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter_file(base, CHANGES, &happens);
	if (r == 0)
		crash_inode_sync(file_of(base)->inode);
	else if (!is_dead(base))
		crash_inode_fail_sync(file_of(base)->inode);
	mutex_unlock(&vfs->lock);
	return r;
}

static int resize(struct vfs_file *base, uint64_t size, bool grow_only)
{
	struct crash_inode *inode = file_of(base)->inode;
	struct crash_vfs *vfs = of(base->vfs);
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter_file(base, CHANGES, &happens);
	if (happens && !has_room(vfs, inode, size)) {
		happens = false;
		r = r < 0 ? r : -ENOSPC;
	}
	if (happens && (!grow_only || size > inode->len))
		crash_inode_resize(inode, (size_t)size);
	mutex_unlock(&vfs->lock);
	return r;
}

static int crash_allocate(struct vfs_file *base, uint64_t offset, uint64_t len)
{
	return resize(base, offset + len, true);
}

static int crash_truncate(struct vfs_file *base, uint64_t size)
{
	return resize(base, size, false);
}

static int crash_size(struct vfs_file *base, uint64_t *ret_size)
{
	struct crash_vfs *vfs = of(base->vfs);
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter_file(base, READS, &happens);
	if (r == 0)
		*ret_size = file_of(base)->inode->len;
	mutex_unlock(&vfs->lock);
	return r;
}

static int crash_lock(struct vfs_file *base)
{
	struct crash_inode *inode = file_of(base)->inode;
	struct crash_vfs *vfs = of(base->vfs);
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter_file(base, READS, &happens);
	if (r == 0 && inode->locked_by && inode->locked_by != base)
		r = -EWOULDBLOCK;
	if (r == 0)
		inode->locked_by = base;
	mutex_unlock(&vfs->lock);
	return r;
}

static int crash_rename(struct vfs *base, const char *from, const char *to)
{
	struct crash_vfs *vfs = of(base);
	struct crash_inode *target;
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	target = crash_disk_find(&vfs->disk, to);
	if (happens &&
	    (!crash_disk_find(&vfs->disk, from) || !crash_disk_has_parent(&vfs->disk, to)))
		r = r < 0 ? r : -ENOENT;
	else if (target && target->is_dir && !crash_disk_is_empty(&vfs->disk, to))
		r = r < 0 ? r : -ENOTEMPTY;
	else if (happens)
		crash_disk_rename(&vfs->disk, from, to);
	mutex_unlock(&vfs->lock);
	return r;
}

static int crash_link(struct vfs *base, const char *from, const char *to)
{
	struct crash_vfs *vfs = of(base);
	struct crash_inode *inode;
	bool happens;
	int r, r2 = 0;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	inode = crash_disk_find(&vfs->disk, from);
	if (!inode || !crash_disk_has_parent(&vfs->disk, to))
		r2 = -ENOENT;
	else if (crash_disk_find(&vfs->disk, to))
		r2 = -EEXIST;
	else if (happens)
		crash_disk_link(&vfs->disk, inode, to);
	mutex_unlock(&vfs->lock);
	return r < 0 ? r : r2;
}

static int crash_unlink(struct vfs *base, const char *path)
{
	struct crash_vfs *vfs = of(base);
	struct crash_inode *inode;
	bool happens;
	int r, r2 = 0;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	inode = crash_disk_find(&vfs->disk, path);
	if (!inode)
		r2 = -ENOENT;
	else if (inode->is_dir)
		r2 = -EISDIR;
	else if (happens)
		crash_disk_unlink(&vfs->disk, path);
	mutex_unlock(&vfs->lock);
	return r < 0 ? r : r2;
}

static int crash_rmdir(struct vfs *base, const char *path)
{
	struct crash_vfs *vfs = of(base);
	struct crash_inode *inode;
	bool happens;
	int r, r2 = 0;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	inode = crash_disk_find(&vfs->disk, path);
	if (!inode)
		r2 = -ENOENT;
	else if (!inode->is_dir)
		r2 = -ENOTDIR;
	else if (!crash_disk_is_empty(&vfs->disk, path))
		r2 = -ENOTEMPTY;
	else if (happens)
		crash_disk_unlink(&vfs->disk, path);
	mutex_unlock(&vfs->lock);
	return r < 0 ? r : r2;
}

static int crash_mkdir(struct vfs *base, const char *path)
{
	struct crash_vfs *vfs = of(base);
	bool happens;
	int r, r2 = 0;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	if (crash_disk_find(&vfs->disk, path))
		r2 = -EEXIST;
	else if (!crash_disk_has_parent(&vfs->disk, path))
		r2 = -ENOENT;
	else if (happens)
		crash_disk_create(&vfs->disk, path, true);
	mutex_unlock(&vfs->lock);
	return r < 0 ? r : r2;
}

static int crash_sync_dir(struct vfs *base, const char *path)
{
	struct crash_vfs *vfs = of(base);
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter(vfs, CHANGES, &happens);
	if (r == 0)
		crash_disk_sync_dir(&vfs->disk, path);
	mutex_unlock(&vfs->lock);
	return r;
}

/* The names are copied first: the callback may come back with calls of its own. */
static int crash_list(struct vfs *base, const char *path, int (*found)(const char *, void *),
		      void *state)
{
	struct crash_vfs *vfs = of(base);
	struct crash_inode *dir;
	char **names = NULL;
	size_t count = 0;
	bool happens;
	int r;

	mutex_lock(&vfs->lock);
	r = enter(vfs, READS, &happens);
	dir = r == 0 ? crash_disk_find(&vfs->disk, path) : NULL;
	if (r == 0 && strcmp(path, "/") != 0 && !dir)
		r = -ENOENT;
	else if (dir && !dir->is_dir)
		r = -ENOTDIR;
	if (r == 0) {
		names = calloc(vfs->disk.names.count + 1, sizeof(*names));
		for (size_t i = 0; names && i < vfs->disk.names.count; i++) {
			const char *name = vfs->disk.names.items[i].path;

			if (crash_disk_is_in(name, path))
				names[count++] = strdup(strrchr(name, '/') + 1);
		}
	}
	mutex_unlock(&vfs->lock);
	for (size_t i = 0; i < count; i++) {
		if (r == 0)
			r = found(names[i], state);
		free(names[i]);
	}
	free(names);
	return r;
}

static int crash_space(struct vfs *base, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	struct crash_vfs *vfs = of(base);
	uint64_t total, used;
	bool happens;
	int r;

	(void)path;
	mutex_lock(&vfs->lock);
	r = enter(vfs, READS, &happens);
	total = vfs->capacity ? vfs->capacity : (uint64_t)1 << 40;
	used = crash_disk_bytes(&vfs->disk);
	mutex_unlock(&vfs->lock);
	if (r < 0)
		return r;
	*ret_total = total;
	*ret_free = used < total ? total - used : 0;
	return 0;
}

static const struct vfs_ops crash_ops = {
	.open = crash_open,
	.close = crash_close,
	.pread = crash_pread,
	.pwritev = crash_pwritev,
	.sync = crash_sync,
	.allocate = crash_allocate,
	.truncate = crash_truncate,
	.size = crash_size,
	.lock = crash_lock,
	.rename = crash_rename,
	.link = crash_link,
	.unlink = crash_unlink,
	.rmdir = crash_rmdir,
	.mkdir = crash_mkdir,
	.sync_dir = crash_sync_dir,
	.list = crash_list,
	.space = crash_space,
};

struct crash_vfs *crash_vfs_new(uint64_t seed)
{
	struct crash_vfs *vfs = calloc(1, sizeof(*vfs));

	if (!vfs)
		abort();
	vfs->base.ops = &crash_ops;
	mutex_init(&vfs->lock);
	crash_disk_init(&vfs->disk, seed);
	return vfs;
}

struct crash_vfs *crash_vfs_free(struct crash_vfs *vfs)
{
	if (!vfs)
		return NULL;
	crash_disk_deinit(&vfs->disk);
	mutex_deinit(&vfs->lock);
	free(vfs);
	return NULL;
}

struct vfs *crash_vfs_base(struct crash_vfs *vfs)
{
	return &vfs->base;
}

void crash_vfs_cut_after(struct crash_vfs *vfs, uint64_t calls)
{
	mutex_lock(&vfs->lock);
	vfs->cut_at = calls > 0 ? vfs->changes + calls : 0;
	mutex_unlock(&vfs->lock);
}

void crash_vfs_cut(struct crash_vfs *vfs)
{
	mutex_lock(&vfs->lock);
	vfs->cut = true;
	mutex_unlock(&vfs->lock);
}

bool crash_vfs_is_cut(struct crash_vfs *vfs)
{
	bool cut;

	mutex_lock(&vfs->lock);
	cut = vfs->cut;
	mutex_unlock(&vfs->lock);
	return cut;
}

static void go_on_locked(struct crash_vfs *vfs) REQUIRES(vfs->lock)
{
	vfs->cut = false;
	vfs->cut_at = 0;
	vfs->fail_from = vfs->fail_to = 0;
	vfs->generation++;
}

void crash_vfs_restart(struct crash_vfs *vfs)
{
	mutex_lock(&vfs->lock);
	crash_disk_power_cut(&vfs->disk);
	go_on_locked(vfs);
	mutex_unlock(&vfs->lock);
}

void crash_vfs_revive(struct crash_vfs *vfs)
{
	mutex_lock(&vfs->lock);
	go_on_locked(vfs);
	mutex_unlock(&vfs->lock);
}

void crash_vfs_fail(struct crash_vfs *vfs, uint64_t nth, uint64_t times, int error)
{
	mutex_lock(&vfs->lock);
	vfs->fail_from = vfs->calls + nth;
	vfs->fail_to = times < UINT64_MAX - vfs->fail_from ? vfs->fail_from + times : UINT64_MAX;
	vfs->error = error;
	vfs->failures = 0;
	mutex_unlock(&vfs->lock);
}

uint64_t crash_vfs_failures(struct crash_vfs *vfs)
{
	uint64_t failures;

	mutex_lock(&vfs->lock);
	failures = vfs->failures;
	mutex_unlock(&vfs->lock);
	return failures;
}

uint64_t crash_vfs_calls(struct crash_vfs *vfs)
{
	uint64_t calls;

	mutex_lock(&vfs->lock);
	calls = vfs->calls;
	mutex_unlock(&vfs->lock);
	return calls;
}

uint64_t crash_vfs_refusals(struct crash_vfs *vfs)
{
	uint64_t refusals;

	mutex_lock(&vfs->lock);
	refusals = vfs->refusals;
	mutex_unlock(&vfs->lock);
	return refusals;
}

void crash_vfs_set_capacity(struct crash_vfs *vfs, uint64_t bytes)
{
	mutex_lock(&vfs->lock);
	vfs->capacity = bytes;
	mutex_unlock(&vfs->lock);
}

void crash_vfs_set_again_percent(struct crash_vfs *vfs, unsigned percent)
{
	mutex_lock(&vfs->lock);
	vfs->again_percent = percent;
	mutex_unlock(&vfs->lock);
}

int crash_vfs_flip(struct crash_vfs *vfs, const char *path, uint64_t offset, unsigned bit)
{
	struct crash_inode *inode;
	int r = 0;

	mutex_lock(&vfs->lock);
	inode = crash_disk_find(&vfs->disk, path);
	if (!inode) {
		r = -ENOENT;
	} else if (offset >= inode->len) {
		r = -EINVAL;
	} else {
		inode->data[offset] ^= (uint8_t)(1u << bit);
		inode->durable[offset] = inode->data[offset];
	}
	mutex_unlock(&vfs->lock);
	return r;
}

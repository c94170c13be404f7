/* SPDX-License-Identifier: MIT */
/*
 * Attributes. An inode's change only through this mount, so no request is needed to tell them; what
 * changed elsewhere is found by the next look-up of the name.
 */
#include "fs/content.h"
#include "fs/meta.h"
#include "fs/ops.h"
#include "fs/resolve.h"
#include "fs/save.h"
#include "lib/clock.h"

#include <errno.h>

static void reply_attr(fuse_req_t req, struct mount *mount, struct inode *inode)
{
	struct stat st;

	ops_stat(mount, inode, &st);
	fuse_reply_attr(req, &st, mount->options->attr_timeout_ms / 1000.0);
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);

	(void)fi;
	reply_attr(req, mount, ops_inode(mount, ino));
}

/* Owners can't be stored: only what changes nothing is accepted. */
static int check_owner(const struct mount *mount, const struct stat *attr, int to_set)
{
	if ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != mount->options->uid)
		return -EPERM;
	if ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != mount->options->gid)
		return -EPERM;
	return 0;
}

/* Whether others have the file open does not tell truncate(2) and ftruncate(2) apart: one that was
 * closed just now may not have been released yet. */
static int truncate_file(struct mount *mount, struct inode *inode, uint64_t size_bytes,
			 bool by_handle, const struct interrupt *interrupt)
{
	return by_handle ? content_truncate(mount, inode, size_bytes, interrupt)
			 : save_truncated(mount, inode, size_bytes, interrupt);
}

/* Times are kept in nanoseconds, from 1677 to 2262: what lies outside is moved to the nearest. */
static int64_t time_to_ns(const struct timespec *time)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)time->tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)time->tv_nsec, &ns))
		return time->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

static int64_t wanted_mtime_ns(const struct stat *attr, int to_set)
{
	return to_set & FUSE_SET_ATTR_MTIME_NOW ? clock_realtime_ns() : time_to_ns(&attr->st_mtim);
}

static int set_mtime(struct mount *mount, struct inode *inode, const struct stat *attr, int to_set,
		     const struct interrupt *interrupt)
{
	const struct meta_change change = {
		.has_mtime = true,
		.mtime_ns = wanted_mtime_ns(attr, to_set),
	};

	return meta_change(mount, inode, &change, interrupt);
}

/* Its kind never changes. A program that copies a directory's time sees it until a name changes. */
static int set_attributes_of_root(struct mount *mount, const struct stat *attr, int to_set)
{
	if (to_set & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_MODE))
		return -EPERM;
	if (!(to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)))
		return 0;
	mutex_lock(&mount->inodes.lock);
	mount->inodes.names_changed_ns = wanted_mtime_ns(attr, to_set);
	mutex_unlock(&mount->inodes.lock);
	return 0;
}

static int set_attributes(struct mount *mount, struct inode *inode, const struct stat *attr,
			  int to_set, bool by_handle, const struct interrupt *interrupt)
{
	int r = check_owner(mount, attr, to_set);

	if (r < 0)
		return r;
	if (inode == &mount->inodes.root)
		return set_attributes_of_root(mount, attr, to_set);
	if (to_set & FUSE_SET_ATTR_SIZE) {
		r = attr->st_size < 0 ? -EINVAL
				      : truncate_file(mount, inode, (uint64_t)attr->st_size,
						      by_handle, interrupt);
		if (r < 0)
			return r;
	}
	if (to_set & FUSE_SET_ATTR_MODE) {
		mutex_lock(&mount->inodes.lock);
		inode->mode = attr->st_mode & 07777;
		mutex_unlock(&mount->inodes.lock);
	}
	/* With a new size the kernel sends the time as well: it has that of the change. */
	if ((to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) &&
	    !(to_set & FUSE_SET_ATTR_SIZE))
		r = set_mtime(mount, inode, attr, to_set, interrupt);
	return r;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		 struct fuse_file_info *fi)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct inode *inode = ops_inode(mount, ino);
	/* truncate(2) is an open as well: it must not bring an older version back. On ESTALE the
	 * kernel looks the name up again. */
	bool opens = (to_set & FUSE_SET_ATTR_SIZE) && !fi && inode != &mount->inodes.root;
	pid_t pid = fuse_req_ctx(req)->pid;
	struct resolve_try try;
	int r = 0;

	if (opens)
		r = resolve_check_current(mount, inode, pid, &interrupt, &try);
	if (r == 0)
		r = set_attributes(mount, inode, attr, to_set, fi != NULL, &interrupt);
	if (opens && r == -ESTALE)
		resolve_try_failed(mount, inode, pid, &try);
	if (r < 0)
		ops_reply_error(req, r);
	else
		reply_attr(req, mount, inode);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct space_figures figures;
	struct statvfs st = {
		.f_bsize = 4096,
		.f_frsize = 4096,
		.f_namemax = NAME_BYTES_MAX,
	};

	(void)ino;
	space_get(ops_mount(req)->space, &figures);
	st.f_blocks = figures.total_bytes / st.f_frsize;
	st.f_bfree = st.f_bavail = figures.free_bytes / st.f_frsize;
	/* Records have no table that could be full. */
	st.f_ffree = st.f_favail = figures.free_bytes / st.f_frsize;
	st.f_files = figures.records + st.f_ffree;
	fuse_reply_statfs(req, &st);
}

/* SPDX-License-Identifier: MIT */
#include "fs/ops.h"

#include "fs/ops_stats.h"
#include "fs/resolve.h"

#include <errno.h>
#include <time.h>

#define MAX_BACKGROUND 64
#define MAX_WRITE      (1024 * 1024)
#define BLOCK_SIZE     4096

const struct fuse_lowlevel_ops ops_table = {
	.init = ops_init,
	.lookup = ops_stats_lookup,
	.forget = ops_stats_forget,
	.forget_multi = ops_forget_multi,
	.create = ops_stats_create,
	.unlink = ops_stats_unlink,
	.rename = ops_stats_rename,
	.mkdir = ops_mkdir,
	.mknod = ops_mknod,
	.rmdir = ops_rmdir,
	.symlink = ops_symlink,
	.link = ops_link,
	.getattr = ops_stats_getattr,
	.setattr = ops_stats_setattr,
	.statfs = ops_statfs,
	.open = ops_stats_open,
	.read = ops_stats_read,
	.write = ops_write,
	.flush = ops_stats_flush,
	.fsync = ops_stats_fsync,
	.release = ops_stats_release,
	.getxattr = ops_stats_getxattr,
	.setxattr = ops_stats_setxattr,
	.listxattr = ops_stats_listxattr,
	.removexattr = ops_stats_removexattr,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.releasedir = ops_releasedir,
	.fsyncdir = ops_fsyncdir,
};

/* Pages belong to an inode and an inode to one version, so the kernel need not guess from times
 * whether its pages are still good. */
void ops_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->want &= ~(unsigned)FUSE_CAP_AUTO_INVAL_DATA;
	conn->max_background = MAX_BACKGROUND;
	conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
	conn->max_write = MAX_WRITE;
	conn->max_readahead = MAX_WRITE;
	conn->time_gran = 1;
}

static bool request_interrupted(void *state)
{
	return fuse_req_interrupted((fuse_req_t)state);
}

struct interrupt ops_interrupt(fuse_req_t req)
{
	return (struct interrupt){ .raised = request_interrupted, .state = req };
}

struct inode *ops_inode(struct mount *mount, fuse_ino_t ino)
{
	if (ino == FUSE_ROOT_ID)
		return &mount->inodes.root;
	return (struct inode *)ino; /* NOLINT: a node id is the inode's address */
}

static struct timespec to_timespec(int64_t time_ns)
{
	struct timespec time = {
		.tv_sec = (time_t)(time_ns / 1000000000),
		.tv_nsec = (long)(time_ns % 1000000000),
	};

	if (time.tv_nsec < 0) {
		time.tv_sec--;
		time.tv_nsec += 1000000000;
	}
	return time;
}

static void root_stat_locked(const struct mount *mount, struct stat *ret_stat)
{
	const struct mount_options *options = mount->options;
	struct timespec time = to_timespec(mount->inodes.names_changed_ns);

	*ret_stat = (struct stat){
		.st_ino = FUSE_ROOT_ID,
		.st_mode = S_IFDIR | options->directory_mode,
		.st_nlink = 2,
		.st_uid = options->uid,
		.st_gid = options->gid,
		.st_blksize = BLOCK_SIZE,
		.st_mtim = time,
		.st_ctim = time,
		.st_atim = time,
	};
}

static void inode_stat_locked(const struct mount *mount, struct inode *inode, struct stat *ret_stat)
{
	uint64_t size = inode_size_locked(inode);
	struct timespec time = to_timespec(inode->mtime_ns);

	*ret_stat = (struct stat){
		.st_ino = inode->st_ino,
		.st_mode = S_IFREG | inode->mode,
		.st_nlink = inode->deleted ? 0 : 1,
		.st_uid = mount->options->uid,
		.st_gid = mount->options->gid,
		.st_size = (off_t)size,
		.st_blocks = (blkcnt_t)((size + 511) / 512),
		.st_blksize = BLOCK_SIZE,
		.st_mtim = time,
		.st_ctim = time,
		.st_atim = time,
	};
}

void ops_stat(struct mount *mount, struct inode *inode, struct stat *ret_stat)
{
	mutex_lock(&mount->inodes.lock);
	if (inode->kind == INODE_ROOT)
		root_stat_locked(mount, ret_stat);
	else
		inode_stat_locked(mount, inode, ret_stat);
	mutex_unlock(&mount->inodes.lock);
}

void ops_entry(struct mount *mount, struct inode *inode, struct fuse_entry_param *ret_entry)
{
	*ret_entry = (struct fuse_entry_param){
		.ino = (fuse_ino_t)inode,
		.attr_timeout = mount->options->attr_timeout_ms / 1000.0,
	};
	mutex_lock(&mount->inodes.lock);
	inode_stat_locked(mount, inode, &ret_entry->attr);
	ret_entry->entry_timeout = resolve_entry_timeout_locked(mount, inode);
	ret_entry->generation = inode->birth;
	mutex_unlock(&mount->inodes.lock);
}

void ops_reply_error(fuse_req_t req, int error)
{
	int code = -error;

	fuse_reply_err(req, code == EAGAIN ? EIO : code);
}

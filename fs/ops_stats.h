/* SPDX-License-Identifier: MIT */
/*
 * The file .stats: what the mount has counted, as text. It is in no listing, can be read and
 * nothing else, and is found and read without a request to the router. These stand in the table of
 * operations before those of the records, and pass on what is about any other file. Threads: any.
 */
#pragma once

#include "fs/ops.h"

#define STATS_NAME ".stats"
/* No inode's address. */
#define STATS_INO 2

void ops_stats_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_stats_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void ops_stats_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi);
void ops_stats_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_stats_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		      const char *newname, unsigned flags);
void ops_stats_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_stats_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi);
void ops_stats_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_stats_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void ops_stats_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_stats_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void ops_stats_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_stats_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_stats_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			size_t size, int flags);
void ops_stats_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_stats_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

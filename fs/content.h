/* SPDX-License-Identifier: MIT */
/*
 * The content of a file as its openers see it: the stored version with what has been changed here
 * laid over it. fs/save stores it.
 *
 * Errors: 0 or a negative errno. Threads: any; the caller holds a reference to the inode and no
 * lock.
 */
#pragma once

#include "fs/mount.h"
#include "fs/reader.h"

/* Largest size a file may be given. */
#define CONTENT_BYTES_MAX (UINT64_C(1) << 43)

struct content_range {
	uint64_t offset;
	size_t len;
};
/* @reader is the inode's. As much of @range as there is: nothing at the end. @ret_bytes is all
 * zero. */
int content_read(struct mount *mount, struct inode *inode, struct reader *reader,
		 const struct content_range *range, const struct interrupt *interrupt,
		 struct reader_bytes *ret_bytes);
int content_write(struct mount *mount, struct inode *inode, uint64_t offset, const void *data,
		  size_t len, const struct interrupt *interrupt);
int content_truncate(struct mount *mount, struct inode *inode, uint64_t size_bytes,
		     const struct interrupt *interrupt);
/* Sees to it that those who have it open can read on, before the stored version goes away: it is
 * pinned or, if it can't be, brought here; where the disk has no room for that they are told ESTALE
 * later. */
int content_keep(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* The file has been opened: if too many small values are in memory already, this one goes to a
 * staging file. */
int content_hold(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* Brings here all of it that is not. The caller is between inode_begin_send() and
 * inode_end_send(). */
int content_bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* After the last writer: content that could not be stored is given up, and what is stored is no
 * longer kept here, once those who read it have it pinned. */
void content_release(struct mount *mount, struct inode *inode);

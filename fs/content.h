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

/* @reader belongs to the open file. Bytes, 0 at the end. */
ssize_t content_read(struct mount *mount, struct inode *inode, struct reader *reader,
		     uint64_t offset, void *data, size_t len, const struct interrupt *interrupt);
int content_write(struct mount *mount, struct inode *inode, uint64_t offset, const void *data,
		  size_t len, const struct interrupt *interrupt);
int content_truncate(struct mount *mount, struct inode *inode, uint64_t size_bytes,
		     const struct interrupt *interrupt);
/* Brings here what a reader may still want, before the stored version goes away. Does nothing if
 * nobody has it open; where the disk has no room the reader is told ESTALE later. */
int content_keep(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* As content_keep(), whoever has it open. The caller is between inode_begin_send() and
 * inode_end_send(). */
int content_bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* After the last writer: content that could not be stored is given up, and what is stored is no
 * longer kept here. */
void content_release(struct mount *mount, struct inode *inode);

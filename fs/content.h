/* SPDX-License-Identifier: MIT */
/*
 * The content of a file as its openers see it: the stored version with what has been changed here
 * laid over it, and how the changes are stored.
 *
 * Errors: 0 or a negative errno. Content that could not be stored stays in the file and is tried
 * again by the next flush. Threads: any; the caller holds a reference to the inode and no lock.
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
/* Stores what is unsaved as the record's new version; nothing to do if nothing is. With
 * DURABILITY_DISK also what was stored before is on stable storage when it returns. */
int content_flush(struct mount *mount, struct inode *inode, enum durability durability,
		  const struct interrupt *interrupt);
/* Brings here what a reader may still want, before the stored version goes away. Does nothing if
 * nobody has it open; where the disk has no room the reader is told ESTALE later. */
int content_keep(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* As content_keep(), whoever has it open. The caller is between inode_begin_send() and
 * inode_end_send(). */
int content_bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* Stores the content of a temporary file as the record @key. With @only_new -EEXIST if there is
 * one; otherwise the replaced record's labels stay, unless the file has its own. The caller is
 * between inode_begin_send() and inode_end_send(). */
int content_store_as(struct mount *mount, struct inode *inode, const char *key, bool only_new,
		     const struct interrupt *interrupt);
/* After the last writer: content that could not be stored is given up, and what is stored is no
 * longer kept here. */
void content_release(struct mount *mount, struct inode *inode);
/* At the end of the mount: stores what is unsaved in any file, and logs what could not be. Returns
 * how many files that were. */
unsigned content_flush_all(struct mount *mount);

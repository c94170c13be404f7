/* SPDX-License-Identifier: MIT */
/*
 * Storing what has been changed in a file.
 *
 * Errors: 0 or a negative errno. Content that could not be stored stays in the file and is tried
 * again by the next flush. Threads: any; the caller holds a reference to the inode and no lock.
 */
#pragma once

#include "fs/mount.h"

/* Stores what is unsaved as the record's new version; nothing to do if nothing is. With
 * DURABILITY_DISK also what was stored before is on stable storage when it returns. */
int save_content(struct mount *mount, struct inode *inode, enum durability durability,
		 const struct interrupt *interrupt);
/* Stores what is unsaved for those who end writing, unless others write: it is theirs then. */
int save_as_last(struct mount *mount, struct inode *inode);
/* Around what is done to a file by who has no handle of it: nobody's close() stores or drops the
 * content meanwhile. The end does that in their place, unless storing has failed just now: @result.
 */
void save_begin_unopened(struct mount *mount, struct inode *inode);
int save_end_unopened(struct mount *mount, struct inode *inode, int result);
/* truncate(2), which has no handle whose close() would store it: does both. */
int save_truncated(struct mount *mount, struct inode *inode, uint64_t size_bytes,
		   const struct interrupt *interrupt);
/* Stores the content of a temporary file as the record @key. With @only_new -EEXIST if there is
 * one; otherwise the replaced record's labels stay, unless the file has its own. The caller is
 * between inode_begin_send() and inode_end_send(). */
int save_as(struct mount *mount, struct inode *inode, const char *key, bool only_new,
	    const struct interrupt *interrupt);
/* At the end of the mount: stores what is unsaved in any file, and logs what could not be. Returns
 * how many files that were. */
unsigned save_all(struct mount *mount);

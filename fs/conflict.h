/* SPDX-License-Identifier: MIT */
/*
 * What a file's content may replace when it is stored. By default whatever is there: the last
 * writer wins. With -o conflict=estale only what the file was opened with: then nobody's change is
 * replaced unseen. That also holds for what was made of a follower's word while there was no
 * leader, which may have been behind what was acknowledged.
 *
 * Errors: 0 or a negative errno. Threads: any; the caller is the inode's sender.
 */
#pragma once

#include "fs/mount.h"

/* Says so in @put, which borrows *ret_replaces. */
void conflict_guard_locked(struct mount *mount, const struct inode *inode, struct remote_put *put,
			   struct version *ret_replaces) REQUIRES(&mount->inodes.lock);
/* After @put was refused with -ESTALE, and an earlier try ended without an answer. 0: that one
 * stored it, for the record is just what was to be stored. -ESTALE: it is somebody else's. */
int conflict_settle(struct mount *mount, const struct remote_put *put,
		    const struct interrupt *interrupt, struct remote_stored *ret_stored);

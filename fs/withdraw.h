/* SPDX-License-Identifier: MIT */
/*
 * Takes a name away from the files that have it or had it, because it is removed or given to
 * another here. A file that somebody has open for writing would be stored under its name when he
 * closes it, also if a newer version from elsewhere has the name by now: as on any file system,
 * what he writes from then on is his alone.
 *
 * Errors: 0 or a negative errno. Threads: any; one that withdraws holds several inodes as their
 * sender, which is safe since the kernel changes one name of a directory at a time.
 */
#pragma once

#include "fs/mount.h"

struct withdrawal {
	struct inode *named; /* the one that has the name; NULL: none */
	struct inode **inodes; /* with that one; a reference to each */
	size_t count;
};

/* None of them is stored until withdraw_end(). @renamed takes the name along, NULL: it is removed
 * or given to another. It is left out, and so is what may have got the name from elsewhere since.
 */
int withdraw_begin(struct mount *mount, const char *name, const struct inode *renamed,
		   const struct interrupt *interrupt, struct withdrawal *ret_withdrawal);
/* @gone: nor are they later. Does nothing for what is all zero. */
void withdraw_end(struct mount *mount, struct withdrawal *withdrawal, bool gone);

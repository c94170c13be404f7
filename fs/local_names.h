/* SPDX-License-Identifier: MIT */
/*
 * The names that only this mount had when a reader began with the directory: unsaved and temporary
 * files. Each is listed here and nowhere else, however it is stored meanwhile, so that it is seen
 * once.
 *
 * Ownership: holds a reference to each inode. Threads: the caller serialises; takes the table's
 * lock.
 */
#pragma once

#include "fs/mount.h"

struct local_names {
	struct local_name *names; /* by birth */
	struct local_name **by_name;
	size_t count;
};

/* Those that there are now. A reader that begins again may still come back to a place from before:
 * those that were in it stay for a while, though they have been stored since. */
int local_names_collect(struct local_names *local, struct mount *mount);
void local_names_deinit(struct local_names *local, struct mount *mount);
bool local_names_contain(const struct local_names *local, const char *name);
/* The first behind @birth that there still is: 1, with a reference for the caller; 0: none;
 * negative errno. */
int local_names_next(const struct local_names *local, struct mount *mount, uint64_t birth,
		     const struct interrupt *interrupt, struct inode **ret_inode,
		     uint64_t *ret_birth);

/* SPDX-License-Identifier: MIT */
/*
 * Making, removing and renaming files by name. Errors: 0 or a negative errno for the program.
 * Threads: any.
 */
#pragma once

#include "fs/mount.h"

struct files_create {
	const char *name;
	unsigned mode;
	bool exclusive;
	bool truncate;
};
/* *ret_inode has one reference for the caller, and is kept as if it were open for writing until
 * files_created(): nobody else's close() stores or drops it. */
int files_create(struct mount *mount, const struct files_create *create,
		 const struct interrupt *interrupt, struct inode **ret_inode);
/* The caller has opened or stored it, or gives up: @result. What the last writer left to it
 * meanwhile is stored then, unless that can't be. */
void files_created(struct mount *mount, struct inode *inode, int result);
int files_unlink(struct mount *mount, const char *name, const struct interrupt *interrupt);
/* @inode is a record's and not stored as far as is known: nor is it by a try that ended without an
 * answer. The caller is its sender. */
int files_remove_tried(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* @only_new: -EEXIST if @to exists. */
int files_rename(struct mount *mount, const char *from, const char *to, bool only_new,
		 const struct interrupt *interrupt);

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
/* For a temporary file that goes away: the record that it was goes with it, unless it has been
 * replaced since. */
int files_remove_hidden(struct mount *mount, struct inode *inode,
			const struct interrupt *interrupt);
/* @key is not stored as far as is known: neither will a write be that is in doubt. */
int files_remove_doubtful(struct mount *mount, const char *key, const struct interrupt *interrupt);
/* @only_new: -EEXIST if @to exists. */
int files_rename(struct mount *mount, const char *from, const char *to, bool only_new,
		 const struct interrupt *interrupt);

/* SPDX-License-Identifier: MIT */
/*
 * A copy of another node's store takes the place of this node's own (docs/FORMAT.md, "Install").
 * The files of a checkpoint are fetched into bootstrap/ of the data directory while the old store
 * serves; install_complete() makes a data directory of this node out of them and verifies it; the
 * next store_open() moves it into place. Whatever happens in between, the directory holds the old
 * store or the new one, never parts of both.
 *
 * Threads: any, one at a time. Errors: negative errno.
 */
#pragma once

#include "node/vfs.h"

#include <stdbool.h>

/* Whether a checkpoint may have a file of this name, which may have come from anywhere. */
bool install_name_is_valid(const char *name);
/* Where file @name of the checkpoint is to be: to be freed, NULL if memory is out. */
char *install_path(const char *dir, const char *name);
/* Makes bootstrap/ and the directories in it; again does nothing. */
int install_prepare(struct vfs *vfs, const char *dir);
/* Removes bootstrap/ with all that was fetched. Not after install_mark() has succeeded. */
int install_discard(struct vfs *vfs, const char *dir);

/* All files are there. 0: it is sound, and lacks nothing but install_mark(). -EBADMSG: it is not,
 * as
 * @ret_why (to be freed) says: to be discarded. Reads all of it, so it takes its time; the store in
 * @dir may be open. What it calls on the way may be called again after any failure, with the files
 * of the checkpoint in place again. */
int install_verify(struct vfs *vfs, const char *dir, char **ret_why);
/* The next store_open() installs what was verified: from here on nothing may be acknowledged that
 * is not in it. What is installed is not whole; its promise is that which the old store has then if
 * @promise is 0, else it is of another lineage, and @promise is its promise. */
int install_mark(struct vfs *vfs, const char *dir, uint64_t promise);
/* Both. */
int install_complete(struct vfs *vfs, const char *dir, uint64_t promise, char **ret_why);
/* 1: the next store_open() installs something; 0: it does not. */
int install_is_due(struct vfs *vfs, const char *dir);

/* In store_open(), with the directory's lock: finishes what was completed, and removes what an
 * earlier one left behind. */
int install_finish(struct vfs *vfs, const char *dir);

/* SPDX-License-Identifier: MIT */
/*
 * Records that were moved aside: a key that was renamed to a temporary name. The record stays
 * stored under its key, hidden here, until the temporary file goes, so that a mount that dies loses
 * nothing. An editor begins a new file under the key meanwhile, which replaces the record once it
 * is stored.
 *
 * Errors: 0 or a negative errno. Threads: any.
 */
#pragma once

#include "fs/mount.h"

/* For a temporary file that goes away: the record that it was goes with it, unless it has been
 * replaced since. */
int aside_remove(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
/* Whether a record that was moved aside from @key is hidden here. */
bool aside_is_hidden(struct mount *mount, const char *key);
/* A new file was begun under such a @key and goes away, without having been stored as far as is
 * known. What others stored there is removed, and what a try to store the file may have left or may
 * leave yet: where it was tried (@tried) the record that was moved aside is stored as it was.
 * -ENOENT: there was nothing to remove. */
int aside_restore(struct mount *mount, const char *key, bool tried,
		  const struct interrupt *interrupt);

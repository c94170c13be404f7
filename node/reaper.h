/* SPDX-License-Identifier: MIT */
/*
 * Deletes files that nothing refers to any more in a thread of its own: freeing the blocks of a
 * large file takes long, and the last reference may go away in an event loop.
 *
 * Threads: reaper_add() from any thread; it never waits once reaper_start() has run.
 */
#pragma once

#include "node/vfs.h"

struct reaper;

int reaper_new(struct vfs *vfs, struct reaper **ret_reaper);
/* From now on a thread does the work; before, reaper_add() does it itself (simulations never start
 * the thread, so that they replay). */
int reaper_start(struct reaper *reaper);
/* Takes @path (NULL: only close) and @file (NULL: it is not open). Unlinks, then closes. */
void reaper_add(struct reaper *reaper, char *path, struct vfs_file *file);
/* Finishes what it was given. */
struct reaper *reaper_free(struct reaper *reaper);

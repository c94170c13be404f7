/* SPDX-License-Identifier: MIT */
/* Directories with all that is in them. Threads: any. */
#pragma once

#include "node/vfs.h"

/* Removes @path, whatever it is; 0 also if it is not there. What can't be removed stays, and the
 * first reason is returned. Nothing is synced: a power cut may bring some of it back. */
int dir_tree_remove(struct vfs *vfs, const char *path);

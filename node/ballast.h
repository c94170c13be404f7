/* SPDX-License-Identifier: MIT */
/*
 * Space set aside in a file, to be given back when the disk is full, so that deletes can still be
 * logged and memtables flushed. Threads: the caller serialises.
 */
#pragma once

#include "node/vfs.h"

/* Makes sure that it is there. -ENOSPC: the disk is (nearly) full. */
int ballast_restore(struct vfs *vfs, const char *dir, uint64_t bytes);
void ballast_release(struct vfs *vfs, const char *dir);

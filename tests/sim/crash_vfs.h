/* SPDX-License-Identifier: MIT */
/*
 * A vfs on a crash_disk: power cuts, calls that fail, and a full disk, all replayable by seed.
 *
 * A power cut comes in two steps, so that the program under test can be torn down by its ordinary
 * functions: from the cut on every call fails with -EIO and changes nothing; crash_vfs_restart()
 * then decides what survived. Files opened before stay dead and may only be closed.
 *
 * Threads: safe from any thread (one lock), replayable from one.
 */
#pragma once

#include "node/vfs.h"

struct crash_vfs;

struct crash_vfs *crash_vfs_new(uint64_t seed);
struct crash_vfs *crash_vfs_free(struct crash_vfs *vfs);
struct vfs *crash_vfs_base(struct crash_vfs *vfs);

/* Power goes during the @calls-th call that changes something, counted from now (1 = the next);
 * its effect is among what may survive. */
void crash_vfs_cut_after(struct crash_vfs *vfs, uint64_t calls);
void crash_vfs_cut(struct crash_vfs *vfs);
bool crash_vfs_is_cut(struct crash_vfs *vfs);
void crash_vfs_restart(struct crash_vfs *vfs);
/* After a cut too, but only the process was killed: whatever it had done is there, synced or not.
 * Every file opened before must have been closed. */
void crash_vfs_revive(struct crash_vfs *vfs);

/* The @nth call from now (1 = the next; reading ones count too) fails with @error (positive), and
 * with @times > 1 so do those after it. A write that fails may have written a part. */
void crash_vfs_fail(struct crash_vfs *vfs, uint64_t nth, uint64_t times, int error);
/* Calls that were made to fail since crash_vfs_fail(). */
uint64_t crash_vfs_failures(struct crash_vfs *vfs);
uint64_t crash_vfs_calls(struct crash_vfs *vfs);
/* Files may hold so many bytes in all; growing beyond gives -ENOSPC. 0: no limit. */
void crash_vfs_set_capacity(struct crash_vfs *vfs, uint64_t bytes);
/* How often that gave -ENOSPC. */
uint64_t crash_vfs_refusals(struct crash_vfs *vfs);
/* Reads with VFS_NOWAIT answer -EAGAIN so often. */
void crash_vfs_set_again_percent(struct crash_vfs *vfs, unsigned percent);
/* Flips one bit of what is there and durable; -ENOENT, or -EINVAL if it lies outside. */
int crash_vfs_flip(struct crash_vfs *vfs, const char *path, uint64_t offset, unsigned bit);

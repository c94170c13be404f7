/* SPDX-License-Identifier: MIT */
/*
 * The program under the names mount.hexkv and mount.fuse.hexkv: how mount(8) calls it, and what it
 * expects back. Threads: the main thread.
 */
#pragma once

#include <stdbool.h>

struct mount_helper {
	bool active; /* called by that name */
	bool fake; /* check the arguments and do nothing else */
	bool remount;
	char *options; /* "-o" joined, NULL: none; owned */
	char *words[6]; /* the command line of hexkv-fs */
};

/* If the program has a helper's name: replaces mount(8)'s arguments with those of hexkv-fs, which
 * last as long as @helper. 0, or -EINVAL after a sentence. */
int mount_helper_begin(struct mount_helper *helper, int *argc, char ***argv);
/* Changes the flags of a mount: read-only or not, and those of mount(8). The exit status of
 * hexkv-fs. */
int mount_helper_remount(const struct mount_helper *helper);
/* mount(8)'s exit status for one of hexkv-fs. */
int mount_helper_status(const struct mount_helper *helper, int status);
void mount_helper_deinit(struct mount_helper *helper);

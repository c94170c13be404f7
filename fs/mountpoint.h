/* SPDX-License-Identifier: MIT */
/* The directory that is mounted on. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Can it be mounted on? 0 and its absolute path, to be freed; or -EINVAL after a sentence. With
 * @over_files it need not be empty. */
int mountpoint_check(const char *path, bool over_files, char **ret_path);

struct mountpoint_info {
	unsigned major, minor; /* the device of the file system */
	char type[64];
	char source[512];
};
/* What the kernel's table says is mounted last on the absolute @path; never asks the file system
 * itself, which may hang. false if nothing is. */
bool mountpoint_find(const char *path, struct mountpoint_info *ret_info);
/* Takes off what is mounted there, also while it is in use. */
void mountpoint_detach(const char *path);

/* SPDX-License-Identifier: MIT */
#include "fs/still_open.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than the longest mount point that can be compared and a name. */
#define PATH_BYTES_MAX 4096

bool still_open(pid_t pid, const char *path)
{
	char directory[64], target[PATH_BYTES_MAX];
	const struct dirent *entry;
	bool found = false;
	DIR *dir;

	/* The kernel does not say who asks, or not in our name space. */
	if (pid <= 0)
		return false;
	snprintf(directory, sizeof(directory), "/proc/%d/fd", (int)pid);
	dir = opendir(directory);
	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

		if (len < 0)
			continue;
		target[len] = '\0';
		found = strcmp(target, path) == 0;
	}
	closedir(dir);
	return found;
}

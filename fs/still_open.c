/* SPDX-License-Identifier: MIT */
#include "fs/still_open.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* More than the longest mount point that can be compared and a name. */
#define PATH_BYTES_MAX 4096

/* The kernel's name of an open file tells when it has no place in the directory. That is so for a
 * file of ours as well, if somebody looked its name up while it was created. */
static bool is_target(const char *target, const char *path)
{
	size_t len = strlen(path);

	return strncmp(target, path, len) == 0 &&
	       (target[len] == '\0' || strcmp(target + len, " (deleted)") == 0);
}

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
		found = is_target(target, path);
	}
	closedir(dir);
	return found;
}

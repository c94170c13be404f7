/* SPDX-License-Identifier: MIT */
#include "fs/mountpoint.h"

#include "fs/complain.h"
#include "lib/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* The table writes spaces, tabs, newlines and backslashes as three octal digits. */
static void unescape(char *text)
{
	char *to = text;

	while (*text) {
		if (text[0] == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

/* proc(5): id, parent, major:minor, root, mount point, options, fields, "-", type, source, ... */
static bool parse_line(char *line, const char *path, struct mountpoint_info *ret_info)
{
	char *rest = strstr(line, " - "), *save = NULL, *word = NULL, *device = NULL;
	struct mountpoint_info info = { 0 };

	if (!rest)
		return false;
	*rest = '\0';
	for (int i = 0; i < 5; i++) {
		word = strtok_r(i == 0 ? line : NULL, " ", &save);
		if (i == 2)
			device = word;
	}
	if (!word || sscanf(device, "%u:%u", &info.major, &info.minor) != 2)
		return false;
	unescape(word);
	if (strcmp(word, path) != 0 || sscanf(rest + 3, "%63s %511s", info.type, info.source) != 2)
		return false;
	unescape(info.source);
	*ret_info = info;
	return true;
}

bool mountpoint_find(const char *path, struct mountpoint_info *ret_info)
{
	FILE *table = fopen("/proc/self/mountinfo", "re");
	bool found = false;
	char *line = NULL;
	size_t size = 0;

	if (!table)
		return false;
	while (getline(&line, &size, table) > 0)
		found = parse_line(line, path, ret_info) || found;
	free(line);
	fclose(table);
	return found;
}

/* What can't be read may be mounted on: then the kernel says whether. */
static bool is_empty(const char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;
	bool empty = true;

	if (!directory)
		return true;
	while (empty && (entry = readdir(directory)))
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty;
}

static int complain_of(const char *path, int error)
{
	if (error == ENOENT)
		return complain("the mount point '%s' is not there; make that directory first",
				path);
	if (error == ENOTCONN)
		return complain("'%s' is a mount whose program died; take it off with "
				"'umount -l %s' or 'fusermount3 -u %s' first",
				path, path, path);
	return complain("the mount point '%s' can't be used (%s)", path, strerror(error));
}

int mountpoint_check(const char *path, bool over_files, char **ret_path)
{
	_cleanup_(freep) char *absolute = NULL;
	struct mountpoint_info info;
	struct statfs figures;
	struct stat st;

	if (stat(path, &st) < 0)
		return complain_of(path, errno);
	if (!S_ISDIR(st.st_mode))
		return complain("the mount point '%s' is not a directory", path);
	absolute = realpath(path, NULL);
	if (!absolute)
		return complain_of(path, errno);
	/* The kernel may know what stat shows without asking the program, but not what statfs
	 * does. */
	if (statfs(absolute, &figures) < 0 && errno == ENOTCONN)
		return complain_of(path, errno);
	if (mountpoint_find(absolute, &info) && strcmp(info.type, "fuse.hexkv") == 0)
		return complain("'%s' is already a mount of %s; unmount that first", path,
				info.source);
	if (!over_files && !is_empty(absolute))
		return complain("the mount point '%s' is not empty and its files would be hidden; "
				"choose another, or allow it with -o nonempty",
				path);
	*ret_path = absolute;
	absolute = NULL;
	return 0;
}

void mountpoint_detach(const char *path)
{
	char *const command[] = { (char[]){ "fusermount3" }, (char[]){ "-uzq" }, (char[]){ "--" },
				  (char *)path, NULL };
	pid_t pid;

	if (umount2(path, MNT_DETACH) == 0)
		return;
	if (posix_spawnp(&pid, command[0], NULL, NULL, command, environ) == 0)
		waitpid(pid, NULL, 0);
}

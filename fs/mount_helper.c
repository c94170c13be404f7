/* SPDX-License-Identifier: MIT */
#include "fs/mount_helper.h"

#include "fs/complain.h"
#include "fs/mountpoint.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>

/* mount(8), "Exit status". */
#define MOUNT_EXIT_USAGE 1
#define MOUNT_EXIT_FAIL  32

static int join(struct mount_helper *helper, const char *more)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", helper->options ? helper->options : "",
		     helper->options ? "," : "", more) < 0)
		return -ENOMEM;
	free(helper->options);
	helper->options = joined;
	return 0;
}

/* Whether @name is one of the comma-separated @options. */
static bool has_option(const char *options, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = options; at && *at; at += strspn(at, ",")) {
		size_t one = strcspn(at, ",");

		if (one == len && strncmp(at, name, len) == 0)
			return true;
		at += one;
	}
	return false;
}

/* The letters of one word like "-sn". -EINVAL, or whether the next word is the last letter's. */
static int take_letters(struct mount_helper *helper, const char *word, const char *next)
{
	for (const char *letter = word + 1; *letter; letter++) {
		switch (*letter) {
		case 'f':
			helper->fake = true;
			break;
		case 's':
			if (join(helper, "sloppy") < 0)
				return -ENOMEM;
			break;
		case 'r':
			if (join(helper, "ro") < 0)
				return -ENOMEM;
			break;
		case 'n': /* there is no mtab */
		case 'v':
		case 'w':
			break;
		case 'o':
		case 't':
		case 'N':
			if (!letter[1] && !next)
				return complain("-%c needs a value", *letter);
			if (*letter == 'o' && join(helper, letter[1] ? letter + 1 : next) < 0)
				return -ENOMEM;
			return !letter[1];
		default:
			return complain("mount(8) has no option -%c for its helpers; hexkv-fs has "
					"further ones",
					*letter);
		}
	}
	return 0;
}

int mount_helper_begin(struct mount_helper *helper, int *argc, char ***argv)
{
	static char dash_o[] = "-o";
	char **words = *argv;
	int kept = 1, r;

	*helper = (struct mount_helper){
		.active = strncmp(program_invocation_short_name, "mount.", 6) == 0,
	};
	/* --help and --version are those of hexkv-fs. */
	if (!helper->active || (*argc == 2 && strncmp(words[1], "--", 2) == 0))
		return 0;
	helper->words[0] = words[0];
	for (int i = 1; i < *argc; i++) {
		if (words[i][0] == '-' && words[i][1]) {
			r = take_letters(helper, words[i], words[i + 1]);
			if (r < 0)
				return r;
			i += r;
		} else if (kept++ < 3) {
			helper->words[kept - 1] = words[i];
		}
	}
	if (kept != 3)
		return complain("it needs a URL and a mount point: mount -t hexkv "
				"http://127.0.0.1:8080 DIR -o ...");
	helper->remount = has_option(helper->options, "remount");
	if (helper->options) {
		helper->words[kept++] = dash_o;
		helper->words[kept++] = helper->options;
	}
	*argc = kept;
	*argv = helper->words;
	return 0;
}

/* What the kernel can change while it is mounted. mount(8) also tells the rest of fstab and of the
 * list of mounts: that stays as it is. */
static unsigned long flags_of(const char *options)
{
	static const struct {
		const char *name;
		unsigned long set, clear;
	} table[] = {
		{ "ro", MS_RDONLY, 0 },
		{ "rw", 0, MS_RDONLY },
		{ "nosuid", MS_NOSUID, 0 },
		{ "suid", 0, MS_NOSUID },
		{ "nodev", MS_NODEV, 0 },
		{ "dev", 0, MS_NODEV },
		{ "noexec", MS_NOEXEC, 0 },
		{ "exec", 0, MS_NOEXEC },
		{ "noatime", MS_NOATIME, 0 },
		{ "atime", 0, MS_NOATIME },
		{ "nodiratime", MS_NODIRATIME, 0 },
	};
	unsigned long flags = MS_NOSUID | MS_NODEV;

	for (const char *at = options; *at; at += strspn(at, ",")) {
		size_t len = strcspn(at, ",");

		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			if (strlen(table[i].name) == len && strncmp(at, table[i].name, len) == 0)
				flags = (flags | table[i].set) & ~table[i].clear;
		}
		at += len;
	}
	return flags;
}

int mount_helper_remount(const struct mount_helper *helper)
{
	const char *source = helper->words[1], *path = helper->words[2];
	_cleanup_(freep) char *absolute = realpath(path, NULL);
	struct mountpoint_info info;

	if (!absolute || !mountpoint_find(absolute, &info) ||
	    strcmp(info.type, "fuse.hexkv") != 0) {
		complain("'%s' is no mount of hexkv that could be changed", path);
		return 2;
	}
	if (!helper->fake &&
	    mount(source, absolute, NULL, MS_REMOUNT | flags_of(helper->options), NULL) < 0) {
		complain("the mount on '%s' can't be changed (%s); unmount it and mount it again",
			 path, strerror(errno));
		return 1;
	}
	return 0;
}

int mount_helper_status(const struct mount_helper *helper, int status)
{
	if (!helper->active || status == 0)
		return status;
	return status == 2 ? MOUNT_EXIT_USAGE : MOUNT_EXIT_FAIL;
}

void mount_helper_deinit(struct mount_helper *helper)
{
	free(helper->options);
	helper->options = NULL;
}

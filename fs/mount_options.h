/* SPDX-License-Identifier: MIT */
/* The command line of hexkv-fs: URL MOUNTPOINT [-f] [-d] [-o NAME[=VALUE],...]. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct mount_options {
	const char *url; /* without a slash at its end */
	const char *mountpoint; /* absolute */
	bool foreground;
	bool debug; /* log every FUSE request */

	bool read_only;
	bool allow_other;
	bool allow_root;
	bool default_permissions;
	uid_t uid; /* shown as the owner of everything */
	gid_t gid;
	unsigned file_mode; /* permissions */
	unsigned directory_mode;
	uint32_t timeout_ms; /* how long an operation waits for a cluster that is away */
	uint32_t attr_timeout_ms;
	bool conflict_estale; /* what changed elsewhere since it was opened is not replaced */
	const char *staging; /* directory of unsaved content */
	uint64_t staging_bytes; /* of all unsaved content, 0: as many as there is room for */
	const char *token; /* NULL: none */
	const char *log_file; /* NULL: standard error */
	const char *fsname; /* source in the list of mounts */
	const char *passed_on; /* options for the kernel and fusermount3, "" if none */

	char *owned[8]; /* strings that the above point to */
	unsigned owned_count;
};

/* Returns 1 if the program is to end with *ret_exit (help, version, or a sentence about what to
 * mend was printed), otherwise 0. Borrows @argv. */
int mount_options_parse(int argc, char **argv, struct mount_options *ret_options, int *ret_exit);
void mount_options_deinit(struct mount_options *options);

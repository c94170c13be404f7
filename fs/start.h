/* SPDX-License-Identifier: MIT */
/* Going into the background: the command returns once the mount answers. */
#pragma once

#include "fs/mount_options.h"

/* In the background's process: what tells the waiting command how it went. */
struct start {
	int report_fd; /* -1: nobody waits */
};

/*
 * Returns 0 in the process that is to mount. In the waiting command, which ends with *ret_exit:
 * returns 1 once the mount answers or failed. Negative errno: neither could be.
 */
int start_begin(const struct mount_options *options, struct start *ret_start, int *ret_exit);
/* It is mounted (@status 0) or failed (the command's exit status). */
void start_report(struct start *start, int status);
/* Tells a service manager, if one asked to be told, as sd_notify(3) does: "READY=1", "STOPPING=1".
 */
void start_notify(const char *state);

/* SPDX-License-Identifier: MIT */
/* Whether a process goes on with a file that it has just closed a descriptor of. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* True only if that is certain: the process is visible here and has another descriptor of the file
 * @path. */
bool still_open(pid_t pid, const char *path);

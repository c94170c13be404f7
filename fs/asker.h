/* SPDX-License-Identifier: MIT */
/* What the thread that waits for an answer is about, where the kernel lets us see it. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* True only if the thread is in an open with O_CREAT and O_EXCL: what it looks up is about to be
 * created, by a request that decides by itself whether it may be. False if that can't be told: the
 * thread belongs to another name space or user, or entered the kernel in another way. */
bool asker_creates_exclusively(pid_t pid);
/* The same of a line of /proc/PID/syscall. */
bool asker_line_creates_exclusively(const char *line);

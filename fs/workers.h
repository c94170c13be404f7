/* SPDX-License-Identifier: MIT */
/* The threads that serve the requests of the kernel. Threads: the main thread. */
#pragma once

#include <fuse_lowlevel.h>

/* Serves with at most @threads_max threads until the session is unmounted or a signal that libfuse
 * handles asks to end. 0, or a negative errno. */
int workers_run(struct fuse_session *fuse, unsigned threads_max);

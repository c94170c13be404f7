/* SPDX-License-Identifier: MIT */
/* The FUSE session: mounting, the worker threads, and the end. Threads: the main thread. */
#pragma once

#include "fs/mount.h"

struct session;

/* Mounts. On failure a sentence went to standard error. While it runs no other thread may write
 * there. @ready is called once, by a thread of the session, when the mount answers. */
int session_new(struct mount *mount, void (*ready)(struct mount *mount),
		struct session **ret_session);
/* Serves until it is unmounted or a signal asks to end. 0, or a negative errno. */
int session_run(struct session *session);
/* Unmounts if it is still mounted. */
struct session *session_free(struct session *session);

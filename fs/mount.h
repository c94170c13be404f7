/* SPDX-License-Identifier: MIT */
/* Everything that one mount consists of. Threads: immutable after the mount began; its members lock
 * themselves. */
#pragma once

#include "fs/absent.h"
#include "fs/forget.h"
#include "fs/inode.h"
#include "fs/keeper.h"
#include "fs/listed.h"
#include "fs/mount_options.h"
#include "fs/opens.h"
#include "fs/prefetch.h"
#include "fs/remote.h"
#include "fs/removals.h"
#include "fs/reopen.h"
#include "fs/space.h"

struct mount {
	const struct mount_options *options;
	uint64_t began_ns; /* monotonic */
	struct remote *remote;
	struct space *space;
	struct prefetch *prefetch; /* NULL: nothing is read ahead */
	struct listed *listed; /* NULL: nothing of what was listed is kept */
	struct uploads *uploads;
	struct keeper *keeper;
	struct removals removals;
	struct inode_table inodes;
	struct forget forget;
	struct opened opens; /* protected by inodes.lock */
	struct reopen reopen; /* protected by inodes.lock */
	struct absent absent; /* protected by inodes.lock */
};

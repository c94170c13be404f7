/* SPDX-License-Identifier: MIT */
/*
 * Where a node stands in its shard, apart from its records (docs/FORMAT.md, "Standing"). Threads:
 * the caller serialises.
 */
#pragma once

#include "lib/record.h"
#include "node/vfs.h"

struct standing {
	/* How often the directory was opened, counted so that no two openings ever give a value
	 * file the same id: those of one begin at @opened << 32. */
	uint64_t opened;
	uint64_t promise; /* the highest epoch accepted, and so who leads; 0: none yet */
	bool whole; /* it has once held all that its leader had */
	uint64_t copied; /* @opened when another node's copy took the place of the records; 0: never
			  */
	/* Not {0, 0}: a repair gave it records as they were at this point of the leader's log, to
	 * which its own has not come yet. Sequence -1: at an unknown one, and the epoch is the
	 * promise in which that leads. Then it is not whole. */
	struct version ahead;
	/* The log has a file of this id, and all entries up to this position, on stable storage: at
	 * least. 0: that is not known. */
	uint64_t log_file, log_position;
};

/* -ENOENT: there is none. -EBADMSG: damaged, or another store's; -EPROTONOSUPPORT: a later format.
 */
int standing_read(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		  struct standing *ret_standing);
/* Durable on success. */
int standing_write(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		   const struct standing *standing);

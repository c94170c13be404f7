/* SPDX-License-Identifier: MIT */
/*
 * Whose data directory it is (docs/FORMAT.md, "Identity"), and that only one process has it open.
 */
#pragma once

#include "node/vfs.h"

struct identity {
	uint8_t store_id[16]; /* random, made with the directory */
	char cluster[256];
	char node[256];
};

/* Takes the directory's lock; held until the file is closed. -EBUSY: another process has it. */
int identity_lock(struct vfs *vfs, const char *dir, struct vfs_file **ret_lock);
/* -ENOENT: there is none; -EBADMSG: it is damaged; -EPROTONOSUPPORT: a later format. */
int identity_read(struct vfs *vfs, const char *dir, struct identity *ret_identity);
/* Makes a random store id and writes it with the names. -EINVAL: a name is too long or holds a
 * control byte. */
int identity_create(struct vfs *vfs, const char *dir, const char *cluster, const char *node,
		    struct identity *ret_identity);

/* SPDX-License-Identifier: MIT */
/* An open file: whom it reads and writes. Threads: immutable between open and release. */
#pragma once

#include "fs/mount.h"
#include "fs/reader.h"

struct handle {
	struct mount *mount;
	struct opened opened;
	struct inode *inode; /* a reference */
	struct reader *reader; /* shared by all who have the file open */
	bool writable;
	bool ending; /* protected by inodes.lock */
};

/* Takes a reference to the inode of its own. */
int handle_open(struct mount *mount, struct inode *inode, bool writable,
		struct handle **ret_handle);
/* Stores what is unsaved, as the last writer; logs if that fails, since nobody can be told. */
void handle_close(struct handle *handle);

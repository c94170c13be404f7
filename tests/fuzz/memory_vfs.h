/* SPDX-License-Identifier: MIT */
/* One file in memory, under any name, for fuzzers of file formats: it can only be read. */
#pragma once

#include "node/vfs.h"

struct memory_vfs {
	struct vfs base;
	struct vfs_file file;
	const uint8_t *data;
	size_t len;
};

void memory_vfs_init(struct memory_vfs *vfs, const uint8_t *data, size_t len);

/* SPDX-License-Identifier: MIT */
/* Small files that are replaced whole: a reader, or a power cut, finds the old bytes or the new. */
#pragma once

#include "lib/buf.h"
#include "node/vfs.h"

/* Durable when it returns 0: temporary file, sync, rename, directory sync. */
int atomic_file_write(struct vfs *vfs, const char *dir, const char *name, const void *data,
		      size_t len);
/* Appends the content to @out. -ENOENT; -EFBIG if it has more than @max bytes. */
int atomic_file_read(struct vfs *vfs, const char *dir, const char *name, size_t max,
		     struct buf *out);

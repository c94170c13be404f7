/* SPDX-License-Identifier: MIT */
/*
 * A record's content_type, encoding and mtime: known, asked for and changed. Threads: any; the
 * caller holds a reference to the inode and no lock.
 */
#pragma once

#include "fs/mount.h"

/* A copy of the labels; the defaults where none were chosen. */
struct labels {
	char content_type[LABEL_BYTES_MAX + 1];
	char encoding[LABEL_BYTES_MAX + 1];
};

void meta_labels_locked(const struct inode *inode, struct labels *ret_labels);
/* Makes sure that the labels of a stored record are known, asking for them if it was only seen in a
 * listing. */
int meta_need_labels(struct mount *mount, struct inode *inode, const struct interrupt *interrupt);
int meta_set_labels_locked(struct inode *inode, const char *content_type, const char *encoding);

struct meta_change {
	const char *content_type; /* NULL: unchanged */
	const char *encoding;
	bool has_mtime;
	int64_t mtime_ns;
};
/* Of a stored record at once; of unsaved content together with it. */
int meta_change(struct mount *mount, struct inode *inode, const struct meta_change *change,
		const struct interrupt *interrupt);

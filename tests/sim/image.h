/* SPDX-License-Identifier: MIT */
/* All files of a directory, in memory: taken from one vfs, changed, and put into another. A call
 * that fails ends the test. */
#pragma once

#include "node/vfs.h"

struct image_file {
	char *path; /* in the directory: "value/0000000100000001.val" */
	bool is_dir; /* comes before what is in it */
	uint8_t *data;
	size_t len;
};

struct image {
	struct image_file *files;
	size_t count, cap;
};

struct image image_take(struct vfs *vfs, const char *dir);
/* @dir must not exist. */
void image_put(const struct image *image, struct vfs *vfs, const char *dir);
/* The first file whose path ends so; there must be one. */
struct image_file *image_find(struct image *image, const char *end);
void image_deinit(struct image *image);

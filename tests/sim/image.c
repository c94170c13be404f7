/* SPDX-License-Identifier: MIT */
#include "tests/sim/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct take {
	struct image *image;
	struct vfs *vfs;
	const char *dir;
	const char *below; /* "" or "value/" */
};

static int take_name(const char *name, void *state);

static int take_list(struct image *image, struct vfs *vfs, const char *dir, const char *below)
{
	struct take take = { .image = image, .vfs = vfs, .dir = dir, .below = below };
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, below);
	path[strlen(path) - 1] = '\0';
	if (below[0] == '\0')
		snprintf(path, sizeof(path), "%s", dir);
	return vfs_list(vfs, path, take_name, &take);
}

static void take_bytes(struct take *take, struct image_file *entry)
{
	struct vfs_file *file;
	uint64_t size;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", take->dir, entry->path);
	assert_int_equal(vfs_open(take->vfs, path, VFS_READ, &file), 0);
	assert_int_equal(vfs_size(file, &size), 0);
	entry->len = (size_t)size;
	entry->data = calloc(1, entry->len + 1);
	assert_non_null(entry->data);
	assert_int_equal(vfs_pread(file, entry->data, entry->len, 0, 0), entry->len);
	vfs_close(file);
}

static int take_name(const char *name, void *state)
{
	struct take *take = state;
	struct image *image = take->image;
	struct image_file entry = { 0 };
	char below[256];
	size_t index;
	int r;

	if (image->count == image->cap) {
		image->cap = image->cap ? image->cap * 2 : 16;
		image->files = realloc(image->files, image->cap * sizeof(*image->files));
		assert_non_null(image->files);
	}
	snprintf(below, sizeof(below), "%s%s/", take->below, name);
	entry.path = strdup(below);
	assert_non_null(entry.path);
	entry.path[strlen(below) - 1] = '\0';
	index = image->count++;
	image->files[index] = entry;
	r = take_list(image, take->vfs, take->dir, below);
	if (r == 0) {
		image->files[index].is_dir = true;
		return 0;
	}
	assert_int_equal(r, -ENOTDIR);
	take_bytes(take, &image->files[index]);
	return 0;
}

struct image image_take(struct vfs *vfs, const char *dir)
{
	struct image image = { 0 };

	assert_int_equal(take_list(&image, vfs, dir, ""), 0);
	return image;
}

void image_put(const struct image *image, struct vfs *vfs, const char *dir)
{
	char path[512];

	assert_int_equal(vfs_mkdir(vfs, dir), 0);
	for (size_t i = 0; i < image->count; i++) {
		const struct image_file *entry = &image->files[i];
		struct iovec part = { entry->data, entry->len };
		struct vfs_file *file;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->path);
		if (entry->is_dir) {
			assert_int_equal(vfs_mkdir(vfs, path), 0);
			continue;
		}
		assert_int_equal(vfs_open(vfs, path, VFS_WRITE | VFS_CREATE, &file), 0);
		if (entry->len > 0)
			assert_int_equal(vfs_pwritev(file, &part, 1, 0), 0);
		vfs_close(file);
	}
}

struct image_file *image_find(struct image *image, const char *end)
{
	for (size_t i = 0; i < image->count; i++) {
		const char *path = image->files[i].path;
		size_t len = strlen(path), end_len = strlen(end);

		if (len >= end_len && strcmp(path + len - end_len, end) == 0)
			return &image->files[i];
	}
	fail_msg("no file ends with %s", end);
	return NULL;
}

void image_deinit(struct image *image)
{
	for (size_t i = 0; i < image->count; i++) {
		free(image->files[i].path);
		free(image->files[i].data);
	}
	free(image->files);
	*image = (struct image){ 0 };
}

/* SPDX-License-Identifier: MIT */
#include "node/dir_tree.h"

#include "lib/buf.h"
#include "lib/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Ours are three levels deep; a loop that somebody mounted must end. */
#define DEPTH_MAX 8

static int add_name(const char *name, void *state)
{
	return buf_append(state, name, strlen(name) + 1);
}

static int remove_at(struct vfs *vfs, const char *path, int depth);

static int remove_content(struct vfs *vfs, const char *path, int depth)
{
	struct buf names = { 0 };
	int first = vfs_list(vfs, path, add_name, &names);

	for (size_t at = 0; at < names.len;) {
		const char *name = (const char *)names.data + at;
		_cleanup_(freep) char *child = NULL;
		int r;

		if (asprintf(&child, "%s/%s", path, name) < 0) {
			child = NULL;
			r = -ENOMEM;
		} else {
			r = remove_at(vfs, child, depth + 1);
		}
		first = first < 0 ? first : r;
		at += strlen(name) + 1;
	}
	buf_deinit(&names);
	return first;
}

static int remove_at(struct vfs *vfs, const char *path, int depth)
{
	int r = vfs_unlink(vfs, path), r2;

	if (r == -EISDIR && depth < DEPTH_MAX) {
		r = remove_content(vfs, path, depth);
		r2 = vfs_rmdir(vfs, path);
		r = r < 0 ? r : r2;
	}
	return r == -ENOENT ? 0 : r;
}

int dir_tree_remove(struct vfs *vfs, const char *path)
{
	return remove_at(vfs, path, 0);
}

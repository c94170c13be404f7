/* SPDX-License-Identifier: MIT */
#include "node/identity.h"

#include "lib/cleanup.h"
#include "lib/hex.h"
#include "node/text_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDENTITY_NAME "IDENTITY"
#define FIRST_LINE    "hexkv store\n"

int identity_lock(struct vfs *vfs, const char *dir, struct vfs_file **ret_lock)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	_cleanup_(freep) char *path = NULL;
	int r;

	if (asprintf(&path, "%s/LOCK", dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_open(vfs, path, VFS_READ | VFS_WRITE | VFS_CREATE, &file);
	if (r == -EEXIST)
		r = vfs_open(vfs, path, VFS_READ | VFS_WRITE, &file);
	if (r == 0)
		r = vfs_lock(file);
	if (r < 0)
		return r == -EWOULDBLOCK ? -EBUSY : r;
	*ret_lock = take_ptr(file);
	return 0;
}

static int parse(const char *text, struct identity *identity)
{
	int r = text_file_take_head(&text, identity->store_id);

	if (r == 0)
		r = text_file_take(&text, "cluster", identity->cluster, sizeof(identity->cluster));
	if (r == 0)
		r = text_file_take(&text, "node", identity->node, sizeof(identity->node));
	return r;
}

int identity_read(struct vfs *vfs, const char *dir, struct identity *ret_identity)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	struct identity identity = { 0 };
	int r;

	r = text_file_read(vfs, dir, IDENTITY_NAME, FIRST_LINE, &text);
	if (r == 0)
		r = parse((char *)text.data + strlen(FIRST_LINE), &identity);
	if (r == 0)
		*ret_identity = identity;
	return r;
}

static bool name_is_valid(const char *name, size_t size)
{
	if (strlen(name) >= size)
		return false;
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return false;
	return true;
}

int identity_create(struct vfs *vfs, const char *dir, const char *cluster, const char *node,
		    struct identity *ret_identity)
{
	struct identity identity = { 0 };
	struct buf text = { 0 };
	char store[33];
	int r;

	if (!name_is_valid(cluster, sizeof(identity.cluster)) ||
	    !name_is_valid(node, sizeof(identity.node)))
		return -EINVAL;
	arc4random_buf(identity.store_id, sizeof(identity.store_id));
	strcpy(identity.cluster, cluster);
	strcpy(identity.node, node);
	hex_encode(identity.store_id, 16, store);
	r = buf_printf(&text, FIRST_LINE "format 1\nfeatures 0\nstore %s\ncluster %s\nnode %s\n",
		       store, cluster, node);
	if (r == 0)
		r = text_file_write(vfs, dir, IDENTITY_NAME, &text);
	buf_deinit(&text);
	if (r == 0)
		*ret_identity = identity;
	return r;
}

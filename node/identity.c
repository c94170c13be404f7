/* SPDX-License-Identifier: MIT */
/* Text, one member a line, so that a person can read it; the last line is a hash of the others. */
#include "node/identity.h"

#include "lib/cleanup.h"
#include "lib/hash.h"
#include "lib/hex.h"
#include "lib/object.h"
#include "node/atomic_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define IDENTITY_NAME  "IDENTITY"
#define IDENTITY_BYTES 2048
#define FIRST_LINE     "hexkv store\n"

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

/* The line "@name value\n" at *at; moves behind it. */
static int take_line(const char **at, const char *name, char *ret_value, size_t size)
{
	const char *end = strchr(*at, '\n');
	size_t name_len = strlen(name), len;

	if (!end || strncmp(*at, name, name_len) != 0 || (*at)[name_len] != ' ')
		return -EBADMSG;
	*at += name_len + 1;
	if (end < *at)
		return -EBADMSG;
	len = (size_t)(end - *at);
	if (len >= size)
		return -EBADMSG;
	memcpy(ret_value, *at, len);
	ret_value[len] = '\0';
	*at = end + 1;
	return 0;
}

static int check_hash(const char *text)
{
	const char *line = strstr(text, "\nhash ");
	char expect[17];

	if (!line)
		return -EBADMSG;
	line++;
	snprintf(expect, sizeof(expect), "%016" PRIx64, hash64(text, (size_t)(line - text), 0));
	if (strncmp(line + 5, expect, 16) != 0 || strcmp(line + 21, "\n") != 0)
		return -EBADMSG;
	return 0;
}

static int parse(const char *text, struct identity *identity)
{
	char format[32], features[32], store[40];
	int r = check_hash(text);

	if (r == 0 && strncmp(text, FIRST_LINE, strlen(FIRST_LINE)) != 0)
		r = -EBADMSG;
	if (r < 0)
		return r;
	text += strlen(FIRST_LINE);
	r = take_line(&text, "format", format, sizeof(format));
	if (r == 0)
		r = take_line(&text, "features", features, sizeof(features));
	if (r == 0 && (strcmp(format, "1") != 0 || strcmp(features, "0") != 0))
		return -EPROTONOSUPPORT;
	if (r == 0)
		r = take_line(&text, "store", store, sizeof(store));
	if (r == 0 && (strlen(store) != 32 || hex_decode(store, 32, identity->store_id) < 0))
		r = -EBADMSG;
	if (r == 0)
		r = take_line(&text, "cluster", identity->cluster, sizeof(identity->cluster));
	if (r == 0)
		r = take_line(&text, "node", identity->node, sizeof(identity->node));
	return r;
}

int identity_read(struct vfs *vfs, const char *dir, struct identity *ret_identity)
{
	struct identity identity = { 0 };
	struct buf text = { 0 };
	int r;

	r = atomic_file_read(vfs, dir, IDENTITY_NAME, IDENTITY_BYTES, &text);
	if (r == -EFBIG)
		r = -EBADMSG;
	if (r == 0)
		r = buf_append_u8(&text, 0);
	if (r == 0)
		r = strlen((char *)text.data) + 1 == text.len ? 0 : -EBADMSG;
	if (r == 0)
		r = parse((char *)text.data, &identity);
	buf_deinit(&text);
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
	struct request_id random;
	struct buf text = { 0 };
	char store[33];
	int r;

	if (!name_is_valid(cluster, sizeof(identity.cluster)) ||
	    !name_is_valid(node, sizeof(identity.node)))
		return -EINVAL;
	request_id_generate(&random);
	memcpy(identity.store_id, random.bytes, sizeof(identity.store_id));
	strcpy(identity.cluster, cluster);
	strcpy(identity.node, node);
	hex_encode(identity.store_id, 16, store);
	r = buf_printf(&text, FIRST_LINE "format 1\nfeatures 0\nstore %s\ncluster %s\nnode %s\n",
		       store, cluster, node);
	if (r == 0)
		r = buf_printf(&text, "hash %016" PRIx64 "\n", hash64(text.data, text.len, 0));
	if (r == 0)
		r = atomic_file_write(vfs, dir, IDENTITY_NAME, text.data, text.len);
	buf_deinit(&text);
	if (r == 0)
		*ret_identity = identity;
	return r;
}

/* SPDX-License-Identifier: MIT */
#include "fs/meta.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void meta_labels_locked(const struct inode *inode, struct labels *ret_labels)
{
	memset(ret_labels, 0, sizeof(*ret_labels));
	strncpy(ret_labels->content_type,
		inode->content_type ? inode->content_type : CONTENT_TYPE_DEFAULT, LABEL_BYTES_MAX);
	strncpy(ret_labels->encoding, inode->encoding ? inode->encoding : ENCODING_DEFAULT,
		LABEL_BYTES_MAX);
}

static int replace_string(char **string, const char *with)
{
	char *copy;

	if (!with)
		return 0;
	copy = strdup(with);
	if (!copy)
		return -ENOMEM;
	free(*string);
	*string = copy;
	return 0;
}

int meta_set_labels_locked(struct inode *inode, const char *content_type, const char *encoding)
{
	int r = replace_string(&inode->content_type, content_type);

	return r < 0 ? r : replace_string(&inode->encoding, encoding);
}

int meta_need_labels(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	struct record_meta meta;
	char name[NAME_BYTES_MAX + 1];
	bool known;
	int r;

	mutex_lock(&mount->inodes.lock);
	known = !inode->stored || inode->deleted || inode->kind != INODE_RECORD ||
		(inode->content_type && inode->encoding);
	inode_name_locked(inode, name);
	mutex_unlock(&mount->inodes.lock);
	if (known)
		return 0;
	r = remote_head(mount->remote, name, interrupt, &meta);
	/* Removed elsewhere: what is stored next is a new record. */
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
	/* One that was chosen here, of unsaved content, is not the record's to tell. */
	r = meta_set_labels_locked(inode, inode->content_type ? NULL : meta.content_type.text,
				   inode->encoding ? NULL : meta.encoding.text);
	mutex_unlock(&mount->inodes.lock);
	return r;
}

/* What is not stored anyway: the change goes along with the content. */
static int change_here_locked(struct inode *inode, const struct meta_change *change)
{
	int r = meta_set_labels_locked(inode, change->content_type, change->encoding);

	if (r < 0)
		return r;
	inode->labels_set |= change->content_type || change->encoding;
	if (change->has_mtime)
		inode->mtime_ns = change->mtime_ns;
	return 0;
}

static int change_there(struct mount *mount, struct inode *inode, const struct meta_change *change,
			const struct interrupt *interrupt)
{
	struct inode_table *table = &mount->inodes;
	char name[NAME_BYTES_MAX + 1];
	struct remote_stored stored;
	struct version version;
	struct remote_patch patch = {
		.key = name,
		.of = &version,
		.content_type = change->content_type,
		.encoding = change->encoding,
		.has_mtime = change->has_mtime,
		.mtime_ns = change->mtime_ns,
	};
	int r;

	mutex_lock(&table->lock);
	inode_name_locked(inode, name);
	version = inode->version;
	mutex_unlock(&table->lock);
	r = remote_patch(mount->remote, &patch, interrupt, &stored);
	if (r == -ESTALE) {
		/* Replaced elsewhere: the change is the record's, whatever its content; who looks
		 * next finds the newer version. */
		patch.of = NULL;
		r = remote_patch(mount->remote, &patch, interrupt, &stored);
		mutex_lock(&table->lock);
		inode_unlink_locked(table, inode);
		mutex_unlock(&table->lock);
		return r;
	}
	if (r < 0)
		return r;
	mutex_lock(&table->lock);
	inode->version = stored.version;
	inode->learnt_at = table->questions;
	if (change->has_mtime)
		inode->mtime_ns = change->mtime_ns;
	/* With one label known, both must be. */
	if (inode->content_type && inode->encoding)
		r = meta_set_labels_locked(inode, change->content_type, change->encoding);
	mutex_unlock(&table->lock);
	return r;
}

int meta_change(struct mount *mount, struct inode *inode, const struct meta_change *change,
		const struct interrupt *interrupt)
{
	bool here;
	int r;

	r = inode_begin_send(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
	here = inode_is_local_locked(inode);
	if (here)
		r = change_here_locked(inode, change);
	mutex_unlock(&mount->inodes.lock);
	if (!here)
		r = change_there(mount, inode, change, interrupt);
	inode_end_send(&mount->inodes, inode);
	return r;
}

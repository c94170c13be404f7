/* SPDX-License-Identifier: MIT */
/* Extended attributes: a record's content_type and encoding, and no others. */
#include "fs/meta.h"
#include "fs/ops.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#define CONTENT_TYPE_NAME "user.content_type"
#define ENCODING_NAME     "user.encoding"

enum attribute { ATTRIBUTE_NONE, ATTRIBUTE_CONTENT_TYPE, ATTRIBUTE_ENCODING };

static enum attribute attribute_of(fuse_ino_t ino, const char *name)
{
	if (ino == FUSE_ROOT_ID)
		return ATTRIBUTE_NONE;
	if (strcmp(name, CONTENT_TYPE_NAME) == 0)
		return ATTRIBUTE_CONTENT_TYPE;
	return strcmp(name, ENCODING_NAME) == 0 ? ATTRIBUTE_ENCODING : ATTRIBUTE_NONE;
}

/* Answers with @data, its length, or that it does not fit. */
static void reply_value(fuse_req_t req, const char *data, size_t len, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, len);
	else if (len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, data, len);
}

/* A temporary file has only the labels that were given to it. */
static bool has_labels(struct mount *mount, struct inode *inode)
{
	bool has;

	mutex_lock(&mount->inodes.lock);
	has = inode->kind == INODE_RECORD || inode->labels_set;
	mutex_unlock(&mount->inodes.lock);
	return has;
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct inode *inode = ops_inode(mount, ino);
	enum attribute attribute = attribute_of(ino, name);
	struct labels labels;
	const char *value;
	int r;

	if (attribute == ATTRIBUTE_NONE) {
		fuse_reply_err(req, ENOTSUP);
		return;
	}
	r = has_labels(mount, inode) ? meta_need_labels(mount, inode, &interrupt) : -ENODATA;
	if (r < 0) {
		ops_reply_error(req, r);
		return;
	}
	mutex_lock(&mount->inodes.lock);
	meta_labels_locked(inode, &labels);
	mutex_unlock(&mount->inodes.lock);
	value = attribute == ATTRIBUTE_ENCODING ? labels.encoding : labels.content_type;
	reply_value(req, value, strlen(value), size);
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	static const char names[] = CONTENT_TYPE_NAME "\0" ENCODING_NAME;
	struct mount *mount = ops_mount(req);
	struct inode *inode = ops_inode(mount, ino);
	bool none = ino == FUSE_ROOT_ID || !has_labels(mount, inode);

	reply_value(req, names, none ? 0 : sizeof(names), size);
}

static int set_label(struct mount *mount, struct inode *inode, enum attribute attribute,
		     const char *text, const struct interrupt *interrupt)
{
	const struct meta_change change = {
		.content_type = attribute == ATTRIBUTE_CONTENT_TYPE ? text : NULL,
		.encoding = attribute == ATTRIBUTE_ENCODING ? text : NULL,
	};

	return meta_change(mount, inode, &change, interrupt);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		  int flags)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct inode *inode = ops_inode(mount, ino);
	enum attribute attribute = attribute_of(ino, name);
	struct label label;

	if (attribute == ATTRIBUTE_NONE)
		fuse_reply_err(req, ENOTSUP);
	else if (has_labels(mount, inode) ? flags & XATTR_CREATE : flags & XATTR_REPLACE)
		fuse_reply_err(req, flags & XATTR_CREATE ? EEXIST : ENODATA);
	else if (label_set(&label, value, size) < 0)
		fuse_reply_err(req, EINVAL);
	else
		ops_reply_error(req, set_label(mount, inode, attribute, label.text, &interrupt));
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct mount *mount = ops_mount(req);
	const struct interrupt interrupt = ops_interrupt(req);
	struct inode *inode = ops_inode(mount, ino);
	enum attribute attribute = attribute_of(ino, name);
	const char *text =
		attribute == ATTRIBUTE_ENCODING ? ENCODING_DEFAULT : CONTENT_TYPE_DEFAULT;

	if (attribute == ATTRIBUTE_NONE)
		fuse_reply_err(req, ENOTSUP);
	else if (!has_labels(mount, inode))
		fuse_reply_err(req, ENODATA);
	else
		ops_reply_error(req, set_label(mount, inode, attribute, text, &interrupt));
}

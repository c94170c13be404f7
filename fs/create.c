/* SPDX-License-Identifier: MIT */
/*
 * A new record is not stored before its file is flushed, unless it is created exclusively: then the
 * leader decides who was first, at once.
 */
#include "fs/content.h"
#include "fs/files.h"
#include "fs/meta.h"
#include "fs/resolve.h"
#include "fs/save.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>

static ssize_t no_source(void *state, uint64_t offset, void *data, size_t len)
{
	(void)state;
	(void)offset;
	(void)data;
	(void)len;
	return 0;
}

/* Stores an empty record if there is none. */
static int claim(struct mount *mount, const char *name, const struct labels *labels,
		 const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	const struct remote_put put = {
		.key = name,
		.content_type = labels->content_type,
		.encoding = labels->encoding,
		.has_mtime = true,
		.mtime_ns = clock_realtime_ns(),
		.only_new = true,
		.durability = DURABILITY_MEMORY,
		.source = no_source,
	};
	int r = remote_put(mount->remote, &put, interrupt, ret_stored);

	return r == -ESTALE ? -EEXIST : r;
}

/* An editor makes the record that it moved aside anew: its labels stay. */
static int inherit_labels_locked(struct inode_table *table, struct inode *inode)
	REQUIRES(&table->lock)
{
	const struct inode *aside =
		inode_hider_locked(table, inode->filename, (struct version){ 0 });

	return aside ? meta_set_labels_locked(inode, aside->content_type, aside->encoding) : 0;
}

/* Takes the reference to @staging. @stored: NULL if the router has not heard of it. */
static int add_locked(struct inode_table *table, const struct files_create *create,
		      const struct remote_stored *stored, struct staging *staging,
		      struct inode **ret_inode) REQUIRES(&table->lock)
{
	enum inode_kind kind =
		name_classify(create->name) == NAME_KEY ? INODE_RECORD : INODE_TEMPORARY;
	struct inode *inode = inode_new_locked(table, kind, create->name);
	int r;

	if (!inode) {
		staging_unref(staging);
		return -ENOMEM;
	}
	inode->mode = create->mode & 07777;
	inode->staging = staging;
	inode->unsaved = !stored;
	inode->stored = stored;
	if (stored) {
		inode->version = stored->version;
		inode->learnt_at = table->questions;
		inode->mtime_ns = stored->mtime_ns;
		/* Without memory for them they are asked for when they are needed. */
		(void)meta_set_labels_locked(inode, CONTENT_TYPE_DEFAULT, ENCODING_DEFAULT);
	}
	r = inherit_labels_locked(table, inode);
	if (r < 0) {
		inode_unref_locked(table, inode, 1);
		return r;
	}
	if (stored)
		inode_unhide_locked(table, create->name, stored->version);
	inode->storing++;
	inode_link_locked(table, inode);
	table->names_changed_ns = inode->mtime_ns;
	*ret_inode = inode;
	return 0;
}

static int open_existing(struct mount *mount, struct inode *inode,
			 const struct files_create *create, const struct interrupt *interrupt,
			 struct inode **ret_inode)
{
	int r = create->exclusive ? -EEXIST : 0;

	if (r == 0 && create->truncate)
		r = content_truncate(mount, inode, 0, interrupt);
	if (r < 0) {
		files_created(mount, inode, 0);
		inode_unref(&mount->inodes, inode);
		return r;
	}
	*ret_inode = inode;
	return 0;
}

static struct inode *find(struct inode_table *table, const char *name)
{
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_find_locked(table, name);
	if (inode) {
		inode_ref_locked(inode);
		inode->storing++;
	}
	mutex_unlock(&table->lock);
	return inode;
}

int files_create(struct mount *mount, const struct files_create *create,
		 const struct interrupt *interrupt, struct inode **ret_inode)
{
	struct inode_table *table = &mount->inodes;
	enum name_kind kind = name_classify(create->name);
	struct remote_stored stored = { .mtime_ns = 0 };
	struct staging *staging;
	struct inode *inode;
	struct labels labels = { CONTENT_TYPE_DEFAULT, ENCODING_DEFAULT };
	const struct inode *aside;
	bool claimed, hidden;
	int r;

	r = name_create_error(kind);
	if (r < 0)
		return r;
	/* Another thread of this mount may have made it since the look-up that found nothing. */
	inode = find(table, create->name);
	if (inode)
		return open_existing(mount, inode, create, interrupt, ret_inode);
	r = staging_new(mount->options->staging, 0, &staging);
	if (r < 0)
		return r;
	mutex_lock(&table->lock);
	aside = inode_hider_locked(table, create->name, (struct version){ 0 });
	hidden = aside;
	if (aside)
		meta_labels_locked(aside, &labels);
	mutex_unlock(&table->lock);
	claimed = create->exclusive && kind == NAME_KEY;
	if (claimed)
		r = claim(mount, create->name, &labels, interrupt, &stored);
	/* In the way is what became a temporary file here, unless it is something newer. */
	if (r == -EEXIST && hidden) {
		claimed = false;
		r = resolve_name(mount, create->name, RESOLVE_NOW, interrupt, &inode);
		if (r == 0)
			inode_unref(table, inode);
		r = r == -ENOENT ? 0 : r == 0 ? -EEXIST : r;
	}
	if (r < 0) {
		staging_unref(staging);
		return r;
	}
	mutex_lock(&table->lock);
	r = add_locked(table, create, claimed ? &stored : NULL, staging, ret_inode);
	/* That there is none may have been a follower's word. */
	if (r == 0 && kind == NAME_KEY && !claimed && !create->truncate)
		(*ret_inode)->stale = remote_was_stale_lately(mount->remote);
	mutex_unlock(&table->lock);
	return r;
}

void files_created(struct mount *mount, struct inode *inode, int result)
{
	int r = save_end_unopened(mount, inode, result);

	if (r < 0 && result == 0)
		log_error("unsaved content is given up with its last open file", "error=%d", -r);
}

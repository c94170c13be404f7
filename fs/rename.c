/* SPDX-License-Identifier: MIT */
/*
 * Renaming between the two kinds of names:
 *
 *   key -> key              the router moves the record
 *   temporary -> key        one PUT; the replaced record's labels stay
 *   key -> temporary        the content comes here and the record is hidden; it is removed with the
 *                           temporary file, so that a mount that dies in between loses nothing
 *   temporary -> temporary  only here
 *
 * What is replaced stays with those who have it open. The kernel renames one file of a directory at
 * a time.
 */
#include "fs/aside.h"
#include "fs/content.h"
#include "fs/files.h"
#include "fs/meta.h"
#include "fs/resolve.h"
#include "fs/save.h"
#include "fs/withdraw.h"
#include "lib/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct rename {
	struct mount *mount;
	const char *to;
	bool only_new;
	struct inode *source;
	const struct interrupt *interrupt;
};

static bool is_stored(struct rename *rename, bool *ret_unsaved)
{
	bool stored;

	mutex_lock(&rename->mount->inodes.lock);
	stored = rename->source->stored;
	*ret_unsaved = rename->source->unsaved;
	mutex_unlock(&rename->mount->inodes.lock);
	return stored;
}

static int move_record(struct rename *rename)
{
	struct inode_table *table = &rename->mount->inodes;
	struct inode *source = rename->source;
	char from[NAME_BYTES_MAX + 1];
	struct remote_stored stored;
	struct version version;
	bool changed;
	int r;

	mutex_lock(&table->lock);
	inode_name_locked(source, from);
	version = source->version;
	mutex_unlock(&table->lock);
	r = remote_move(rename->mount->remote, from, rename->to, !rename->only_new, &version,
			rename->interrupt, &stored);
	/* Replaced elsewhere: the newer version is what moves. */
	changed = r == -ESTALE;
	if (changed)
		r = remote_move(rename->mount->remote, from, rename->to, !rename->only_new, NULL,
				rename->interrupt, &stored);
	if (r < 0)
		return r;
	mutex_lock(&table->lock);
	if (changed) {
		inode_unlink_locked(table, source);
	} else {
		inode_rename_locked(table, source, rename->to);
		source->version = stored.version;
		source->learnt_at = table->questions;
		source->asked_at_ms = 0;
		source->fresh_until_ms =
			clock_monotonic_ms() + rename->mount->options->attr_timeout_ms;
	}
	mutex_unlock(&table->lock);
	return 0;
}

/* What an earlier try to store it may have left under its name, or may leave there yet. */
static int remove_tried(struct rename *rename)
{
	bool unsaved;

	if (is_stored(rename, &unsaved))
		return 0;
	return files_remove_tried(rename->mount, rename->source, rename->interrupt);
}

static int key_to_key(struct rename *rename)
{
	bool unsaved;
	int r;

	/* Not yet stored: it may as well be stored under its new name. */
	if (!is_stored(rename, &unsaved)) {
		r = inode_begin_send(&rename->mount->inodes, rename->source, rename->interrupt);
		if (r < 0)
			return r;
		r = remove_tried(rename);
		if (r == 0)
			r = save_as(rename->mount, rename->source, rename->to, rename->only_new,
				    rename->interrupt);
		inode_end_send(&rename->mount->inodes, rename->source);
		return r;
	}
	r = save_content(rename->mount, rename->source, DURABILITY_MEMORY, rename->interrupt);
	if (r < 0)
		return r;
	r = inode_begin_send(&rename->mount->inodes, rename->source, rename->interrupt);
	if (r < 0)
		return r;
	r = move_record(rename);
	inode_end_send(&rename->mount->inodes, rename->source);
	return r;
}

static int temporary_to_key(struct rename *rename)
{
	struct inode_table *table = &rename->mount->inodes;
	struct inode *source = rename->source;
	bool back;
	int r;

	r = inode_begin_send(table, source, rename->interrupt);
	if (r < 0)
		return r;
	r = save_as(rename->mount, source, rename->to, rename->only_new, rename->interrupt);
	inode_end_send(table, source);
	if (r < 0)
		return r;
	mutex_lock(&table->lock);
	back = source->hides && strcmp(source->hides, rename->to) == 0;
	if (back)
		inode_set_hides_locked(table, source, NULL, (struct version){ 0 });
	mutex_unlock(&table->lock);
	/* The content is safe under its new key: that the old one stays for now loses nothing. */
	if (!back)
		(void)aside_remove(rename->mount, source, rename->interrupt);
	content_release(rename->mount, source);
	return 0;
}

static int key_to_temporary(struct rename *rename)
{
	struct inode_table *table = &rename->mount->inodes;
	struct inode *source = rename->source;
	char *key = NULL;
	int r;

	r = meta_need_labels(rename->mount, source, rename->interrupt);
	if (r < 0)
		return r;
	r = inode_begin_send(table, source, rename->interrupt);
	if (r < 0)
		return r;
	r = content_bring(rename->mount, source, rename->interrupt);
	if (r == 0)
		r = remove_tried(rename);
	if (r == 0) {
		mutex_lock(&table->lock);
		if (source->stored)
			key = strdup(source->filename);
		if (source->stored && !key) {
			r = -ENOMEM;
		} else {
			inode_set_hides_locked(table, source, key, source->version);
			inode_rename_locked(table, source, rename->to);
			inode_set_value_locked(table, source, NULL);
			source->stored = false;
			source->unsaved = false;
			source->labels_set = true;
		}
		mutex_unlock(&table->lock);
	}
	inode_end_send(table, source);
	return r;
}

static int temporary_to_temporary(struct rename *rename)
{
	mutex_lock(&rename->mount->inodes.lock);
	inode_rename_locked(&rename->mount->inodes, rename->source, rename->to);
	mutex_unlock(&rename->mount->inodes.lock);
	return 0;
}

/* What @to stands for here makes way. */
static int make_way(struct rename *rename, struct inode *replaced)
{
	bool local;
	int r;

	mutex_lock(&rename->mount->inodes.lock);
	local = inode_is_local_locked(replaced);
	mutex_unlock(&rename->mount->inodes.lock);
	if (rename->only_new && local)
		return -EEXIST;
	r = content_keep(rename->mount, replaced, rename->interrupt);
	if (r < 0)
		return r;
	return aside_remove(rename->mount, replaced, rename->interrupt);
}

static int rename_withdrawn(struct rename *rename)
{
	bool from_key, to_key = name_classify(rename->to) == NAME_KEY;
	int r;

	mutex_lock(&rename->mount->inodes.lock);
	from_key = rename->source->kind == INODE_RECORD;
	mutex_unlock(&rename->mount->inodes.lock);
	if (from_key)
		r = to_key ? key_to_key(rename) : key_to_temporary(rename);
	else
		r = to_key ? temporary_to_key(rename) : temporary_to_temporary(rename);
	return r;
}

/* Neither name is for those any more who have an older file of it open. */
static int rename_over(struct rename *rename, const char *from, struct inode *replaced)
{
	struct withdrawal of_from = { 0 }, of_to = { 0 };
	int r = replaced ? make_way(rename, replaced) : 0;

	if (r == 0)
		r = withdraw_begin(rename->mount, from, rename->source, rename->interrupt,
				   &of_from);
	if (r == 0)
		r = withdraw_begin(rename->mount, rename->to, NULL, rename->interrupt, &of_to);
	if (r == 0)
		r = rename_withdrawn(rename);
	withdraw_end(rename->mount, &of_to, r == 0);
	withdraw_end(rename->mount, &of_from, r == 0);
	return r;
}

/* A record that is hidden here because it became a temporary file does not stand in the way: what
 * @to names here is nothing. */
static int overwrite_hidden(struct rename *rename)
{
	struct inode_table *table = &rename->mount->inodes;
	struct inode *found;
	bool hidden;
	int r;

	mutex_lock(&table->lock);
	hidden = inode_is_hidden_locked(table, rename->to, (struct version){ 0 });
	mutex_unlock(&table->lock);
	if (!rename->only_new || !hidden)
		return 0;
	r = resolve_name(rename->mount, rename->to, RESOLVE_NOW, rename->interrupt, &found);
	if (r == 0)
		inode_unref(table, found);
	else if (r == -ENOENT)
		rename->only_new = false;
	return r == -ENOENT ? 0 : r == 0 ? -EEXIST : r;
}

int files_rename(struct mount *mount, const char *from, const char *to, bool only_new,
		 const struct interrupt *interrupt)
{
	struct rename rename = {
		.mount = mount, .to = to, .only_new = only_new, .interrupt = interrupt
	};
	struct inode *replaced;
	int r;

	r = name_create_error(name_classify(to));
	if (r < 0)
		return r;
	if (strcmp(from, to) == 0)
		return only_new ? -EEXIST : 0;
	r = overwrite_hidden(&rename);
	if (r == 0)
		r = resolve_name(mount, from, RESOLVE_RECENT, interrupt, &rename.source);
	if (r < 0)
		return r;
	r = inode_reserve_name(&mount->inodes, rename.source);
	if (r < 0) {
		inode_unref(&mount->inodes, rename.source);
		return r;
	}
	replaced = inode_find(&mount->inodes, to);
	r = rename_over(&rename, from, replaced);
	if (replaced)
		inode_unref(&mount->inodes, replaced);
	inode_unref(&mount->inodes, rename.source);
	return r;
}

/* SPDX-License-Identifier: MIT */
#include "fs/save.h"

#include "fs/base.h"
#include "fs/conflict.h"
#include "fs/content.h"
#include "fs/keeper.h"
#include "fs/meta.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

DEFINE_CLEANUP(struct staging *, staging_unref)
DEFINE_CLEANUP(struct upload *, upload_unref)

static ssize_t staging_source(void *state, uint64_t offset, void *data, size_t len)
{
	return staging_read(state, offset, data, len);
}

/* The content has been stored as @stored under its name. */
static void saved_locked(struct mount *mount, struct inode *inode, uint64_t question,
			 const struct remote_stored *stored) REQUIRES(&mount->inodes.lock)
{
	inode->stored = true;
	inode->version = stored->version;
	inode->learnt_at = mount->inodes.questions;
	inode->stale = false;
	/* Its content is another now, and all of it is here. */
	inode_set_pin_locked(inode, NULL);
	/* What found no room here is read from the new version. */
	if (inode->staging && staging_gap_count(inode->staging) > 0)
		keeper_watch_locked(mount->keeper, &mount->inodes, inode);
	inode->mtime_ns = stored->mtime_ns;
	inode->size_bytes = inode_size_locked(inode);
	inode->unsaved = false;
	inode->upload_from = inode->size_bytes;
	inode->labels_set = false;
	inode->known_by = question;
	inode->asked_at_ms = 0;
	inode->fresh_until_ms = clock_monotonic_ms() + mount->options->attr_timeout_ms;
	inode_unhide_locked(&mount->inodes, inode->filename, stored->version);
	/* It is the newest version, also if one from elsewhere had taken its name. */
	if (!inode->deleted)
		inode_link_locked(&mount->inodes, inode);
}

/* The rest of the upload that has followed the writer, if there is one; else one PUT of the whole
 * content. */
static int send_content(struct mount *mount, struct inode *inode, struct remote_put *put,
			const struct interrupt *interrupt, struct remote_stored *ret_stored)
{
	_cleanup_(upload_unrefp) struct upload *upload = NULL;
	struct remote_put_last last = {
		.mtime_ns = put->mtime_ns,
		.durability = put->durability,
	};
	int r = UPLOAD_NOTHING;

	strncpy(last.content_type, put->content_type, LABEL_BYTES_MAX);
	strncpy(last.encoding, put->encoding, LABEL_BYTES_MAX);
	mutex_lock(&mount->inodes.lock);
	upload = inode->upload;
	inode->upload = NULL;
	mutex_unlock(&mount->inodes.lock);
	if (upload)
		r = upload_finish(upload, put->key, &last, interrupt, ret_stored);
	/* The record may have become another through this mount since the upload began. */
	return r == UPLOAD_NOTHING || r == -ESTALE
		       ? remote_put(mount->remote, put, interrupt, ret_stored)
		       : r;
}

/* @over: what the content may replace, NULL: as the mount was told. The caller sends. */
static int store_content(struct mount *mount, struct inode *inode, enum durability durability,
			 const struct version *over, const struct interrupt *interrupt)
{
	struct remote_put put = { .durability = durability, .source = base_read };
	_cleanup_(base_deinit) struct base base = { 0 };
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	uint64_t question = inode_ask(&mount->inodes);
	char name[NAME_BYTES_MAX + 1];
	struct remote_stored stored;
	struct labels labels = { 0 };
	struct version replaces;
	bool unsure;
	int r;

	r = meta_need_labels(mount, inode, interrupt);
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
	meta_labels_locked(inode, &labels);
	inode_name_locked(inode, name);
	staging = staging_ref(inode->staging);
	put.has_mtime = true;
	put.mtime_ns = inode->mtime_ns;
	put.replaces = over;
	unsure = inode->unsure;
	if (!over)
		conflict_guard_locked(mount, inode, &put, &replaces);
	mutex_unlock(&mount->inodes.lock);
	put.key = name;
	put.content_type = labels.content_type;
	put.encoding = labels.encoding;
	put.size_bytes = staging_size(staging);
	base_init(&base, mount, inode, staging, interrupt);
	put.state = &base;
	r = send_content(mount, inode, &put, interrupt, &stored);
	if (r == -ESTALE && unsure)
		r = conflict_settle(mount, &put, interrupt, &stored);
	mutex_lock(&mount->inodes.lock);
	inode->unsure = r < 0 && (unsure || r != -ESTALE);
	if (r == -ESTALE) {
		inode->conflict = true;
		inode_unlink_locked(&mount->inodes, inode);
	}
	if (r == 0) {
		r = meta_set_labels_locked(inode, labels.content_type, labels.encoding);
		saved_locked(mount, inode, question, &stored);
	}
	mutex_unlock(&mount->inodes.lock);
	return r;
}

enum flush_need { FLUSH_NOTHING, FLUSH_CONTENT, FLUSH_BARRIER, FLUSH_REFUSED };

struct flush {
	enum durability durability;
	bool by_last; /* only if no other writer is there */
};

/* Whoever has begun to write since is in the middle of something that is not to be stored. */
static bool others_write_locked(const struct inode *inode)
{
	return inode->ending < inode->writers || inode->storing > 0;
}

static enum flush_need flush_need(struct mount *mount, struct inode *inode,
				  const struct flush *flush, char *ret_name)
{
	enum flush_need need = FLUSH_NOTHING;

	mutex_lock(&mount->inodes.lock);
	inode_name_locked(inode, ret_name);
	if (inode->deleted)
		inode->unsaved = false;
	else if (flush->by_last && others_write_locked(inode))
		need = FLUSH_NOTHING;
	else if (inode->conflict)
		need = FLUSH_REFUSED;
	else if (inode->kind == INODE_TEMPORARY)
		inode->synced = inode->synced || flush->durability == DURABILITY_DISK;
	else if (inode->unsaved)
		need = FLUSH_CONTENT;
	else if (flush->durability == DURABILITY_DISK && inode->stored)
		need = FLUSH_BARRIER;
	mutex_unlock(&mount->inodes.lock);
	return need;
}

/* Content that was acknowledged in memory is lost when its leader loses power. The record is then
 * at an older version: what is still here is stored once more. A newer version from elsewhere has
 * taken its place, and nothing of it has to last. Whether a record that is gone was lost or removed
 * nobody can tell: that is an error. */
static int make_sure(struct mount *mount, struct inode *inode, const char *name,
		     const struct interrupt *interrupt)
{
	struct record_meta current;
	struct version version;
	bool at_hand;
	int r;

	mutex_lock(&mount->inodes.lock);
	version = inode->version;
	at_hand = inode->staging && staging_gap_count(inode->staging) == 0;
	mutex_unlock(&mount->inodes.lock);
	r = remote_barrier(mount->remote, name, &version, interrupt);
	if (r != -ESTALE)
		return r == -ENOENT ? -ESTALE : r;
	r = remote_head_at_leader(mount->remote, name, interrupt, &current);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	if (version_compare(current.version, version) > 0)
		return 0;
	return at_hand ? store_content(mount, inode, DURABILITY_DISK, &current.version, interrupt)
		       : -EIO;
}

static int save(struct mount *mount, struct inode *inode, const struct flush *flush,
		const struct interrupt *interrupt)
{
	char name[NAME_BYTES_MAX + 1];
	int r;

	if (flush_need(mount, inode, flush, name) == FLUSH_NOTHING)
		return 0;
	r = inode_begin_send(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	/* Whom we waited for may have done it. And who opens the file from here on changes it only
	 * after this. */
	switch (flush_need(mount, inode, flush, name)) {
	case FLUSH_CONTENT:
		r = store_content(mount, inode, flush->durability, NULL, interrupt);
		break;
	case FLUSH_BARRIER:
		r = make_sure(mount, inode, name, interrupt);
		break;
	case FLUSH_REFUSED:
		r = -ESTALE;
		break;
	case FLUSH_NOTHING:
		break;
	}
	inode_end_send(&mount->inodes, inode);
	return r;
}

int save_content(struct mount *mount, struct inode *inode, enum durability durability,
		 const struct interrupt *interrupt)
{
	const struct flush flush = { .durability = durability };

	return save(mount, inode, &flush, interrupt);
}

int save_as_last(struct mount *mount, struct inode *inode)
{
	const struct flush flush = { .durability = DURABILITY_MEMORY, .by_last = true };

	return save(mount, inode, &flush, NULL);
}

void save_begin_unopened(struct mount *mount, struct inode *inode)
{
	mutex_lock(&mount->inodes.lock);
	inode->storing++;
	mutex_unlock(&mount->inodes.lock);
}

int save_end_unopened(struct mount *mount, struct inode *inode, int result)
{
	mutex_lock(&mount->inodes.lock);
	inode->storing--;
	mutex_unlock(&mount->inodes.lock);
	/* The last writer may have gone meanwhile, and left it to us. */
	if (result == 0)
		result = save_as_last(mount, inode);
	content_release(mount, inode);
	return result;
}

int save_truncated(struct mount *mount, struct inode *inode, uint64_t size_bytes,
		   const struct interrupt *interrupt)
{
	int r, stored = 0;

	save_begin_unopened(mount, inode);
	r = content_truncate(mount, inode, size_bytes, interrupt);
	if (r == 0)
		stored = save_content(mount, inode, DURABILITY_MEMORY, interrupt);
	stored = save_end_unopened(mount, inode, stored);
	return r < 0 ? r : stored;
}

#define STORE_AS_RETRIES 16

/* The PUT names the version whose labels it keeps, so that none that were set meanwhile are lost.
 */
int save_as(struct mount *mount, struct inode *inode, const char *key, bool only_new,
	    const struct interrupt *interrupt)
{
	struct remote_put put = { .key = key, .source = staging_source };
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	struct remote_stored stored;
	struct record_meta replaced;
	struct labels labels = { 0 };
	uint64_t question = inode_ask(&mount->inodes);
	bool own_labels;
	int r;

	r = content_bring(mount, inode, interrupt);
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
	inode_abandon_upload_locked(&mount->inodes, inode);
	staging = staging_ref(inode->staging);
	meta_labels_locked(inode, &labels);
	own_labels = inode->labels_set;
	put.has_mtime = true;
	put.mtime_ns = inode->mtime_ns;
	mutex_unlock(&mount->inodes.lock);
	put.content_type = labels.content_type;
	put.encoding = labels.encoding;
	put.size_bytes = staging_size(staging);
	put.state = staging;
	put.durability = DURABILITY_DISK;
	for (int i = 0; i < STORE_AS_RETRIES; i++) {
		put.only_new = only_new;
		put.replaces = NULL;
		/* Against a stream of changes the last try just replaces what is there. */
		if (!only_new && !own_labels && i < STORE_AS_RETRIES - 1) {
			r = remote_head_at_leader(mount->remote, key, interrupt, &replaced);
			if (r < 0 && r != -ENOENT)
				return r;
			put.only_new = r == -ENOENT;
			put.replaces = r == 0 ? &replaced.version : NULL;
			put.content_type =
				r == 0 ? replaced.content_type.text : labels.content_type;
			put.encoding = r == 0 ? replaced.encoding.text : labels.encoding;
		}
		r = remote_put(mount->remote, &put, interrupt, &stored);
		if (r != -ESTALE || only_new)
			break;
	}
	if (r < 0)
		return r == -ESTALE && only_new ? -EEXIST : r;
	mutex_lock(&mount->inodes.lock);
	r = meta_set_labels_locked(inode, put.content_type, put.encoding);
	inode_rename_locked(&mount->inodes, inode, key);
	saved_locked(mount, inode, question, &stored);
	mutex_unlock(&mount->inodes.lock);
	return r;
}

static bool is_unsaved(const struct inode *inode)
{
	return inode->unsaved && inode->kind == INODE_RECORD && !inode->deleted;
}

static struct inode *next_unsaved(struct mount *mount)
{
	struct inode *inode;

	mutex_lock(&mount->inodes.lock);
	inode = inode_any_locked(&mount->inodes, is_unsaved);
	if (inode)
		inode_ref_locked(inode);
	mutex_unlock(&mount->inodes.lock);
	return inode;
}

static bool time_is_up(void *state)
{
	const uint64_t *deadline_ms = state;

	return clock_monotonic_ms() >= *deadline_ms;
}

/* Once one could not be stored, all others have as long together as it had. */
unsigned save_all(struct mount *mount)
{
	uint64_t deadline_ms = UINT64_MAX;
	const struct interrupt late = { .raised = time_is_up, .state = &deadline_ms };
	struct inode *inode;
	unsigned failed = 0;

	while ((inode = next_unsaved(mount))) {
		int r = save_content(mount, inode, DURABILITY_DISK, &late);

		if (r < 0) {
			if (failed++ == 0)
				deadline_ms = clock_monotonic_ms() + mount->options->timeout_ms;
			log_error("unsaved file is lost", "key=%s size=%" PRIu64 " error=%d",
				  inode->filename, staging_size(inode->staging), -r);
			mutex_lock(&mount->inodes.lock);
			inode->deleted = true;
			mutex_unlock(&mount->inodes.lock);
		}
		inode_unref(&mount->inodes, inode);
	}
	return failed;
}

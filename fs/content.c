/* SPDX-License-Identifier: MIT */
#include "fs/content.h"

#include "fs/meta.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GAPS_MAX     1024
#define READ_RETRIES 3
#define FETCH_BYTES  (8 * 1024 * 1024)

DEFINE_CLEANUP(struct staging *, staging_unref)
DEFINE_CLEANUP(struct value *, value_unref)

/* What a reader sees, taken in one moment. */
struct view {
	char name[NAME_BYTES_MAX + 1];
	struct version version;
	uint64_t size_bytes;
	uint64_t stored_bytes; /* of that version; what is changed here may be longer or shorter */
	struct staging *staging; /* a reference */
	struct value *value; /* a reference */
};

static void view_take(struct mount *mount, struct inode *inode, struct view *ret_view)
{
	mutex_lock(&mount->inodes.lock);
	memcpy(ret_view->name, inode->hides ? inode->hides : inode->name,
	       strlen(inode->hides ? inode->hides : inode->name) + 1);
	ret_view->version = inode->version;
	ret_view->size_bytes = inode_size_locked(inode);
	ret_view->stored_bytes = inode->size_bytes;
	ret_view->staging = staging_ref(inode->staging);
	ret_view->value = value_ref(inode->value);
	mutex_unlock(&mount->inodes.lock);
}

static void view_drop(struct view *view)
{
	view->staging = staging_unref(view->staging);
	view->value = value_unref(view->value);
}

static int read_remote(const struct view *view, struct reader *reader, uint64_t offset, void *data,
		       size_t len, const struct interrupt *interrupt)
{
	const struct reader_want want = {
		.key = view->name,
		.version = view->version,
		.value_bytes = view->stored_bytes,
		.offset = offset,
		.len = len,
	};

	return reader_read(reader, &want, data, interrupt);
}

/* Changed here: some of it is in the staging file, some still in the base. */
static int read_staged(const struct view *view, struct reader *reader, uint64_t offset,
		       uint8_t *data, size_t len, const struct interrupt *interrupt)
{
	while (len > 0) {
		bool in_base;
		uint64_t run = staging_run(view->staging, offset, &in_base);
		size_t part = run < len ? (size_t)run : len;
		ssize_t n;
		int r = 0;

		/* Truncated meanwhile. */
		if (part == 0)
			part = len;
		if (in_base) {
			r = read_remote(view, reader, offset, data, part, interrupt);
		} else {
			n = staging_read(view->staging, offset, data, part);
			if (n < 0)
				r = (int)n;
			else if ((size_t)n < part)
				memset(data + n, 0, part - (size_t)n);
		}
		if (r < 0)
			return r;
		data += part;
		offset += part;
		len -= part;
	}
	return 0;
}

static int read_view(const struct view *view, struct reader *reader, uint64_t offset, void *data,
		     size_t len, const struct interrupt *interrupt)
{
	if (view->staging)
		return read_staged(view, reader, offset, data, len, interrupt);
	if (view->value) {
		memcpy(data, view->value->data + offset, len);
		return 0;
	}
	return read_remote(view, reader, offset, data, len, interrupt);
}

ssize_t content_read(struct mount *mount, struct inode *inode, struct reader *reader,
		     uint64_t offset, void *data, size_t len, const struct interrupt *interrupt)
{
	int r = -ESTALE;

	/* A version that was replaced through this mount while we read it: begin again on the new
	 * one. */
	for (int i = 0; i < READ_RETRIES && r == -ESTALE; i++) {
		struct view view;
		bool moved;

		view_take(mount, inode, &view);
		if (offset >= view.size_bytes) {
			view_drop(&view);
			return 0;
		}
		if (len > view.size_bytes - offset)
			len = (size_t)(view.size_bytes - offset);
		r = read_view(&view, reader, offset, data, len, interrupt);
		mutex_lock(&mount->inodes.lock);
		moved = version_compare(inode->version, view.version) != 0 ||
			inode->staging != view.staging || strcmp(inode->name, view.name) != 0;
		mutex_unlock(&mount->inodes.lock);
		view_drop(&view);
		if (r == -ESTALE && !moved)
			break;
	}
	return r < 0 ? r : (ssize_t)len;
}

/* The staging file, made from the stored version when there is none. */
static int staging_need(struct mount *mount, struct inode *inode, bool empty,
			struct staging **ret_staging)
{
	struct inode_table *table = &mount->inodes;
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	_cleanup_(value_unrefp) struct value *value = NULL;
	uint64_t base_bytes;
	int r;

	mutex_lock(&table->lock);
	staging = staging_ref(inode->staging);
	value = value_ref(inode->value);
	base_bytes = inode->stored && !empty ? inode->size_bytes : 0;
	mutex_unlock(&table->lock);
	if (!staging) {
		r = staging_new(mount->options->staging, base_bytes, &staging);
		if (r == 0 && value && base_bytes > 0)
			r = staging_fill(staging, 0, value->data, value->len);
		if (r < 0)
			return r;
		mutex_lock(&table->lock);
		if (inode->staging) {
			/* Another writer was first. */
			staging_unref(staging);
			staging = staging_ref(inode->staging);
		} else {
			inode->staging = staging_ref(staging);
		}
		mutex_unlock(&table->lock);
	}
	*ret_staging = take_ptr(staging);
	return 0;
}

struct fill {
	struct staging *staging;
};

static int fill_sink(void *state, uint64_t offset, const void *data, size_t len)
{
	return staging_fill(((struct fill *)state)->staging, offset, data, len);
}

/* Fetches what the staging file still lacks of its base. */
static int fill_gaps(struct mount *mount, const char *key, struct version version,
		     struct staging *staging, const struct interrupt *interrupt)
{
	struct fill fill = { .staging = staging };
	struct remote_range range = {
		.key = key,
		.version = version,
		.sink = fill_sink,
		.state = &fill,
	};

	while (staging_first_gap(staging, &range.offset, &range.len)) {
		int r;

		if (range.len > FETCH_BYTES)
			range.len = FETCH_BYTES;
		r = remote_read(mount->remote, &range, interrupt);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Writes scattered over a large record: fetch the rest rather than remember every gap. */
static int bound_gaps(struct mount *mount, struct inode *inode, struct staging *staging,
		      const struct interrupt *interrupt)
{
	struct view view;
	int r;

	if (staging_gap_count(staging) < GAPS_MAX)
		return 0;
	view_take(mount, inode, &view);
	r = fill_gaps(mount, view.name, view.version, staging, interrupt);
	view_drop(&view);
	return r;
}

static void changed_locked(struct mount *mount, struct inode *inode) REQUIRES(&mount->inodes.lock)
{
	inode->unsaved = true;
	inode->synced = false;
	inode->mtime_set = false;
	inode->mtime_ns = clock_realtime_ns();
	inode->mode &= ~06000U;
	inode_set_value_locked(&mount->inodes, inode, NULL);
}

static int change(struct mount *mount, struct inode *inode, bool truncate, uint64_t offset,
		  const void *data, size_t len, const struct interrupt *interrupt)
{
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	int r;

	r = inode_begin_change(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	r = staging_need(mount, inode, truncate && offset == 0, &staging);
	if (r == 0)
		r = bound_gaps(mount, inode, staging, interrupt);
	if (r == 0)
		r = truncate ? staging_truncate(staging, offset)
			     : staging_write(staging, offset, data, len);
	if (r == 0) {
		mutex_lock(&mount->inodes.lock);
		changed_locked(mount, inode);
		mutex_unlock(&mount->inodes.lock);
	}
	inode_end_change(&mount->inodes, inode);
	return r;
}

int content_write(struct mount *mount, struct inode *inode, uint64_t offset, const void *data,
		  size_t len, const struct interrupt *interrupt)
{
	if (offset > CONTENT_BYTES_MAX || len > CONTENT_BYTES_MAX - offset)
		return -EFBIG;
	return change(mount, inode, false, offset, data, len, interrupt);
}

int content_truncate(struct mount *mount, struct inode *inode, uint64_t size_bytes,
		     const struct interrupt *interrupt)
{
	uint64_t size;

	if (size_bytes > CONTENT_BYTES_MAX)
		return -EFBIG;
	mutex_lock(&mount->inodes.lock);
	size = inode_size_locked(inode);
	mutex_unlock(&mount->inodes.lock);
	if (size_bytes > size && size_bytes - size > space_free_bytes(mount->space))
		return -ENOSPC;
	return change(mount, inode, true, size_bytes, NULL, 0, interrupt);
}

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
	inode->mtime_ns = stored->mtime_ns;
	inode->size_bytes = inode_size_locked(inode);
	inode->unsaved = false;
	inode->mtime_set = false;
	inode->labels_set = false;
	inode->known_by = question;
	inode->asked_at_ms = 0;
	inode->fresh_until_ms = clock_monotonic_ms() + mount->options->attr_timeout_ms;
	/* It is the newest version, also if one from elsewhere had taken its name. */
	if (!inode->deleted)
		inode_link_locked(&mount->inodes, inode);
}

/* One PUT of the whole content. The caller sends. */
static int store_content(struct mount *mount, struct inode *inode, enum durability durability,
			 const struct interrupt *interrupt)
{
	struct remote_put put = { .durability = durability, .source = staging_source };
	struct remote_stored stored;
	struct labels labels = { 0 };
	uint64_t question = inode_ask(&mount->inodes);
	struct view view;
	int r;

	view_take(mount, inode, &view);
	r = meta_need_labels(mount, inode, interrupt);
	if (r == 0)
		r = fill_gaps(mount, view.name, view.version, view.staging, interrupt);
	if (r == 0) {
		mutex_lock(&mount->inodes.lock);
		meta_labels_locked(inode, &labels);
		put.has_mtime = inode->mtime_set;
		put.mtime_ns = inode->mtime_ns;
		mutex_unlock(&mount->inodes.lock);
		put.key = view.name;
		put.content_type = labels.content_type;
		put.encoding = labels.encoding;
		put.size_bytes = staging_size(view.staging);
		put.state = view.staging;
		r = remote_put(mount->remote, &put, interrupt, &stored);
	}
	if (r == 0) {
		mutex_lock(&mount->inodes.lock);
		r = meta_set_labels_locked(inode, labels.content_type, labels.encoding);
		saved_locked(mount, inode, question, &stored);
		mutex_unlock(&mount->inodes.lock);
	}
	view_drop(&view);
	return r;
}

enum flush_need { FLUSH_NOTHING, FLUSH_CONTENT, FLUSH_BARRIER };

static enum flush_need flush_need(struct mount *mount, struct inode *inode,
				  enum durability durability, char *ret_name)
{
	enum flush_need need = FLUSH_NOTHING;

	mutex_lock(&mount->inodes.lock);
	memcpy(ret_name, inode->name, sizeof(inode->name));
	if (inode->deleted)
		inode->unsaved = false;
	else if (inode->kind == INODE_TEMPORARY)
		inode->synced = inode->synced || durability == DURABILITY_DISK;
	else if (inode->unsaved)
		need = FLUSH_CONTENT;
	else if (durability == DURABILITY_DISK && inode->stored)
		need = FLUSH_BARRIER;
	mutex_unlock(&mount->inodes.lock);
	return need;
}

int content_flush(struct mount *mount, struct inode *inode, enum durability durability,
		  const struct interrupt *interrupt)
{
	char name[NAME_BYTES_MAX + 1];
	int r;

	if (flush_need(mount, inode, durability, name) == FLUSH_NOTHING)
		return 0;
	r = inode_begin_send(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	/* Whom we waited for may have done it. */
	switch (flush_need(mount, inode, durability, name)) {
	case FLUSH_CONTENT:
		r = store_content(mount, inode, durability, interrupt);
		break;
	case FLUSH_BARRIER:
		r = remote_barrier(mount->remote, name, interrupt);
		/* Removed elsewhere: nothing of it has to last. */
		if (r == -ENOENT)
			r = 0;
		break;
	case FLUSH_NOTHING:
		break;
	}
	inode_end_send(&mount->inodes, inode);
	return r;
}

int content_bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	struct view view;
	int r;

	r = staging_need(mount, inode, false, &staging);
	if (r < 0)
		return r;
	view_take(mount, inode, &view);
	r = fill_gaps(mount, view.name, view.version, staging, interrupt);
	view_drop(&view);
	return r;
}

int content_keep(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	bool wanted;
	int r;

	mutex_lock(&mount->inodes.lock);
	wanted = inode->handles > 0 && inode->kind == INODE_RECORD && !inode->deleted;
	mutex_unlock(&mount->inodes.lock);
	if (!wanted)
		return 0;
	r = inode_begin_send(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	r = content_bring(mount, inode, interrupt);
	inode_end_send(&mount->inodes, inode);
	/* Replaced elsewhere meanwhile: there is nothing left to keep. And a full disk is the last
	 * reason not to remove something. */
	if (r == -ESTALE || r == -ENOSPC || r == -EDQUOT || r == -EFBIG)
		return 0;
	return r;
}

#define STORE_AS_RETRIES 16

/* The PUT names the version whose labels it keeps, so that none that were set meanwhile are lost.
 */
int content_store_as(struct mount *mount, struct inode *inode, const char *key, bool only_new,
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

	r = staging_need(mount, inode, false, &staging);
	if (r < 0)
		return r;
	mutex_lock(&mount->inodes.lock);
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
		if (!only_new && !own_labels) {
			r = remote_head(mount->remote, key, interrupt, &replaced);
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

/* A file that is small, stored and complete here can be read again without asking. */
static struct value *value_of(struct staging *staging)
{
	uint8_t data[VALUE_SMALL_MAX];
	ssize_t len;

	if (staging_size(staging) > sizeof(data) || staging_gap_count(staging) > 0)
		return NULL;
	len = staging_read(staging, 0, data, sizeof(data));
	return len >= 0 && (uint64_t)len == staging_size(staging) ? value_new(data, (size_t)len)
								  : NULL;
}

void content_release(struct mount *mount, struct inode *inode)
{
	struct inode_table *table = &mount->inodes;
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	struct value *value = NULL;

	mutex_lock(&table->lock);
	if (inode->writers == 0 && !inode->sending && inode->changing == 0 && !inode->deleted &&
	    inode->kind == INODE_RECORD && inode->staging) {
		/* What nobody can flush any more must not be seen either. */
		if (inode->unsaved) {
			inode->deleted = true;
			inode_unlink_locked(table, inode);
		} else {
			staging = inode->staging;
			inode->staging = NULL;
		}
	}
	mutex_unlock(&table->lock);
	if (!staging)
		return;
	value = value_of(staging);
	if (!value)
		return;
	mutex_lock(&table->lock);
	if (!inode->staging && !inode->value && inode->size_bytes == value->len)
		inode_set_value_locked(table, inode, value);
	else
		value_unref(value);
	mutex_unlock(&table->lock);
}

static struct inode *next_unsaved(struct mount *mount)
{
	struct inode_table *table = &mount->inodes;
	struct inode *inode;

	mutex_lock(&table->lock);
	for (inode = table->all.next; inode != &table->all; inode = inode->next)
		if (inode->unsaved && inode->kind == INODE_RECORD && !inode->deleted)
			break;
	inode = inode == &table->all ? NULL : inode_ref_locked(inode);
	mutex_unlock(&table->lock);
	return inode;
}

unsigned content_flush_all(struct mount *mount)
{
	struct inode *inode;
	unsigned failed = 0;

	while ((inode = next_unsaved(mount))) {
		int r = content_flush(mount, inode, DURABILITY_DISK, NULL);

		if (r < 0) {
			failed++;
			log_error("unsaved file is lost", "key=%s size=%" PRIu64 " error=%d",
				  inode->name, staging_size(inode->staging), -r);
			mutex_lock(&mount->inodes.lock);
			inode->deleted = true;
			mutex_unlock(&mount->inodes.lock);
		}
		inode_unref(&mount->inodes, inode);
	}
	return failed;
}

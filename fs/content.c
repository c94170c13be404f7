/* SPDX-License-Identifier: MIT */
#include "fs/content.h"

#include "fs/base.h"
#include "fs/keeper.h"
#include "fs/stats.h"
#include "lib/cleanup.h"
#include "lib/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READ_RETRIES 3

DEFINE_CLEANUP(struct staging *, staging_unref)
DEFINE_CLEANUP(struct upload *, upload_unref)
DEFINE_CLEANUP(struct value *, value_unref)

/* What a reader sees, taken in one moment. */
struct view {
	char name[NAME_BYTES_MAX + 1];
	struct version version;
	uint64_t size_bytes;
	uint64_t stored_bytes; /* of that version; what is changed here may be longer or shorter */
	struct staging *staging; /* a reference */
	struct value *value; /* a reference */
	struct pin *pin; /* a reference: what is not here is read by it */
};

static void view_take(struct mount *mount, struct inode *inode, struct view *ret_view)
{
	mutex_lock(&mount->inodes.lock);
	memcpy(ret_view->name, inode->hides ? inode->hides : inode->filename,
	       strlen(inode->hides ? inode->hides : inode->filename) + 1);
	ret_view->version = inode->version;
	ret_view->size_bytes = inode_size_locked(inode);
	ret_view->stored_bytes = inode->size_bytes;
	ret_view->staging = staging_ref(inode->staging);
	ret_view->value = value_ref(inode->value);
	ret_view->pin = pin_ref(inode->pin);
	mutex_unlock(&mount->inodes.lock);
}

static void view_drop(struct view *view)
{
	view->staging = staging_unref(view->staging);
	view->value = value_unref(view->value);
	view->pin = pin_unref(view->pin);
}

/* The same content is stored under another version than the pin's as well: its metadata or its name
 * were changed here. */
static bool was_moved(const struct view *view)
{
	return view->pin && (version_compare(view->pin->version, view->version) != 0 ||
			     strcmp(view->pin->key, view->name) != 0);
}

/* @read with the place of the bytes; when that version is gone, once more where else they are. */
static int read_remote(const struct view *view, struct reader_want *want,
		       int (*read)(const struct reader_want *want, void *state), void *state)
{
	int r;

	want->key = view->pin ? view->pin->key : view->name;
	want->version = view->pin ? view->pin->version : view->version;
	want->pin = view->pin;
	want->value_bytes = view->stored_bytes;
	r = read(want, state);
	if (r != -ESTALE || !was_moved(view))
		return r;
	want->key = view->name;
	want->version = view->version;
	want->pin = NULL;
	return read(want, state);
}

/* One read, on its way. */
struct reading {
	const struct view *view;
	struct reader *reader;
	const struct interrupt *interrupt;
	struct reader_bytes *bytes;
	uint8_t *data; /* where the next are to be copied to */
};

static int read_copy(const struct reader_want *want, void *state)
{
	const struct reading *reading = state;

	return reader_copy(reading->reader, want, reading->data, reading->interrupt);
}

static int read_bytes(const struct reader_want *want, void *state)
{
	const struct reading *reading = state;

	return reader_read(reading->reader, want, reading->interrupt, reading->bytes);
}

/* Changed here: some of it is in the staging file, some still in the base. */
static int read_staged(struct reading *reading, uint64_t offset, size_t len)
{
	struct staging *staging = reading->view->staging;

	while (len > 0) {
		bool in_base;
		uint64_t run = staging_run(staging, offset, &in_base);
		size_t part = run < len ? (size_t)run : len;
		struct reader_want want = { .offset = offset };
		ssize_t n;
		int r = 0;

		/* Truncated meanwhile. */
		if (part == 0)
			part = len;
		want.len = part;
		if (in_base) {
			r = read_remote(reading->view, &want, read_copy, reading);
		} else {
			n = staging_read(staging, offset, reading->data, part);
			if (n < 0)
				r = (int)n;
			else if ((size_t)n < part)
				memset(reading->data + n, 0, part - (size_t)n);
		}
		if (r < 0)
			return r;
		reading->data += part;
		offset += part;
		len -= part;
	}
	return 0;
}

static int read_view(struct reading *reading, uint64_t offset, size_t len)
{
	const struct view *view = reading->view;
	struct reader_want want = { .offset = offset, .len = len };

	if (view->staging || view->value) {
		reading->data = reader_bytes_add(reading->bytes, len);
		if (!reading->data)
			return -ENOMEM;
	}
	if (view->staging)
		return read_staged(reading, offset, len);
	if (view->value) {
		stats_count(STATS_VALUE_HITS, 1);
		memcpy(reading->data, view->value->data + offset, len);
		return 0;
	}
	if (view->stored_bytes <= VALUE_SMALL_MAX)
		stats_count(STATS_VALUE_MISSES, 1);
	return read_remote(view, &want, read_bytes, reading);
}

int content_read(struct mount *mount, struct inode *inode, struct reader *reader,
		 const struct content_range *range, const struct interrupt *interrupt,
		 struct reader_bytes *ret_bytes)
{
	int r = -ESTALE;

	/* A version that was replaced through this mount while we read it: begin again on the new
	 * one. */
	for (int i = 0; i < READ_RETRIES && r == -ESTALE; i++) {
		struct view view;
		struct reading reading = {
			.view = &view,
			.reader = reader,
			.interrupt = interrupt,
			.bytes = ret_bytes,
		};
		size_t len = range->len;
		bool moved;

		view_take(mount, inode, &view);
		if (range->offset >= view.size_bytes) {
			view_drop(&view);
			return 0;
		}
		if (len > view.size_bytes - range->offset)
			len = (size_t)(view.size_bytes - range->offset);
		r = read_view(&reading, range->offset, len);
		mutex_lock(&mount->inodes.lock);
		moved = version_compare(inode->version, view.version) != 0 ||
			inode->staging != view.staging || strcmp(inode->filename, view.name) != 0;
		mutex_unlock(&mount->inodes.lock);
		view_drop(&view);
		if (r < 0)
			reader_bytes_deinit(ret_bytes);
		if (r == -ESTALE && !moved)
			break;
	}
	return r;
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

/* Writes scattered over a large record: not every gap is remembered. */
static int bound_gaps(struct mount *mount, struct inode *inode, struct staging *staging,
		      const struct interrupt *interrupt)
{
	_cleanup_(base_deinit) struct base base = { 0 };

	if (staging_gap_count(staging) == 0)
		return 0;
	base_init(&base, mount, inode, staging, interrupt);
	return base_bound(&base);
}

static void changed_locked(struct mount *mount, struct inode *inode) REQUIRES(&mount->inodes.lock)
{
	if (!inode->unsaved)
		inode_set_made_here_locked(&mount->inodes, inode);
	inode->unsaved = true;
	inode->synced = false;
	inode->mtime_ns = clock_realtime_ns();
	inode->mode &= ~06000U;
	inode_set_value_locked(&mount->inodes, inode, NULL);
}

/* The upload that follows the writer is told first: it must not read what changes. */
static int change_staging(struct staging *staging, struct upload *upload, bool truncate,
			  uint64_t offset, const void *data, size_t len)
{
	int r = upload ? upload_before_change(upload, offset) : 0;

	/* One that has failed says so to writers; who truncates wants less. */
	if (r < 0 && !truncate)
		return r;
	if (r < 0)
		upload = NULL;
	r = truncate ? staging_truncate(staging, offset)
		     : staging_write(staging, offset, data, len);
	if (upload)
		upload_after_change(upload, offset, r == 0 ? len : 0);
	return r;
}

/* Content that is written from its start to its end goes out meanwhile. */
static void follow_locked(struct mount *mount, struct inode *inode, struct staging *staging)
	REQUIRES(&mount->inodes.lock)
{
	bool guarded;

	if (staging_size(staging) == 0) {
		inode_abandon_upload_locked(&mount->inodes, inode);
		inode->upload_from = 0;
	}
	if (inode->upload || inode->kind != INODE_RECORD || inode->deleted || inode->conflict)
		return;
	guarded = mount->options->conflict_estale || inode->stale;
	/* Nothing says beforehand that there must be no record yet. */
	if (guarded && !inode->stored)
		return;
	/* Without memory the content is sent when it is flushed. */
	if (upload_begin(mount->uploads, inode->filename, guarded ? &inode->version : NULL, staging,
			 inode->upload_from, &inode->upload) == 0 &&
	    inode->upload)
		inode->upload_from = UINT64_MAX;
}

static int change(struct mount *mount, struct inode *inode, bool truncate, uint64_t offset,
		  const void *data, size_t len, const struct interrupt *interrupt)
{
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	_cleanup_(upload_unrefp) struct upload *upload = NULL;
	int r;

	r = inode_begin_change(&mount->inodes, inode, interrupt);
	if (r < 0)
		return r;
	r = staging_need(mount, inode, truncate && offset == 0, &staging);
	if (r == 0)
		r = bound_gaps(mount, inode, staging, interrupt);
	if (r == 0) {
		mutex_lock(&mount->inodes.lock);
		upload = upload_ref(inode->upload);
		mutex_unlock(&mount->inodes.lock);
		r = change_staging(staging, upload, truncate, offset, data, len);
	}
	if (r == 0) {
		mutex_lock(&mount->inodes.lock);
		changed_locked(mount, inode);
		/* Nothing that was read is in it any more. */
		if (truncate && offset == 0)
			inode->stale = false;
		follow_locked(mount, inode, staging);
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

int content_bring(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	_cleanup_(staging_unrefp) struct staging *staging = NULL;
	_cleanup_(base_deinit) struct base base = { 0 };
	int r = staging_need(mount, inode, false, &staging);

	base_init(&base, mount, inode, staging, interrupt);
	return r < 0 ? r : base_fetch(&base);
}

int content_keep(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	bool wanted;
	int r;

	mutex_lock(&mount->inodes.lock);
	wanted = inode->handles > 0 && inode->kind == INODE_RECORD && !inode->deleted;
	mutex_unlock(&mount->inodes.lock);
	if (!wanted || keeper_pin_now(mount, inode, interrupt) == 0)
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

int content_hold(struct mount *mount, struct inode *inode, const struct interrupt *interrupt)
{
	struct inode_table *table = &mount->inodes;
	bool many;
	int r;

	mutex_lock(&table->lock);
	many = inode->value && !inode->staging && inode_values_are_many_locked(table);
	mutex_unlock(&table->lock);
	if (!many)
		return 0;
	r = inode_begin_send(table, inode, interrupt);
	if (r < 0)
		return r;
	r = content_bring(mount, inode, interrupt);
	if (r == 0) {
		mutex_lock(&table->lock);
		inode_set_value_locked(table, inode, NULL);
		mutex_unlock(&table->lock);
	}
	inode_end_send(table, inode);
	return r;
}

/* Whether nobody needs what is stored to be kept here as well: those who still read it have it
 * pinned. */
static bool may_let_go_locked(const struct inode *inode)
{
	return inode->handles == 0 ||
	       (inode->pin && version_compare(inode->pin->version, inode->version) == 0);
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
	if (inode->writers == 0 && inode->storing == 0 && !inode->sending && inode->changing == 0 &&
	    !inode->deleted && inode->kind == INODE_RECORD && inode->staging) {
		inode_abandon_upload_locked(table, inode);
		/* What nobody can flush any more must not be seen either. */
		if (inode->unsaved) {
			inode->deleted = true;
			inode_unlink_locked(table, inode);
		} else if (may_let_go_locked(inode)) {
			staging = inode->staging;
			inode->staging = NULL;
		} else {
			keeper_watch_locked(mount->keeper, table, inode);
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

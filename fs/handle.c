/* SPDX-License-Identifier: MIT */
#include "fs/handle.h"

#include "fs/content.h"
#include "fs/keeper.h"
#include "fs/save.h"
#include "fs/stats.h"
#include "lib/container_of.h"
#include "lib/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void handle_free(struct handle *handle)
{
	struct mount *mount = handle->mount;
	struct inode *inode = handle->inode;
	struct reader *reader = NULL;
	bool last; /* writer, or handle at all: what is kept here for it may go */

	mutex_lock(&mount->inodes.lock);
	opens_remove(&handle->opened);
	inode->handles--;
	stats_gauge_add(STATS_OPEN_FILES, -1);
	inode->writers -= handle->writable;
	inode->ending -= handle->ending;
	last = inode->writers == 0 && (handle->writable || inode->handles == 0);
	if (inode->handles == 0) {
		keeper_unwatch_locked(mount->keeper, &mount->inodes, inode);
		reader = inode->reader;
		inode->reader = NULL;
	}
	mutex_unlock(&mount->inodes.lock);
	reader_free(reader);
	if (last)
		content_release(mount, inode);
	inode_unref(&mount->inodes, inode);
	free(handle);
}

static void handle_abandon(struct opened *opened)
{
	handle_free(container_of(opened, struct handle, opened));
}

/* Only the first who opens a file makes its reader: that reads nothing yet. */
static int need_reader_locked(struct mount *mount, struct handle *handle)
	REQUIRES(&mount->inodes.lock)
{
	struct inode *inode = handle->inode;
	int r = 0;

	if (!inode->reader)
		r = reader_new(mount->remote, mount->prefetch, &inode->reader);
	handle->reader = inode->reader;
	return r;
}

/* -ESTALE: what it was is given up, or was replaced or removed here before anybody kept it. */
static int attach(struct handle *handle)
{
	struct mount *mount = handle->mount;
	struct inode *inode = handle->inode;
	int r;

	mutex_lock(&mount->inodes.lock);
	if (inode_is_given_up_locked(inode) ||
	    (inode->deleted && inode->handles == 0 && !inode_is_readable_locked(inode)))
		r = -ESTALE;
	else
		r = need_reader_locked(mount, handle);
	if (r == 0) {
		inode_ref_locked(inode);
		inode->handles++;
		inode->writers += handle->writable;
		stats_gauge_add(STATS_OPEN_FILES, 1);
		opens_add(&mount->opens, &handle->opened);
		keeper_watch_locked(mount->keeper, &mount->inodes, inode);
	}
	mutex_unlock(&mount->inodes.lock);
	return r;
}

int handle_open(struct mount *mount, struct inode *inode, bool writable, struct handle **ret_handle)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int r;

	if (!handle)
		return -ENOMEM;
	handle->mount = mount;
	handle->inode = inode;
	handle->writable = writable;
	handle->opened.free = handle_abandon;
	r = attach(handle);
	if (r < 0) {
		free(handle);
		return r;
	}
	*ret_handle = handle;
	return 0;
}

static void log_given_up(struct handle *handle, int error)
{
	char name[NAME_BYTES_MAX + 1];

	mutex_lock(&handle->mount->inodes.lock);
	inode_name_locked(handle->inode, name);
	mutex_unlock(&handle->mount->inodes.lock);
	log_error("unsaved content is given up with its last open file", "name=%s error=%d", name,
		  -error);
}

/* Of several that end at once the last to begin that is told so. */
static bool ends_writing(struct handle *handle)
{
	bool last;

	mutex_lock(&handle->mount->inodes.lock);
	handle->ending = handle->writable;
	handle->inode->ending += handle->ending;
	last = handle->ending && handle->inode->ending == handle->inode->writers;
	mutex_unlock(&handle->mount->inodes.lock);
	return last;
}

void handle_close(struct handle *handle)
{
	int r;

	/* A mapping may have changed the file after close() flushed it. What a later writer is in
	 * the middle of is not ours to store. */
	if (ends_writing(handle)) {
		r = save_as_last(handle->mount, handle->inode);
		if (r < 0)
			log_given_up(handle, r);
	}
	handle_free(handle);
}

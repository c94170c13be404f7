/* SPDX-License-Identifier: MIT */
#include "node/checkpoint.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/checkpoint_private.h"
#include "node/dir_tree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BOOTSTRAP_PREFIX ".bootstrap-"
#define MAKING_PREFIX    ".making-"
#define FILES_AT_ONCE    256
#define SUM_PIECE        (256 * 1024)

struct checkpoint {
	struct store *store;
	uint64_t id;
	char *dir;
	struct checkpoint_content content;
	/* The file that was read last. */
	struct vfs_file *file;
	size_t file_index;
	/* The sum that is being made. */
	struct hash_stream *sum;
	size_t sum_index;
	uint64_t summed;
};

static int note_failure(struct store *store, const char *path, int r)
{
	int r2 = dir_tree_remove(store->options.vfs, path);

	if (r != -EAGAIN && r != -EEXIST)
		log_error("checkpoint failed", "path=%s error=\"%s\"", path, strerror(-r));
	if (r2 < 0)
		log_warn("checkpoint not removed", "path=%s error=\"%s\"", path, strerror(-r2));
	return r;
}

static uint64_t next_id(struct store *store)
{
	uint64_t number, opened;

	mutex_lock(&store->lock);
	number = ++store->checkpoints_made;
	opened = store->files.standing.opened;
	mutex_unlock(&store->lock);
	return opened << 32 | number;
}

static int make_directory(struct checkpoint *checkpoint)
{
	_cleanup_(freep) char *parent = NULL;
	struct store *store = checkpoint->store;
	int r = checkpoint_make_parent(store, &parent);

	if (r < 0)
		return r;
	if (asprintf(&checkpoint->dir, "%s/" BOOTSTRAP_PREFIX "%" PRIx64, parent, checkpoint->id) <
	    0) {
		checkpoint->dir = NULL;
		return -ENOMEM;
	}
	return vfs_mkdir(store->options.vfs, checkpoint->dir);
}

int checkpoint_new(struct store *store, struct checkpoint **ret_checkpoint)
{
	struct checkpoint *checkpoint = calloc(1, sizeof(*checkpoint));
	int r;

	if (!checkpoint)
		return -ENOMEM;
	checkpoint->store = store;
	checkpoint->id = next_id(store);
	r = make_directory(checkpoint);
	if (r == 0)
		r = checkpoint_make(store, checkpoint->dir, &checkpoint->content);
	if (r < 0) {
		if (checkpoint->dir)
			note_failure(store, checkpoint->dir, r);
		free(checkpoint->dir);
		free(checkpoint);
		return r;
	}
	wal_pin_yield(store->wal, checkpoint->content.pin);
	log_info("checkpoint made",
		 "path=%s epoch=%" PRIx64 " sequence=%" PRIu64 " files=%zu bytes=%" PRIu64,
		 checkpoint->dir, checkpoint->content.point.epoch,
		 checkpoint->content.point.sequence, checkpoint->content.count,
		 checkpoint->content.bytes);
	*ret_checkpoint = checkpoint;
	return 0;
}

struct checkpoint *checkpoint_free(struct checkpoint *checkpoint)
{
	int r;

	if (!checkpoint)
		return NULL;
	vfs_close(checkpoint->file);
	if (checkpoint->sum)
		hash_stream_free(checkpoint->sum);
	r = dir_tree_remove(checkpoint->store->options.vfs, checkpoint->dir);
	if (r < 0)
		log_warn("checkpoint not removed", "path=%s error=\"%s\"", checkpoint->dir,
			 strerror(-r));
	checkpoint_content_deinit(checkpoint->store, &checkpoint->content);
	free(checkpoint->dir);
	free(checkpoint);
	return NULL;
}

void checkpoint_view(const struct checkpoint *checkpoint, struct checkpoint_view *ret_view)
{
	*ret_view = (struct checkpoint_view){
		.id = checkpoint->id,
		.point = checkpoint->content.point,
		.files = checkpoint->content.files,
		.count = checkpoint->content.count,
		.bytes = checkpoint->content.bytes,
	};
}

bool checkpoint_is_cut_off(const struct checkpoint *checkpoint)
{
	return wal_pin_is_broken(checkpoint->store->wal, checkpoint->content.pin);
}

static int open_file(struct checkpoint *checkpoint, size_t index)
{
	_cleanup_(freep) char *path = NULL;

	if (index >= checkpoint->content.count)
		return -EINVAL;
	if (checkpoint->file && checkpoint->file_index == index)
		return 0;
	path = checkpoint_path(checkpoint->dir, checkpoint->content.files[index].name);
	if (!path)
		return -ENOMEM;
	vfs_close(checkpoint->file);
	checkpoint->file = NULL;
	checkpoint->file_index = index;
	return vfs_open(checkpoint->store->options.vfs, path, VFS_READ, &checkpoint->file);
}

ssize_t checkpoint_read(struct checkpoint *checkpoint, size_t file, uint64_t offset, void *data,
			size_t len)
{
	int r = open_file(checkpoint, file);

	return r < 0 ? r : vfs_pread(checkpoint->file, data, len, offset, 0);
}

ssize_t checkpoint_read_on(struct checkpoint *checkpoint, size_t file, uint64_t offset, void *data,
			   size_t len)
{
	const struct checkpoint_content *content = &checkpoint->content;
	ssize_t n = checkpoint_read(checkpoint, file, offset, data, len);
	size_t done = n > 0 ? (size_t)n : 0, end = file + FILES_AT_ONCE;

	if (n < 0 || offset + done < content->files[file].size)
		return n;
	for (size_t i = file + 1; i < content->count && i < end; i++) {
		uint64_t size = content->files[i].size;

		if (size > len - done)
			break;
		n = checkpoint_read(checkpoint, i, 0, (uint8_t *)data + done, size);
		/* Whoever asks for that one hears of it. */
		if (n < 0 || (uint64_t)n < size)
			break;
		done += size;
	}
	return (ssize_t)done;
}

static int begin_sum(struct checkpoint *checkpoint, size_t file)
{
	if (checkpoint->sum && checkpoint->sum_index == file)
		return 0;
	if (checkpoint->sum)
		hash_stream_free(checkpoint->sum);
	checkpoint->sum = hash_stream_new();
	checkpoint->sum_index = file;
	checkpoint->summed = 0;
	return checkpoint->sum ? 0 : -ENOMEM;
}

int checkpoint_sum(struct checkpoint *checkpoint, size_t file, uint64_t bytes_max,
		   struct hash128 *ret_hash)
{
	_cleanup_(freep) uint8_t *piece = malloc(SUM_PIECE);
	uint64_t size;
	int r = piece ? open_file(checkpoint, file) : -ENOMEM;

	if (r == 0)
		r = begin_sum(checkpoint, file);
	if (r < 0)
		return r;
	size = checkpoint->content.files[file].size;
	for (uint64_t done = 0; checkpoint->summed < size;) {
		ssize_t n;

		if (done >= bytes_max)
			return 1;
		n = vfs_pread(checkpoint->file, piece, SUM_PIECE, checkpoint->summed, 0);
		if (n <= 0)
			return n < 0 ? (int)n : -EBADMSG;
		hash_stream_update(checkpoint->sum, piece, (size_t)n);
		checkpoint->summed += (uint64_t)n;
		done += (uint64_t)n;
	}
	*ret_hash = hash_stream_digest(checkpoint->sum);
	checkpoint->sum = hash_stream_free(checkpoint->sum);
	return 0;
}

bool checkpoint_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= CHECKPOINT_NAME_MAX && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       len;
}

static int sync_names(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *values = checkpoint_path(dir, "value");
	int r = values ? vfs_sync_dir(vfs, values) : -ENOMEM;

	return r == 0 ? vfs_sync_dir(vfs, dir) : r;
}

static int path_is_free(struct vfs *vfs, const char *path)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	int r = vfs_open(vfs, path, VFS_READ, &file);

	if (r == -ENOENT)
		return 0;
	return r == 0 || r == -EISDIR ? -EEXIST : r;
}

/* 1. All that is in it is on stable storage, 2. it gets its name, 3. so is that. */
static int save_at(struct store *store, const char *parent, const char *name, const char *making,
		   struct checkpoint_saved *saved)
{
	struct vfs *vfs = store->options.vfs;
	struct checkpoint_content content = { 0 };
	int r;

	saved->path = checkpoint_path(parent, name);
	if (!saved->path)
		return -ENOMEM;
	r = path_is_free(vfs, saved->path);
	if (r == 0)
		r = checkpoint_flush(store);
	if (r == 0)
		r = vfs_mkdir(vfs, making);
	if (r == 0)
		r = checkpoint_make(store, making, &content);
	if (r == 0)
		r = sync_names(vfs, making);
	if (r == 0)
		r = vfs_sync_dir(vfs, parent);
	if (r == 0)
		r = vfs_rename(vfs, making, saved->path);
	if (r == 0)
		r = vfs_sync_dir(vfs, parent);
	saved->version = content.point;
	saved->files = content.count;
	saved->bytes = content.bytes;
	checkpoint_content_deinit(store, &content);
	return r == -ENOTEMPTY ? -EEXIST : r;
}

static int save(struct store *store, const char *name, struct checkpoint_saved *ret_saved)
{
	_cleanup_(freep) char *parent = NULL, *making = NULL;
	struct checkpoint_saved saved = { 0 };
	int r = checkpoint_make_parent(store, &parent);

	if (r < 0)
		return r;
	if (asprintf(&making, "%s/" MAKING_PREFIX "%s", parent, name) < 0) {
		making = NULL;
		return -ENOMEM;
	}
	r = dir_tree_remove(store->options.vfs, making);
	if (r == 0)
		r = save_at(store, parent, name, making, &saved);
	if (r < 0) {
		free(saved.path);
		return note_failure(store, making, r);
	}
	log_info("checkpoint saved", "path=%s files=%" PRIu64 " bytes=%" PRIu64, saved.path,
		 saved.files, saved.bytes);
	*ret_saved = saved;
	return 0;
}

int checkpoint_save(struct store *store, const char *name, struct checkpoint_saved *ret_saved)
{
	bool busy;
	int r;

	mutex_lock(&store->lock);
	busy = store->checkpoint_under_way;
	store->checkpoint_under_way = true;
	mutex_unlock(&store->lock);
	if (busy)
		return -EBUSY;
	r = checkpoint_name_is_valid(name) ? save(store, name, ret_saved) : -EINVAL;
	mutex_lock(&store->lock);
	store->checkpoint_under_way = false;
	mutex_unlock(&store->lock);
	return r;
}

static int find_leftover(const char *name, void *state)
{
	if (strncmp(name, BOOTSTRAP_PREFIX, strlen(BOOTSTRAP_PREFIX)) != 0 &&
	    strncmp(name, MAKING_PREFIX, strlen(MAKING_PREFIX)) != 0)
		return 0;
	return buf_append(state, name, strlen(name) + 1);
}

void checkpoint_sweep(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *parent = checkpoint_path(dir, CHECKPOINTS_NAME);
	struct buf names = { 0 };

	/* Space only: what stays is tried again at the next opening. */
	if (parent && vfs_list(vfs, parent, find_leftover, &names) == 0) {
		for (size_t at = 0; at < names.len;) {
			const char *name = (const char *)names.data + at;
			_cleanup_(freep) char *path = checkpoint_path(parent, name);

			if (path)
				(void)dir_tree_remove(vfs, path);
			at += strlen(name) + 1;
		}
	}
	buf_deinit(&names);
}

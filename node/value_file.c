/* SPDX-License-Identifier: MIT */
/*
 * Layout: docs/FORMAT.md, "Value file".
 *
 * A table by id holds one value_file for each id that is referenced. Before the sweep a file whose
 * references are all gone stays in the table: recovery may still find one. At most OPEN_MAX
 * descriptors stay open; a file that is referenced is never unlinked, so closing one early costs no
 * more than opening it again.
 */
#include "node/value_file.h"

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/container_of.h"
#include "lib/log.h"
#include "node/value_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MAX_FILES 128

const struct file_kind value_file_kind = { .name = "value", .magic = "hexkvVAL", .version = 1 };

char *value_path(const struct value_files *files, uint64_t id, const char *suffix)
{
	char *path;

	return asprintf(&path, "%s/%016" PRIx64 "%s", files->dir, id, suffix) < 0 ? NULL : path;
}

/* The id of "0123456789abcdef.val" or ".tmp"; 0 for any other name. */
static uint64_t id_from_name(const char *name, bool *ret_temporary)
{
	uint64_t id = 0;

	if (strlen(name) != 20 || strspn(name, "0123456789abcdef") != 16)
		return 0;
	*ret_temporary = strcmp(name + 16, ".tmp") == 0;
	if (!*ret_temporary && strcmp(name + 16, ".val") != 0)
		return 0;
	sscanf(name, "%16" SCNx64, &id);
	return id;
}

static struct value_file *file_of(struct rbnode *node)
{
	return container_of(node, struct value_file, node);
}

struct value_file *value_files_find_locked(struct value_files *files, uint64_t id)
{
	struct rbnode *node = files->tree.root;

	while (node && file_of(node)->id != id)
		node = node->child[file_of(node)->id < id];
	return node ? file_of(node) : NULL;
}

static void insert(struct value_files *files, struct value_file *file) REQUIRES(files->lock)
{
	struct rbnode **link = &files->tree.root, *parent = NULL;
	enum rbtree_side side = RBTREE_LEFT;

	while (*link) {
		parent = *link;
		side = file_of(parent)->id < file->id ? RBTREE_RIGHT : RBTREE_LEFT;
		link = &parent->child[side];
	}
	rbtree_insert(&files->tree, parent, side, &file->node);
}

static int see_id(const char *name, void *state)
{
	struct value_files *files = state;
	bool temporary;
	uint64_t id = id_from_name(name, &temporary);

	if (id >= files->first_new_id && id < UINT64_MAX)
		files->first_new_id = id + 1;
	return 0;
}

static uint64_t kept_bytes_max(struct value_files *files)
{
	uint64_t space, total;

	if (vfs_space(files->vfs, files->dir, &space, &total) < 0)
		return UINT64_MAX;
	return total / 4;
}

int value_files_open(struct vfs *vfs, const char *dir, struct value_files **ret_files)
{
	struct value_files *files = calloc(1, sizeof(*files));
	int r;

	if (!files)
		return -ENOMEM;
	files->vfs = vfs;
	mutex_init(&files->lock);
	condition_init(&files->kept_changed);
	r = asprintf(&files->dir, "%s/value", dir) < 0 ? -ENOMEM : 0;
	if (r < 0) {
		files->dir = NULL;
		goto fail;
	}
	r = reaper_new(vfs, &files->reaper);
	if (r < 0)
		goto fail;
	r = vfs_mkdir(vfs, files->dir);
	if (r == 0)
		r = vfs_sync_dir(vfs, dir);
	if (r < 0 && r != -EEXIST)
		goto fail;
	files->first_new_id = 1;
	r = vfs_list(vfs, files->dir, see_id, files);
	if (r < 0)
		goto fail;
	mutex_lock(&files->lock);
	files->next_id = files->first_new_id;
	files->kept_bytes_max = kept_bytes_max(files);
	mutex_unlock(&files->lock);
	*ret_files = files;
	return 0;
fail:
	value_files_free(files);
	return r;
}

struct value_files *value_files_free(struct value_files *files)
{
	struct rbnode *node;

	if (!files)
		return NULL;
	value_pins_stop(files);
	mutex_lock(&files->lock);
	while ((node = files->tree.root)) {
		struct value_file *file = file_of(node);

		assert(atomic_load(&file->references) == 0);
		rbtree_erase(&files->tree, node);
		vfs_close(file->file);
		free(file);
	}
	mutex_unlock(&files->lock);
	reaper_free(files->reaper);
	mutex_deinit(&files->lock);
	condition_deinit(&files->kept_changed);
	free(files->dir);
	free(files);
	return NULL;
}

int value_files_start(struct value_files *files)
{
	int r = reaper_start(files->reaper);

	return r < 0 ? r : value_pins_start(files);
}

uint64_t value_files_last_id(struct value_files *files)
{
	uint64_t id;

	mutex_lock(&files->lock);
	id = files->first_new_id - 1;
	mutex_unlock(&files->lock);
	return id;
}

void value_files_begin(struct value_files *files, uint64_t first_id)
{
	mutex_lock(&files->lock);
	if (files->next_id < first_id)
		files->next_id = first_id;
	files->first_new_id = files->next_id;
	mutex_unlock(&files->lock);
}

void value_files_hold(struct value_files *files)
{
	mutex_lock(&files->lock);
	files->deleting = false;
	mutex_unlock(&files->lock);
}

uint64_t value_files_bytes(const struct value_files *files)
{
	return atomic_load_explicit(&files->bytes, memory_order_relaxed);
}

uint64_t value_new_id(struct value_files *files)
{
	uint64_t id;

	mutex_lock(&files->lock);
	id = files->next_id++;
	mutex_unlock(&files->lock);
	return id;
}

int value_files_enter(struct value_files *files, uint64_t id, uint64_t file_bytes,
		      struct value_file **ret_file)
{
	struct value_file *file = calloc(1, sizeof(*file));

	if (!file)
		return -ENOMEM;
	file->files = files;
	file->id = id;
	file->file_bytes = file_bytes;
	atomic_init(&file->references, 1);
	atomic_fetch_add_explicit(&files->bytes, file_bytes, memory_order_relaxed);
	mutex_lock(&files->lock);
	insert(files, file);
	mutex_unlock(&files->lock);
	*ret_file = file;
	return 0;
}

int value_file_get(struct value_files *files, uint64_t id, struct value_file **ret_file)
{
	struct value_file *fresh = NULL, *file;

	mutex_lock(&files->lock);
	file = value_files_find_locked(files, id);
	if (!file) {
		file = fresh = calloc(1, sizeof(*fresh));
		if (fresh) {
			fresh->files = files;
			fresh->id = id;
			insert(files, fresh);
		}
		if (id >= files->next_id && id < UINT64_MAX)
			files->next_id = id + 1;
	}
	if (file) {
		value_pins_leave_locked(files, file);
		atomic_fetch_add(&file->references, 1);
	}
	mutex_unlock(&files->lock);
	if (!file)
		return -ENOMEM;
	*ret_file = file;
	return 0;
}

struct value_file *value_file_ref(struct value_file *file)
{
	atomic_fetch_add_explicit(&file->references, 1, memory_order_relaxed);
	return file;
}

static void list_remove(struct value_files *files, struct value_file *file) REQUIRES(files->lock)
{
	*(file->newer ? &file->newer->older : &files->newest) = file->older;
	*(file->older ? &file->older->newer : &files->oldest) = file->newer;
	file->newer = file->older = NULL;
}

static void list_add(struct value_files *files, struct value_file *file) REQUIRES(files->lock)
{
	file->older = files->newest;
	*(files->newest ? &files->newest->newer : &files->oldest) = file;
	files->newest = file;
}

/* Takes the descriptor out of the table of open files. */
static struct vfs_file *detach(struct value_files *files, struct value_file *file)
	REQUIRES(files->lock)
{
	struct vfs_file *opened = file->file;

	assert(file->users == 0);
	if (opened) {
		list_remove(files, file);
		file->file = NULL;
		files->open_count--;
	}
	return opened;
}

struct vfs_file *value_file_forget_locked(struct value_files *files, struct value_file *file)
{
	rbtree_erase(&files->tree, &file->node);
	return detach(files, file);
}

void value_file_discard(struct value_file *file, struct vfs_file *opened)
{
	struct value_files *files = file->files;

	atomic_fetch_sub_explicit(&files->bytes, file->file_bytes, memory_order_relaxed);
	reaper_add(files->reaper, value_path(files, file->id, ".val"), opened);
	free(file);
}

struct value_file *value_file_unref(struct value_file *file)
{
	struct value_files *files;
	struct vfs_file *opened = NULL;
	unsigned seen;
	bool last;

	if (!file)
		return NULL;
	seen = atomic_load(&file->references);
	while (seen > 1)
		if (atomic_compare_exchange_weak(&file->references, &seen, seen - 1))
			return NULL;
	files = file->files;
	mutex_lock(&files->lock);
	last = atomic_fetch_sub(&file->references, 1) == 1 && files->deleting &&
	       !value_pins_keep_locked(files, file);
	if (last)
		opened = value_file_forget_locked(files, file);
	mutex_unlock(&files->lock);
	if (last)
		value_file_discard(file, opened);
	return NULL;
}

uint64_t value_file_id(const struct value_file *file)
{
	return file->id;
}

int value_file_link(const struct value_file *file, const char *dir)
{
	_cleanup_(freep) char *from = value_path(file->files, file->id, ".val");
	_cleanup_(freep) char *to = NULL;
	int r;

	if (!from || asprintf(&to, "%s/value/%s", dir, from + strlen(file->files->dir) + 1) < 0) {
		to = NULL;
		return -ENOMEM;
	}
	r = vfs_link(file->files->vfs, from, to);
	return r == -EEXIST ? 0 : r;
}

struct sweep {
	struct value_files *files;
	struct buf ids; /* of finished files, 8 bytes each */
};

static int sweep_name(const char *name, void *state)
{
	struct sweep *sweep = state;
	bool temporary;
	uint64_t id = id_from_name(name, &temporary);

	if (id == 0)
		return 0;
	if (!temporary)
		return buf_append(&sweep->ids, &id, sizeof(id));
	/* A writer of this process may be at work on the newer ones. */
	if (id < sweep->files->first_new_id)
		reaper_add(sweep->files->reaper, value_path(sweep->files, id, ".tmp"), NULL);
	return 0;
}

static uint64_t size_of(struct value_files *files, uint64_t id)
{
	_cleanup_(freep) char *path = value_path(files, id, ".val");
	struct vfs_file *opened = NULL;
	uint64_t size = 0;

	if (path && vfs_open(files->vfs, path, VFS_READ, &opened) == 0 &&
	    vfs_size(opened, &size) < 0)
		size = 0;
	vfs_close(opened);
	return size;
}

/* The file in the table, with its bytes counted; NULL: it is new, or memory is out. */
static struct value_file *count_one(struct value_files *files, uint64_t id) REQUIRES(files->lock)
{
	struct value_file *file = value_files_find_locked(files, id);

	/* A writer of this process enters its own. */
	if (!file && id < files->first_new_id)
		file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	if (!file->files) {
		file->files = files;
		file->id = id;
		insert(files, file);
	}
	if (file->file_bytes == 0) {
		/* Before the store serves anybody: nobody waits for the lock. */
		file->file_bytes = size_of(files, id);
		atomic_fetch_add_explicit(&files->bytes, file->file_bytes, memory_order_relaxed);
	}
	return file;
}

/* Deletes file @id if nothing refers to it or may still be promised it. */
static void sweep_one(struct value_files *files, uint64_t id)
{
	struct vfs_file *opened = NULL;
	struct value_file *file;
	bool dead;

	mutex_lock(&files->lock);
	file = count_one(files, id);
	dead = file && atomic_load(&file->references) == 0 && !value_pins_keep_locked(files, file);
	if (dead)
		opened = value_file_forget_locked(files, file);
	mutex_unlock(&files->lock);
	if (dead)
		value_file_discard(file, opened);
}

int value_files_sweep(struct value_files *files)
{
	struct sweep sweep = { .files = files };
	int r;

	r = vfs_list(files->vfs, files->dir, sweep_name, &sweep);
	if (r == 0) {
		mutex_lock(&files->lock);
		files->deleting = true;
		mutex_unlock(&files->lock);
		for (size_t at = 0; at < sweep.ids.len; at += sizeof(uint64_t)) {
			uint64_t id;

			memcpy(&id, sweep.ids.data + at, sizeof(id));
			sweep_one(files, id);
		}
	}
	buf_deinit(&sweep.ids);
	return r;
}

static int open_file(struct value_file *file, struct vfs_file **ret_opened)
{
	struct value_files *files = file->files;
	_cleanup_(freep) char *path = value_path(files, file->id, ".val");
	_cleanup_(vfs_closep) struct vfs_file *opened = NULL;
	uint8_t header[FILE_HEADER_BYTES];
	ssize_t n;
	int r;

	if (!path)
		return -ENOMEM;
	r = vfs_open(files->vfs, path, VFS_READ, &opened);
	if (r == -ENOENT) {
		log_error("missing file", "kind=value file=%s why=\"a record refers to it\"", path);
		return -EBADMSG;
	}
	if (r < 0)
		return r;
	n = vfs_pread(opened, header, sizeof(header), 0, 0);
	if (n < 0)
		return (int)n;
	r = file_header_check(&value_file_kind, file->id, header, (size_t)n, path);
	if (r < 0)
		return r;
	*ret_opened = take_ptr(opened);
	return 0;
}

/* The open file that was not used for longest, if there are too many. */
static struct vfs_file *pick_idle(struct value_files *files) REQUIRES(files->lock)
{
	struct value_file *file = files->oldest;

	if (files->open_count <= OPEN_MAX_FILES)
		return NULL;
	while (file && file->users > 0)
		file = file->newer;
	return file ? detach(files, file) : NULL;
}

/* Opens @file unless it is, and keeps it open until release(). */
static int acquire(struct value_file *file, unsigned flags, struct vfs_file **ret_opened)
{
	struct value_files *files = file->files;
	struct vfs_file *opened = NULL, *idle = NULL;
	int r = 0;

	mutex_lock(&files->lock);
	if (!file->file) {
		mutex_unlock(&files->lock);
		r = flags & VFS_NOWAIT ? -EAGAIN : open_file(file, &opened);
		if (r < 0)
			return r;
		mutex_lock(&files->lock);
	}
	if (file->file) {
		/* Another reader was faster. */
		idle = opened;
		list_remove(files, file);
	} else {
		file->file = opened;
		files->open_count++;
	}
	list_add(files, file);
	file->users++;
	*ret_opened = file->file;
	if (!idle)
		idle = pick_idle(files);
	mutex_unlock(&files->lock);
	vfs_close(idle);
	return 0;
}

static void release(struct value_file *file)
{
	mutex_lock(&file->files->lock);
	file->users--;
	mutex_unlock(&file->files->lock);
}

int value_file_check_header(struct value_file *file)
{
	struct vfs_file *opened;
	int r = acquire(file, 0, &opened);

	if (r == 0)
		release(file);
	return r;
}

static ssize_t read_chunk(struct value_file *file, struct vfs_file *opened, uint64_t index,
			  void *data, size_t len, unsigned flags)
{
	uint64_t offset = value_chunk_offset(index);
	uint8_t sum[VALUE_SUM_BYTES];
	ssize_t n, sum_n = 0;

	n = vfs_pread(opened, data, len, offset, flags);
	if (n >= 0)
		sum_n = vfs_pread(opened, sum, sizeof(sum), offset + len, flags);
	if (n < 0 || sum_n < 0)
		return n < 0 ? n : sum_n;
	if ((size_t)n == len && sum_n == VALUE_SUM_BYTES &&
	    get_u64(sum) == checksum(file->id, index, data, len))
		return n;
	log_error("damaged file",
		  "kind=value file=%s/%016" PRIx64 ".val offset=%" PRIu64 " why=\"%s\"",
		  file->files->dir, file->id, offset,
		  (size_t)n == len && sum_n == VALUE_SUM_BYTES ? "a chunk fails its checksum"
							       : "it is too short");
	return -EBADMSG;
}

ssize_t value_file_read_chunk(struct value_file *file, uint64_t size_bytes, uint64_t index,
			      void *data, unsigned flags)
{
	uint64_t chunks = size_bytes / VALUE_CHUNK_BYTES + (size_bytes % VALUE_CHUNK_BYTES > 0);
	size_t len = VALUE_CHUNK_BYTES;
	struct vfs_file *opened;
	ssize_t n;
	int r;

	if (index >= chunks)
		return 0;
	if (index == chunks - 1)
		len = (size_t)(size_bytes - index * VALUE_CHUNK_BYTES);
	r = acquire(file, flags, &opened);
	if (r < 0)
		return r;
	n = read_chunk(file, opened, index, data, len, flags);
	release(file);
	return n;
}

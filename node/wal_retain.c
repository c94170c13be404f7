/* SPDX-License-Identifier: MIT */
/* What other threads ask of a log while it is written: to let go of files, to keep them, and what
 * is there to be read. */
#include "lib/cleanup.h"
#include "node/wal_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int wal_sync_dir(struct wal *wal)
{
	_cleanup_(freep) char *path = NULL;

	if (asprintf(&path, "%s/log", wal->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return vfs_sync_dir(wal->vfs, path);
}

void wal_add_weight(struct wal *wal, uint64_t file_id, uint64_t bytes)
{
	struct wal_files *files = &wal->files;

	mutex_lock(&files->lock);
	for (size_t i = files->count; i > 0; i--) {
		if (files->items[i - 1].id != file_id)
			continue;
		files->items[i - 1].weight += bytes;
		break;
	}
	mutex_unlock(&files->lock);
}

int wal_trim(struct wal *wal, uint64_t position, const struct wal_keep *keep,
	     void (*dropped)(uint64_t position, void *state), void *state)
{
	struct wal_file_info victim = { 0 };
	uint64_t up_to = 0;
	int r = 0;

	while (r == 0 && wal_files_take_victim(&wal->files, position, keep, &victim)) {
		_cleanup_(freep) char *path = wal_file_path(wal->dir, victim.id);

		r = path ? vfs_unlink(wal->vfs, path) : -ENOMEM;
		if (r == -ENOENT)
			r = 0;
		if (r == 0)
			up_to = victim.last_position;
	}
	if (up_to == 0)
		return r;
	/* Only a file that can't come back releases what its entries refer to. */
	if (wal_sync_dir(wal) == 0)
		dropped(up_to, state);
	return r;
}

static int note_id(const char *name, void *state)
{
	uint64_t id = wal_file_id_parse(name);

	return id > 0 ? buf_append(state, &id, sizeof(id)) : 0;
}

int wal_sweep(struct wal *wal)
{
	_cleanup_(buf_deinit) struct buf found = { 0 };
	_cleanup_(freep) char *path = NULL;
	uint64_t first;
	int r;

	mutex_lock(&wal->files.lock);
	first = wal->files.items[0].id;
	mutex_unlock(&wal->files.lock);
	if (asprintf(&path, "%s/log", wal->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = vfs_list(wal->vfs, path, note_id, &found);
	for (size_t at = 0; at < found.len && r == 0; at += sizeof(uint64_t)) {
		_cleanup_(freep) char *file = NULL;
		uint64_t id;

		memcpy(&id, found.data + at, sizeof(id));
		if (id >= first)
			continue;
		file = wal_file_path(wal->dir, id);
		r = file ? vfs_unlink(wal->vfs, file) : -ENOMEM;
		if (r == -ENOENT)
			r = 0;
	}
	return r == 0 ? wal_sync_dir(wal) : r;
}

static void add_pin_locked(struct wal_files *files, struct wal_pin *pin) REQUIRES(files->lock)
{
	pin->after = files->pins;
	if (pin->after)
		pin->after->before = pin;
	files->pins = pin;
}

int wal_pin(struct wal *wal, uint64_t position, struct wal_pin **ret_pin)
{
	struct wal_files *files = &wal->files;
	struct wal_pin *pin = calloc(1, sizeof(*pin));
	bool trimmed;

	if (!pin)
		return -ENOMEM;
	pin->position = position;
	mutex_lock(&files->lock);
	trimmed = files->items[0].base.position > position;
	if (!trimmed)
		add_pin_locked(files, pin);
	mutex_unlock(&files->lock);
	if (trimmed) {
		free(pin);
		return WAL_TRIMMED;
	}
	*ret_pin = pin;
	return 0;
}

int wal_hold(struct wal *wal, uint64_t sequence, struct wal_pin **pin)
{
	struct wal_pin *held = *pin ? *pin : calloc(1, sizeof(*held));
	struct wal_files *files = &wal->files;
	size_t i;

	if (!held)
		return -ENOMEM;
	mutex_lock(&files->lock);
	/* As store_log_read() finds where to begin. */
	for (i = files->count; i > 0 && files->items[i - 1].base.sequence > sequence; i--)
		;
	if (i > 0) {
		held->position = files->items[i - 1].base.position;
		held->yields = true;
		if (!*pin)
			add_pin_locked(files, held);
	}
	mutex_unlock(&files->lock);
	if (i == 0) {
		if (!*pin)
			free(held);
		return WAL_TRIMMED;
	}
	*pin = held;
	return 0;
}

void wal_pin_yield(struct wal *wal, struct wal_pin *pin)
{
	mutex_lock(&wal->files.lock);
	pin->yields = true;
	mutex_unlock(&wal->files.lock);
}

bool wal_pin_is_broken(struct wal *wal, const struct wal_pin *pin)
{
	bool broken;

	mutex_lock(&wal->files.lock);
	broken = wal->files.items[0].base.position > pin->position;
	mutex_unlock(&wal->files.lock);
	return broken;
}

struct wal_pin *wal_unpin(struct wal *wal, struct wal_pin *pin)
{
	if (!pin)
		return NULL;
	mutex_lock(&wal->files.lock);
	if (pin->before)
		pin->before->after = pin->after;
	else
		wal->files.pins = pin->after;
	if (pin->after)
		pin->after->before = pin->before;
	mutex_unlock(&wal->files.lock);
	free(pin);
	return NULL;
}

int wal_extents(struct wal *wal, struct wal_extent **ret_extents, size_t *ret_count,
		struct wal_mark *ret_synced)
{
	struct wal_files *files = &wal->files;
	struct wal_extent *extents;
	size_t count;

	mutex_lock(&files->lock);
	count = files->count;
	extents = calloc(count + 1, sizeof(*extents));
	for (size_t i = 0; i < count && extents; i++)
		extents[i] = (struct wal_extent){
			.file_id = files->items[i].id,
			.base = files->items[i].base,
			.bytes = files->items[i].synced,
		};
	*ret_synced = files->synced;
	mutex_unlock(&files->lock);
	if (!extents)
		return -ENOMEM;
	*ret_extents = extents;
	*ret_count = count;
	return 0;
}

struct wal_mark wal_synced(struct wal *wal)
{
	struct wal_mark mark;

	mutex_lock(&wal->files.lock);
	mark = wal->files.synced;
	mutex_unlock(&wal->files.lock);
	return mark;
}

uint64_t wal_bytes(struct wal *wal)
{
	struct wal_files *files = &wal->files;
	uint64_t bytes = 0;

	mutex_lock(&files->lock);
	for (size_t i = 0; i < files->count; i++)
		bytes += files->items[i].bytes;
	mutex_unlock(&files->lock);
	return bytes;
}

unsigned wal_files(struct wal *wal)
{
	size_t count;

	mutex_lock(&wal->files.lock);
	count = wal->files.count;
	mutex_unlock(&wal->files.lock);
	return (unsigned)count;
}

uint64_t wal_current_file(struct wal *wal)
{
	struct wal_files *files = &wal->files;
	uint64_t id;

	mutex_lock(&files->lock);
	id = files->count > 0 ? files->items[files->count - 1].id : 0;
	mutex_unlock(&files->lock);
	return id;
}

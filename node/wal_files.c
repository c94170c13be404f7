/* SPDX-License-Identifier: MIT */
#include "node/wal_files.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void wal_files_init(struct wal_files *files)
{
	mutex_init(&files->lock);
}

void wal_files_deinit(struct wal_files *files)
{
	assert(!files->pins);
	mutex_deinit(&files->lock);
	free(files->items);
}

static int grow_locked(struct wal_files *files) REQUIRES(files->lock)
{
	size_t cap = files->cap ? files->cap * 2 : 16;
	struct wal_file_info *items;

	if (files->count < files->cap)
		return 0;
	items = realloc(files->items, cap * sizeof(*items));
	if (!items)
		return -ENOMEM;
	files->items = items;
	files->cap = cap;
	return 0;
}

int wal_files_add(struct wal_files *files, const struct wal_file_info *info, struct wal_mark synced)
{
	int r;

	mutex_lock(&files->lock);
	r = grow_locked(files);
	if (r == 0) {
		files->items[files->count] = *info;
		files->items[files->count++].synced = info->bytes;
		files->synced = synced;
	}
	mutex_unlock(&files->lock);
	return r;
}

void wal_files_note_grown(struct wal_files *files, uint64_t bytes, uint64_t last_position,
			  int64_t time_ns)
{
	struct wal_file_info *info;

	mutex_lock(&files->lock);
	info = &files->items[files->count - 1];
	info->bytes = bytes;
	info->last_position = last_position;
	if (time_ns > info->last_time_ns)
		info->last_time_ns = time_ns;
	mutex_unlock(&files->lock);
}

void wal_files_note_synced(struct wal_files *files, uint64_t bytes, struct wal_mark mark)
{
	mutex_lock(&files->lock);
	files->items[files->count - 1].synced = bytes;
	files->synced = mark;
	mutex_unlock(&files->lock);
}

void wal_files_cut_last(struct wal_files *files, uint64_t last_position)
{
	mutex_lock(&files->lock);
	if (files->count > 0) {
		struct wal_file_info *info = &files->items[files->count - 1];

		info->bytes = info->synced;
		info->last_position = last_position;
	}
	mutex_unlock(&files->lock);
}

static bool is_pinned(struct wal_files *files, uint64_t last_position, bool may_hold)
	REQUIRES(files->lock)
{
	for (const struct wal_pin *pin = files->pins; pin; pin = pin->after)
		if (last_position > pin->position && (may_hold || !pin->yields))
			return true;
	return false;
}

static bool is_kept(const struct wal_keep *keep, const struct wal_file_info *oldest, uint64_t total)
{
	int64_t end_ns = oldest->last_time_ns;

	if (end_ns < keep->after_ns)
		return false;
	return total <= keep->bytes ||
	       (total <= keep->spare_bytes && end_ns >= keep->spare_from_ns &&
		end_ns <= keep->spare_to_ns);
}

bool wal_files_take_victim(struct wal_files *files, uint64_t position, const struct wal_keep *keep,
			   struct wal_file_info *ret_victim)
{
	const struct wal_file_info *oldest;
	uint64_t total = 0;
	bool taken = false, useless;

	mutex_lock(&files->lock);
	for (size_t i = 0; i < files->count; i++)
		total += files->items[i].bytes + files->items[i].weight;
	oldest = files->items;
	useless = oldest->id <= keep->useless_file;
	if (files->count > 1 && oldest->last_position <= position &&
	    (useless || !is_kept(keep, oldest, total)) &&
	    !is_pinned(files, oldest->last_position, !useless && total <= keep->hold_bytes)) {
		*ret_victim = *oldest;
		files->count--;
		memmove(files->items, files->items + 1, files->count * sizeof(*files->items));
		taken = true;
	}
	mutex_unlock(&files->lock);
	return taken;
}

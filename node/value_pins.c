/* SPDX-License-Identifier: MIT */
/*
 * Kept files stand in a list in the order in which their time ends. One that is referenced again (a
 * reader has come) leaves it, and takes its place anew with its last reference: that is how a pin
 * on a dead file is renewed. A thread deletes what is over time, or over the bounds.
 */
#include "node/value_pins.h"

#include "lib/clock.h"
#include "node/value_dir.h"

#include <errno.h>

#define KEPT_MAX 16384

static void list_remove(struct value_files *files, struct value_file *file) REQUIRES(files->lock)
{
	*(file->kept_before ? &file->kept_before->kept_after : &files->kept_first) =
		file->kept_after;
	*(file->kept_after ? &file->kept_after->kept_before : &files->kept_last) =
		file->kept_before;
	file->kept_before = file->kept_after = NULL;
	file->kept = false;
	files->kept_count--;
	files->kept_bytes -= file->file_bytes;
}

/* Times mostly ascend, so its place is near the end. */
static void list_add(struct value_files *files, struct value_file *file) REQUIRES(files->lock)
{
	struct value_file *before = files->kept_last;

	while (before && before->kept_until_ms > file->kept_until_ms)
		before = before->kept_before;
	file->kept_before = before;
	file->kept_after = before ? before->kept_after : files->kept_first;
	*(before ? &before->kept_after : &files->kept_first) = file;
	*(file->kept_after ? &file->kept_after->kept_before : &files->kept_last) = file;
	file->kept = true;
	files->kept_count++;
	files->kept_bytes += file->file_bytes;
}

static bool over_bounds(const struct value_files *files) REQUIRES(files->lock)
{
	return files->kept_count > KEPT_MAX || files->kept_bytes > files->kept_bytes_max;
}

bool value_pins_keep_locked(struct value_files *files, struct value_file *file)
{
	uint64_t until = file->pinned_until_ms;

	if (file->id < files->first_new_id && files->old_until_ms > until)
		until = files->old_until_ms;
	if (until == 0 || until <= clock_monotonic_ms())
		return false;
	file->kept_until_ms = until;
	list_add(files, file);
	if (files->kept_first == file || over_bounds(files))
		condition_signal(&files->kept_changed);
	return true;
}

void value_pins_leave_locked(struct value_files *files, struct value_file *file)
{
	if (file->kept)
		list_remove(files, file);
}

bool value_file_pin(struct value_file *file, uint32_t seconds)
{
	struct value_files *files = file->files;
	uint64_t until = clock_monotonic_ms() + (uint64_t)seconds * 1000;
	bool given;

	mutex_lock(&files->lock);
	given = !file->pins_end;
	if (given && file->pinned_until_ms < until)
		file->pinned_until_ms = until;
	files->pins_given += given;
	files->pins_refused += !given;
	mutex_unlock(&files->lock);
	return given;
}

/* What the file of a value has. */
static uint64_t bytes_on_disk(uint64_t size_bytes)
{
	uint64_t chunks = size_bytes / VALUE_CHUNK_BYTES + (size_bytes % VALUE_CHUNK_BYTES > 0);

	return FILE_HEADER_BYTES + size_bytes + chunks * VALUE_SUM_BYTES;
}

int value_pins_find(struct value_files *files, uint64_t id, uint64_t size_bytes,
		    struct value_file **ret_file)
{
	struct value_file *file;
	int r = -ENOENT;

	mutex_lock(&files->lock);
	file = value_files_find_locked(files, id);
	if (file && size_bytes <= INT64_MAX && file->file_bytes == bytes_on_disk(size_bytes) &&
	    (file->kept || atomic_load(&file->references) > 0)) {
		value_pins_leave_locked(files, file);
		atomic_fetch_add(&file->references, 1);
		*ret_file = file;
		r = 0;
	}
	mutex_unlock(&files->lock);
	return r;
}

void value_pins_keep_old(struct value_files *files, uint32_t seconds)
{
	mutex_lock(&files->lock);
	files->old_until_ms = clock_monotonic_ms() + (uint64_t)seconds * 1000;
	mutex_unlock(&files->lock);
}

void value_pins_press(struct value_files *files)
{
	struct value_file *file, *next;

	mutex_lock(&files->lock);
	files->old_until_ms = 0;
	for (file = files->kept_first; file; file = next) {
		next = file->kept_after;
		file->pins_end = true;
		/* Perhaps nobody was promised this one. */
		if (file->kept_until_ms > file->pinned_until_ms) {
			list_remove(files, file);
			file->kept_until_ms = file->pinned_until_ms;
			list_add(files, file);
		}
	}
	condition_signal(&files->kept_changed);
	mutex_unlock(&files->lock);
}

void value_pins_stats(struct value_files *files, struct value_pins_stats *ret_stats)
{
	mutex_lock(&files->lock);
	*ret_stats = (struct value_pins_stats){
		.kept_files = files->kept_count,
		.kept_bytes = files->kept_bytes,
		.given = files->pins_given,
		.refused = files->pins_refused,
	};
	mutex_unlock(&files->lock);
}

/* One that is to be deleted now; NULL: none, until @ret_next_ms. */
static struct value_file *pick(struct value_files *files, uint64_t *ret_next_ms)
	REQUIRES(files->lock)
{
	struct value_file *file = files->kept_first;

	*ret_next_ms = file && files->deleting ? file->kept_until_ms : UINT64_MAX;
	if (*ret_next_ms == UINT64_MAX ||
	    (*ret_next_ms > clock_monotonic_ms() && !over_bounds(files)))
		return NULL;
	list_remove(files, file);
	return file;
}

static void *run(void *state)
{
	struct value_files *files = state;

	mutex_lock(&files->lock);
	while (!files->kept_stop) {
		uint64_t next_ms;
		struct value_file *file = pick(files, &next_ms);

		if (file) {
			struct vfs_file *opened = value_file_forget_locked(files, file);

			mutex_unlock(&files->lock);
			value_file_discard(file, opened);
			mutex_lock(&files->lock);
		} else if (next_ms == UINT64_MAX) {
			condition_wait(&files->kept_changed, &files->lock);
		} else {
			condition_wait_until(&files->kept_changed, &files->lock, next_ms);
		}
	}
	mutex_unlock(&files->lock);
	return NULL;
}

int value_pins_start(struct value_files *files)
{
	int r;

	if (files->kept_started)
		return 0;
	r = -pthread_create(&files->kept_thread, NULL, run, files);
	if (r == 0)
		files->kept_started = true;
	return r;
}

void value_pins_stop(struct value_files *files)
{
	if (!files->kept_started)
		return;
	mutex_lock(&files->lock);
	files->kept_stop = true;
	condition_signal(&files->kept_changed);
	mutex_unlock(&files->lock);
	pthread_join(files->kept_thread, NULL);
	files->kept_started = false;
}

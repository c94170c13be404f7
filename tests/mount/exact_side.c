/* SPDX-License-Identifier: MIT */
/* Steps past the mounts, and the ends of mounts. */
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "tests/mount/exact.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORED_WITHIN_MS 60000

static unsigned pick_key(struct exact *exact)
{
	return (unsigned)random_below(&exact->random, exact->options->keys);
}

static void check_record(struct record *record, const char *name, const struct record_meta *meta,
			 const struct buf *value)
{
	if (value->len != record->value.len)
		report_fail("GET of %s: %zu bytes, not %zu", name, value->len, record->value.len);
	exact_expect_bytes("GET", value->data, &record->value, 0, value->len);
	if (strcmp(meta->content_type.text, record->labels.content_type) != 0 ||
	    strcmp(meta->encoding.text, record->labels.encoding) != 0)
		report_fail("GET of %s: labels are %s and %s, not %s and %s", name,
			    meta->content_type.text, meta->encoding.text,
			    record->labels.content_type, record->labels.encoding);
	exact_check_mtime("GET", name, &record->mtime, meta->mtime_ns);
}

static void get(struct exact *exact, unsigned key)
{
	struct record *record = &exact->world.records[key];
	_cleanup_(buf_deinit) struct buf value = { 0 };
	struct record_meta meta;
	int r;

	r = side_get(exact->options->side, world_names[key], &meta, &value);
	exact_expect("GET", r, record->exists ? 0 : -ENOENT);
	if (r == 0)
		check_record(record, world_names[key], &meta, &value);
}

void exact_side_get(struct exact *exact)
{
	unsigned key = pick_key(exact);

	report_note("GET %s", world_names[key]);
	get(exact, key);
}

void exact_side_get_all(struct exact *exact)
{
	for (unsigned key = 0; key < exact->options->keys; key++)
		get(exact, key);
}

void exact_wait_stored(struct exact *exact, unsigned key)
{
	const struct record *record = &exact->world.records[key];
	uint64_t deadline_ms = clock_monotonic_ms() + STORED_WITHIN_MS;

	for (;;) {
		_cleanup_(buf_deinit) struct buf value = { 0 };
		struct record_meta meta;
		int r = side_get(exact->options->side, world_names[key], &meta, &value);

		if (r == 0 && value.len == record->value.len &&
		    memcmp(value.data, record->value.data, value.len) == 0)
			return;
		if (clock_monotonic_ms() > deadline_ms)
			report_fail("%s was not stored after its last mapping had gone",
				    world_names[key]);
		poll(NULL, 0, 2);
	}
}

void exact_side_put(struct exact *exact)
{
	unsigned key = pick_key(exact);
	bool labelled = random_once_in(&exact->random, 2);
	struct bytes value = { .data = exact->data, .len = exact_pick_size(exact) };
	int64_t before_ns = clock_realtime_ns();
	struct labels labels;

	if (exact_is_mapped(exact, NULL, key))
		return;
	report_note("PUT %s %zu", world_names[key], value.len);
	random_fill(&exact->random, value.data, value.len);
	labels_default(&labels);
	if (labelled) {
		snprintf(labels.content_type, LABEL_MAX, "text/plain");
		snprintf(labels.encoding, LABEL_MAX, "utf-8");
	}
	exact_expect("PUT",
		     side_put(exact->options->side, world_names[key], value.data, value.len,
			      labelled ? labels.content_type : NULL,
			      labelled ? labels.encoding : NULL),
		     0);
	world_store(&exact->world, -1, key, &value, &labels, span_now(before_ns));
}

void exact_side_delete(struct exact *exact)
{
	unsigned key = pick_key(exact);

	if (exact_is_mapped(exact, NULL, key))
		return;
	report_note("DELETE %s", world_names[key]);
	exact_expect("DELETE", side_delete(exact->options->side, world_names[key]),
		     exact->world.records[key].exists ? 0 : -ENOENT);
	if (exact->world.records[key].exists)
		world_remove(&exact->world, -1, key);
}

static bool may_end(struct exact *exact, unsigned mount)
{
	for (unsigned key = 0; key < WORLD_KEYS; key++)
		if (exact_is_mapped(exact, exact->world.linked[mount][key], key))
			return false;
	for (size_t i = 0; i < EXACT_OPENS; i++) {
		const struct open *open = &exact->opens[i];

		/* Which of two unsaved files of one name is the last is anybody's guess. */
		if (open->file && open->file->mount == mount && !open->file->linked &&
		    file_is_local(open->file) && !open->file->deleted)
			return false;
	}
	return true;
}

/* Everything that this mount has open is closed. @clean: as programs do, before the end. */
static void close_all(struct exact *exact, unsigned mount, bool clean)
{
	for (size_t i = 0; i < EXACT_MAPS; i++) {
		struct map *map = &exact->maps[i];

		if (!map->data || map->open->file->mount != mount)
			continue;
		if (clean)
			exact_sync_maps(exact, map->open->file);
		munmap(map->data, map->len);
		map->data = NULL;
		map->open->maps--;
		if (map->open->maps == 0 && map->open->fd < 0)
			exact_released(exact, map->open);
	}
	for (size_t i = 0; i < EXACT_OPENS; i++) {
		struct open *open = &exact->opens[i];
		int r;

		if (!open->file || open->file->mount != mount)
			continue;
		if (clean)
			exact_sync_begun(exact, open);
		r = close(open->fd) < 0 ? -errno : 0;
		if (clean) {
			exact_expect("close", r, 0);
			if (open->sends)
				world_flush(&exact->world, open->file);
		}
		open->fd = -1;
		exact_released(exact, open);
	}
}

/* Only what is stored outlives a mount. */
static void forget(struct exact *exact, unsigned mount)
{
	for (unsigned i = 0; i < WORLD_NAMES; i++) {
		struct file *file = exact->world.linked[mount][i];

		if (!file)
			continue;
		file->unsaved = file->mapped_unsaved = false;
		world_unlink(&exact->world, file);
	}
	for (size_t i = 0; i < EXACT_OPENS; i++)
		if (exact->opens[i].file && exact->opens[i].file->mount == mount)
			exact->opens[i].file->deleted = true;
}

static void sync_all_maps(struct exact *exact, unsigned mount)
{
	for (size_t i = 0; i < EXACT_OPENS; i++)
		if (exact->opens[i].file && exact->opens[i].file->mount == mount)
			exact_sync_maps(exact, exact->opens[i].file);
}

static void save_all(struct exact *exact, unsigned mount)
{
	for (unsigned i = 0; i < WORLD_KEYS; i++)
		if (exact->world.linked[mount][i])
			world_flush(&exact->world, exact->world.linked[mount][i]);
}

void exact_remount(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact);
	enum site_end how = (enum site_end)random_below(&exact->random, 3);
	int status;

	if (!exact->options->remounts || !may_end(exact, mount))
		return;
	report_note("%u %s", mount,
		    how == SITE_UNMOUNT     ? "unmount"
		    : how == SITE_TERMINATE ? "terminate"
					    : "kill");
	if (how == SITE_UNMOUNT)
		close_all(exact, mount, true);
	else
		sync_all_maps(exact, mount);
	status = site_end(mount, how);
	if (how == SITE_TERMINATE)
		save_all(exact, mount);
	exact_expect("status of hexkv-fs", status, how == SITE_KILL ? 128 + 9 : 0);
	forget(exact, mount);
	close_all(exact, mount, false);
	site_begin(mount);
}

void exact_end(struct exact *exact)
{
	for (unsigned mount = 0; mount < exact->options->mounts; mount++) {
		close_all(exact, mount, false);
		forget(exact, mount);
	}
	for (unsigned key = 0; key < WORLD_KEYS; key++)
		free(exact->world.records[key].value.data);
}

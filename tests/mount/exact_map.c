/* SPDX-License-Identifier: MIT */
/* Steps on mappings. What lies beyond the end of the file is never touched. */
#include "lib/clock.h"
#include "tests/mount/exact.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct map *pick_map(struct exact *exact)
{
	struct map *map = &exact->maps[random_below(&exact->random, EXACT_MAPS)];

	return map->data ? map : NULL;
}

/* How much of the mapping the file still reaches. */
static size_t reach(const struct map *map)
{
	size_t len = map->open->file->content.len;

	return len < map->len ? len : map->len;
}

void exact_map(struct exact *exact)
{
	struct map *map = &exact->maps[random_below(&exact->random, EXACT_MAPS)];
	struct open *open = exact_pick_open(exact, false);

	if (map->data || !open || !open->readable || open->file->content.len == 0)
		return;
	map->open = open;
	map->len = open->file->content.len;
	map->writable = open->writable;
	map->changed = false;
	report_note("%u map %s %zu%s", open->file->mount, world_names[open->file->name], map->len,
		    map->writable ? " writable" : "");
	map->data = mmap(NULL, map->len, map->writable ? PROT_READ | PROT_WRITE : PROT_READ,
			 MAP_SHARED, open->fd, 0);
	if (map->data == MAP_FAILED)
		report_fail("mmap: %s", strerror(errno));
	open->maps++;
}

void exact_map_check(struct exact *exact)
{
	struct map *map = pick_map(exact);

	if (!map)
		return;
	report_note("%u look through the mapping of %s", map->open->file->mount,
		    world_names[map->open->file->name]);
	exact_expect_bytes("mapped", map->data, &map->open->file->content, 0, reach(map));
}

void exact_map_change(struct exact *exact)
{
	struct map *map = pick_map(exact);
	int64_t now_ns = clock_realtime_ns();
	size_t offset, len;
	struct file *file;

	if (!map || !map->writable || reach(map) == 0)
		return;
	file = map->open->file;
	/* One that is not the current version is not stored again through a mapping: when that
	 * happens is for the kernel to say. */
	if (!file->deleted && !world_is_temporary(file->name) &&
	    (!file->linked || exact_is_mapped(exact, file, file->name) ||
	     (!file_is_local(file) && file->version != exact->world.records[file->name].version)))
		return;
	offset = random_below(&exact->random, reach(map));
	len = exact_pick_size(exact);
	if (len > reach(map) - offset)
		len = reach(map) - offset;
	report_note("%u change %s %zu+%zu through its mapping", file->mount,
		    world_names[file->name], offset, len);
	random_fill(&exact->random, exact->data, len);
	memcpy(map->data + offset, exact->data, len);
	bytes_write(&file->content, offset, exact->data, len);
	file->mapped_unsaved |= !file->deleted && len > 0;
	file->mapped_changed |= len > 0;
	if (file->mtime.from_ns > now_ns)
		file->mtime.from_ns = now_ns;
	file->mtime.to_ns = INT64_MAX;
	map->changed |= len > 0;
}

void exact_sync_maps(struct exact *exact, struct file *file)
{
	bool synced = false;

	for (size_t i = 0; i < EXACT_MAPS; i++) {
		struct map *map = &exact->maps[i];

		if (!map->data || map->open->file != file || !map->changed)
			continue;
		exact_expect("msync", msync(map->data, map->len, MS_SYNC) < 0 ? -errno : 0,
			     exact_fsync_result(exact, file));
		map->changed = false;
		synced = true;
	}
	file->unsaved |= file->mapped_unsaved;
	file->mapped_unsaved = file->mapped_changed = false;
	if (file->mtime.to_ns == INT64_MAX)
		file->mtime.to_ns = clock_realtime_ns();
	/* msync(2) is fsync(2). */
	if (synced)
		world_flush(&exact->world, file);
}

void exact_unmap(struct exact *exact)
{
	struct map *map = pick_map(exact);
	struct file *file;

	if (!map)
		return;
	file = map->open->file;
	if (map->open->fd < 0 && map->open->maps == 1 && !world_is_temporary(file->name) &&
	    exact_is_mapped(exact, file, file->name))
		return;
	report_note("%u unmap %s", file->mount, world_names[file->name]);
	if (map->changed) {
		file->unsaved |= file->mapped_unsaved;
		file->mapped_unsaved = false;
	}
	exact_expect("munmap", munmap(map->data, map->len) < 0 ? -errno : 0, 0);
	map->data = NULL;
	if (--map->open->maps == 0 && map->open->fd < 0)
		exact_released(exact, map->open);
}

void exact_map_private(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);
	const struct bytes *content;
	size_t offset, len;
	uint8_t *data;

	if (!open || !open->readable || open->file->content.len == 0)
		return;
	content = &open->file->content;
	report_note("%u private mapping of %s", open->file->mount, world_names[open->file->name]);
	data = mmap(NULL, content->len, PROT_READ | PROT_WRITE, MAP_PRIVATE, open->fd, 0);
	if (data == MAP_FAILED)
		report_fail("mmap: %s", strerror(errno));
	offset = random_below(&exact->random, content->len);
	len = random_below(&exact->random, content->len - offset);
	memset(data + offset, 0x5a, len);
	exact_expect_bytes("before a private change", data, content, 0, offset);
	exact_expect_bytes("behind a private change", data + offset + len, content, offset + len,
			   content->len - offset - len);
	munmap(data, content->len);
	exact_check_file(exact, open->fd, open->file, "privately mapped");
}

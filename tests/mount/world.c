/* SPDX-License-Identifier: MIT */
#include "tests/mount/world.h"

#include "lib/clock.h"
#include "lib/record.h"
#include "tests/mount/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const world_names[WORLD_NAMES] = {
	"00a0",         "00a1",      "00a2",      "00a3",      "00a4",
	"00a5",         "00a6",      "00a7",      "00a0~",     ".tmp-of-a-program",
	".00a1.aB3xY9", "sedQw3rTy", "00a2.tmp7", ".00a3.swp",
};

void bytes_truncate(struct bytes *bytes, size_t len)
{
	if (len > bytes->len) {
		bytes->data = realloc(bytes->data, len);
		if (!bytes->data)
			report_fail("out of memory");
		memset(bytes->data + bytes->len, 0, len - bytes->len);
	}
	bytes->len = len;
}

void bytes_write(struct bytes *bytes, size_t offset, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (offset + len > bytes->len)
		bytes_truncate(bytes, offset + len);
	memcpy(bytes->data + offset, data, len);
}

void bytes_set(struct bytes *bytes, const void *data, size_t len)
{
	bytes->len = 0;
	bytes_write(bytes, 0, data, len);
}

void labels_default(struct labels *labels)
{
	snprintf(labels->content_type, LABEL_MAX, "%s", CONTENT_TYPE_DEFAULT);
	snprintf(labels->encoding, LABEL_MAX, "%s", ENCODING_DEFAULT);
}

struct span span_now(int64_t from_ns)
{
	return (struct span){ .from_ns = from_ns, .to_ns = clock_realtime_ns() };
}

bool file_is_local(const struct file *file)
{
	return world_is_temporary(file->name) || file->deleted || file->unsaved ||
	       file->mapped_unsaved;
}

struct file *file_ref(struct file *file)
{
	file->references++;
	return file;
}

void file_unref(struct file *file)
{
	if (--file->references > 0)
		return;
	free(file->content.data);
	free(file);
}

void world_unlink(struct world *world, struct file *file)
{
	if (!file->linked)
		return;
	file->linked = false;
	world->linked[file->mount][file->name] = NULL;
	file_unref(file);
}

static void link_file(struct world *world, struct file *file)
{
	struct file *other = world->linked[file->mount][file->name];

	if (other == file)
		return;
	if (other)
		world_unlink(world, other);
	world->linked[file->mount][file->name] = file_ref(file);
	file->linked = true;
}

struct file *world_create(struct world *world, unsigned mount, unsigned name)
{
	struct file *file = calloc(1, sizeof(*file));
	int64_t now_ns = clock_realtime_ns();

	if (!file)
		report_fail("out of memory");
	file->references = 1;
	file->mount = mount;
	file->name = name;
	file->hides = -1;
	file->mtime = (struct span){ now_ns, now_ns };
	labels_default(&file->labels);
	link_file(world, file);
	return file;
}

void world_mark_deleted(struct world *world, struct file *file)
{
	file->deleted = true;
	file->unsaved = file->mapped_unsaved = false;
	world_unlink(world, file);
}

void world_rename(struct world *world, struct file *file, unsigned name)
{
	file_ref(file);
	world_unlink(world, file);
	file->name = name;
	link_file(world, file);
	file_unref(file);
}

void world_set_hides(struct world *world, struct file *file, int key, uint64_t version)
{
	(void)world;
	file->hides = key;
	file->hides_version = version;
}

void world_unhide(struct world *world, unsigned mount, unsigned key)
{
	for (unsigned i = WORLD_KEYS; i < WORLD_NAMES; i++) {
		struct file *file = world->linked[mount][i];

		if (file && file->hides == (int)key)
			world_set_hides(world, file, -1, 0);
	}
}

bool world_is_hidden(const struct world *world, unsigned mount, unsigned key)
{
	for (unsigned i = WORLD_KEYS; i < WORLD_NAMES; i++) {
		const struct file *file = world->linked[mount][i];

		if (file && file->hides == (int)key &&
		    world->records[key].version <= file->hides_version)
			return true;
	}
	return false;
}

struct file *world_look(struct world *world, unsigned mount, unsigned name)
{
	struct file *file = world->linked[mount][name];
	const struct record *record;

	if ((file && file_is_local(file)) || world_is_temporary(name))
		return file;
	record = &world->records[name];
	if (!record->exists || world_is_hidden(world, mount, name)) {
		if (file)
			world_unlink(world, file);
		return NULL;
	}
	if (file && file->version == record->version)
		return file;
	file = world_create(world, mount, name);
	file->stored = true;
	file->version = record->version;
	file->labels = record->labels;
	file->mtime = record->mtime;
	bytes_set(&file->content, record->value.data, record->value.len);
	/* Now the name's only. */
	file_unref(file);
	return file;
}

static void changed(struct world *world, int by, unsigned key)
{
	world->records[key].version = ++world->versions;
	for (int i = 0; i < WORLD_MOUNTS; i++)
		if (i != by)
			world->records[key].foreign_ms[i] = clock_monotonic_ms();
}

void world_store(struct world *world, int by, unsigned key, const struct bytes *value,
		 const struct labels *labels, struct span mtime)
{
	struct record *record = &world->records[key];

	record->exists = true;
	if (value)
		bytes_set(&record->value, value->data, value->len);
	if (labels)
		record->labels = *labels;
	record->mtime = mtime;
	changed(world, by, key);
}

void world_remove(struct world *world, int by, unsigned key)
{
	world->records[key].exists = false;
	changed(world, by, key);
}

void world_save(struct world *world, struct file *file)
{
	world_store(world, (int)file->mount, file->name, &file->content, &file->labels,
		    file->mtime);
	file->stored = true;
	file->unsaved = file->mapped_unsaved = false;
	file->labels_set = false;
	file->version = world->records[file->name].version;
	world_unhide(world, file->mount, file->name);
	link_file(world, file);
}

void world_flush(struct world *world, struct file *file)
{
	file->unsaved |= file->mapped_unsaved;
	file->mapped_unsaved = false;
	if (!file->unsaved || world_is_temporary(file->name))
		return;
	if (file->deleted) {
		file->unsaved = false;
		return;
	}
	/* What was changed through a mapping has come to the mount with this. */
	if (file->mtime.to_ns == INT64_MAX)
		file->mtime.to_ns = clock_realtime_ns();
	world_save(world, file);
}

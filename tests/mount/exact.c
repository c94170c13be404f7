/* SPDX-License-Identifier: MIT */
#include "tests/mount/exact.h"

#include "lib/clock.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
	exact_step *step;
	unsigned weight;
} steps[] = {
	{ exact_open, 20 },     { exact_close, 13 },       { exact_pread, 14 },
	{ exact_pwrite, 20 },   { exact_append, 5 },       { exact_ftruncate, 5 },
	{ exact_fsync, 4 },     { exact_fstat, 4 },        { exact_verify, 6 },
	{ exact_map, 4 },       { exact_map_change, 10 },  { exact_map_check, 5 },
	{ exact_unmap, 4 },     { exact_map_private, 2 },  { exact_stat, 10 },
	{ exact_truncate, 4 },  { exact_unlink, 5 },       { exact_rename, 10 },
	{ exact_utimens, 4 },   { exact_list, 3 },         { exact_set_label, 4 },
	{ exact_get_label, 5 }, { exact_remove_label, 1 }, { exact_refused, 1 },
	{ exact_side_get, 12 }, { exact_side_put, 6 },     { exact_side_delete, 2 },
	{ exact_remount, 1 },
};

const char *exact_path(const struct exact *exact, unsigned mount, unsigned name)
{
	static char paths[4][PATH_MAX + 64];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", exact->options->sites[mount].path,
		 world_names[name]);
	return path;
}

unsigned exact_pick_mount(struct exact *exact)
{
	return (unsigned)random_below(&exact->random, exact->options->mounts);
}

unsigned exact_pick_name(struct exact *exact)
{
	if (exact->options->keys == 1 || !random_once_in(&exact->random, 4))
		return (unsigned)random_below(&exact->random, exact->options->keys);
	return (unsigned)(WORLD_KEYS + random_below(&exact->random, WORLD_NAMES - WORLD_KEYS));
}

/* Around the sizes at which something changes. */
size_t exact_pick_size(struct exact *exact)
{
	static const size_t edges[] = { 4096, 65536, 65536, 131072, 1u << 20, 2u << 20 };
	struct random *random = &exact->random;

	switch (random_below(random, 16)) {
	case 0:
		return 0;
	case 1:
	case 2:
		return edges[random_below(random, 6)] + random_below(random, 5) - 2;
	case 3:
	case 4:
		return random_below(random, 300000);
	case 5:
		return random_once_in(random, 3) ? random_below(random, 3u << 20) : 65537;
	case 6:
	case 7:
	case 8:
		return random_below(random, 20000);
	default:
		return random_below(random, 200);
	}
}

struct open *exact_pick_open(struct exact *exact, bool writable)
{
	size_t start = random_below(&exact->random, EXACT_OPENS);

	for (size_t i = 0; i < EXACT_OPENS; i++) {
		struct open *open = &exact->opens[(start + i) % EXACT_OPENS];

		if (open->file && open->fd >= 0 && (!writable || open->writable))
			return open;
	}
	return NULL;
}

void exact_expect(const char *what, long result, long expected)
{
	if (result != expected)
		report_fail("%s: %ld%s%s%s, not %ld", what, result, result < 0 ? " (" : "",
			    result < 0 ? strerror((int)-result) : "", result < 0 ? ")" : "",
			    expected);
}

void exact_expect_bytes(const char *what, const uint8_t *data, const struct bytes *content,
			size_t offset, size_t len)
{
	size_t i = 0;

	if (len == 0 || memcmp(data, content->data + offset, len) == 0)
		return;
	while (data[i] == content->data[offset + i])
		i++;
	report_fail("%s: byte %zu of %zu is %02x, not %02x", what, offset + i, content->len,
		    data[i], content->data[offset + i]);
}

void exact_check_file(struct exact *exact, int fd, const struct file *file, const char *what)
{
	size_t offset = 0;
	struct stat st;

	exact_expect(what, fstat(fd, &st) < 0 ? -errno : 0, 0);
	if ((size_t)st.st_size != file->content.len)
		report_fail("%s %s: size is %zu, not %zu", what, world_names[file->name],
			    (size_t)st.st_size, file->content.len);
	for (;;) {
		size_t len = 1 + random_below(&exact->random, 2u << 20);
		ssize_t n = pread(fd, exact->expected, len, (off_t)offset);

		if (n < 0)
			report_fail("%s %s: %s", what, world_names[file->name], strerror(errno));
		if (offset + (size_t)n > file->content.len)
			report_fail("%s %s: more than %zu bytes", what, world_names[file->name],
				    file->content.len);
		exact_expect_bytes(what, exact->expected, &file->content, offset, (size_t)n);
		offset += (size_t)n;
		if (n == 0)
			break;
	}
	if (offset != file->content.len)
		report_fail("%s %s: %zu bytes, not %zu", what, world_names[file->name], offset,
			    file->content.len);
}

void exact_check_mtime(const char *what, const char *name, struct span *mtime, int64_t mtime_ns)
{
	if (mtime_ns < mtime->from_ns || mtime_ns > mtime->to_ns)
		report_fail("%s of %s: mtime is %lld, not between %lld and %lld", what, name,
			    (long long)mtime_ns, (long long)mtime->from_ns,
			    (long long)mtime->to_ns);
	/* The kernel may yet write what was changed through a mapping. */
	if (mtime->to_ns != INT64_MAX)
		*mtime = (struct span){ mtime_ns, mtime_ns };
}

void exact_check_time(struct exact *exact, int fd, struct file *file, const char *what)
{
	struct record *record = &exact->world.records[file->name];
	struct stat st;

	exact_expect(what, fstat(fd, &st) < 0 ? -errno : 0, 0);
	exact_check_mtime(what, world_names[file->name], &file->mtime,
			  st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec);
	if (!file_is_local(file) && record->exists && record->version == file->version)
		record->mtime = file->mtime;
}

bool exact_is_mapped(const struct exact *exact, const struct file *mine, unsigned key)
{
	for (size_t i = 0; i < EXACT_OPENS; i++) {
		const struct file *file = exact->opens[i].file;

		if (file && file != mine && file->name == key && !file->deleted &&
		    file->mapped_unsaved)
			return true;
	}
	return false;
}

void exact_withdraw(struct exact *exact, unsigned mount, unsigned name, const struct file *but)
{
	for (size_t i = 0; i < EXACT_OPENS; i++) {
		struct file *file = exact->opens[i].file;

		if (file && file != but && file->mount == mount && file->name == name &&
		    !file->linked && !file->deleted)
			world_mark_deleted(&exact->world, file);
	}
}

struct file *exact_settle(struct exact *exact, unsigned mount, unsigned name)
{
	struct file *file = exact->world.linked[mount][name];
	int fd;

	if (world_is_temporary(name) || (file && file_is_local(file)))
		return file;
	fd = open(exact_path(exact, mount, name), O_RDONLY);
	file = world_look(&exact->world, mount, name);
	exact_expect("open", fd < 0 ? -errno : 0, file ? 0 : -ENOENT);
	if (fd >= 0)
		close(fd);
	return file;
}

void exact_released(struct exact *exact, struct open *open)
{
	struct file *file = open->file;
	bool last = open->sends;

	open->file = NULL;
	for (size_t i = 0; i < EXACT_OPENS; i++)
		last = last && !(exact->opens[i].file == file && exact->opens[i].sends);
	if (last && file->unsaved && !file->deleted && !world_is_temporary(file->name)) {
		world_flush(&exact->world, file);
		exact_wait_stored(exact, file->name);
		if (file->mtime.to_ns == INT64_MAX)
			file->mtime.to_ns = clock_realtime_ns();
		exact->world.records[file->name].mtime = file->mtime;
	}
	file_unref(file);
}

static exact_step *pick_step(struct exact *exact)
{
	unsigned total = 0;
	size_t at, i = 0;

	for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++)
		total += steps[j].weight;
	at = random_below(&exact->random, total);
	while (at >= steps[i].weight)
		at -= steps[i++].weight;
	return steps[i].step;
}

void exact_run(const struct exact_options *options)
{
	struct exact *exact = calloc(1, sizeof(*exact));
	uint64_t end_ms = clock_monotonic_ms() + options->seconds * 1000;

	if (!exact)
		report_fail("out of memory");
	exact->options = options;
	exact->random.state = options->seed;
	exact->world.mounts = options->mounts;
	exact->data = malloc(EXACT_BYTES_MAX);
	exact->expected = malloc(EXACT_BYTES_MAX);
	if (!exact->data || !exact->expected)
		report_fail("out of memory");
	for (size_t i = 0; i < EXACT_OPENS; i++)
		exact->opens[i].fd = -1;
	for (unsigned key = 0; key < WORLD_KEYS; key++) {
		int r = side_delete(options->side, world_names[key]);

		if (r < 0 && r != -ENOENT)
			exact_expect("DELETE", r, 0);
	}
	for (uint64_t step = 1; step <= options->steps; step++) {
		if (options->seconds > 0 && clock_monotonic_ms() > end_ms)
			break;
		report_step(step);
		pick_step(exact)(exact);
		if (options->checks)
			exact_side_get_all(exact);
		if (step == options->until)
			report_fail("stopped there, as asked");
	}
	exact_end(exact);
	free(exact->data);
	free(exact->expected);
	free(exact);
}

/* SPDX-License-Identifier: MIT */
/* Steps on open files. */
#include "lib/clock.h"
#include "tests/mount/exact.h"
#include "tests/mount/report.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct open *free_slot(struct exact *exact)
{
	for (size_t i = 0; i < EXACT_OPENS; i++)
		if (!exact->opens[i].file)
			return &exact->opens[i];
	return NULL;
}

static int pick_flags(struct exact *exact)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR };
	int flags = modes[random_below(&exact->random, 4)];

	if (flags != O_RDONLY && random_once_in(&exact->random, 4))
		flags |= O_TRUNC;
	if (random_once_in(&exact->random, 2))
		flags |= O_CREAT;
	if ((flags & O_CREAT) && random_once_in(&exact->random, 3))
		flags |= O_EXCL;
	if (flags != O_RDONLY && random_once_in(&exact->random, 5))
		flags |= O_APPEND;
	return flags;
}

/* What an editor moved aside lends its labels to what it makes anew. */
static void inherit_labels(const struct world *world, struct file *file)
{
	uint64_t newest = 0;

	for (unsigned i = WORLD_KEYS; i < WORLD_NAMES; i++) {
		const struct file *aside = world->linked[file->mount][i];

		if (!aside || aside->hides != (int)file->name || aside->hides_version < newest)
			continue;
		newest = aside->hides_version;
		file->labels = aside->labels;
	}
}

static void open_new(struct exact *exact, struct open *open, unsigned mount, unsigned name,
		     int flags)
{
	struct world *world = &exact->world;
	int64_t before_ns = clock_realtime_ns();
	struct file *file;

	open->fd = openat(AT_FDCWD, exact_path(exact, mount, name), flags, 0644);
	exact_expect("create", open->fd < 0 ? -errno : 0, 0);
	file = world_create(world, mount, name);
	file->mtime = span_now(before_ns);
	file->unsaved = true;
	inherit_labels(world, file);
	if ((flags & O_EXCL) && !world_is_temporary(name) && !world_is_hidden(world, mount, name)) {
		world_save(world, file);
	}
	open->file = file;
}

void exact_open(struct exact *exact)
{
	struct open *open = free_slot(exact);
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	int flags = pick_flags(exact);
	int64_t before_ns = clock_realtime_ns();
	struct file *file;

	if (!open)
		return;
	/* A name that is gone elsewhere may be thought to exist for a second. */
	file = flags & O_EXCL ? exact_settle(exact, mount, name)
			      : world_look(&exact->world, mount, name);
	if (!world_is_temporary(name) && exact_is_mapped(exact, file, name))
		return;
	report_note("%u open %s%s%s%s%s%s", mount, world_names[name],
		    (flags & O_ACCMODE) == O_RDONLY ? " r" : "",
		    (flags & O_ACCMODE) != O_RDONLY ? " w" : "", flags & O_CREAT ? " creat" : "",
		    flags & O_EXCL ? " excl" : "", flags & O_TRUNC ? " trunc" : "");
	memset(open, 0, sizeof(*open));
	open->readable = (flags & O_ACCMODE) != O_WRONLY;
	open->writable = (flags & O_ACCMODE) != O_RDONLY;
	open->appends = flags & O_APPEND;
	open->sends = open->writable || (!file && (flags & O_CREAT));
	if (!file && (flags & O_CREAT)) {
		open_new(exact, open, mount, name, flags);
		return;
	}
	if (file && (flags & O_EXCL)) {
		exact_expect("exclusive open of what exists",
			     openat(AT_FDCWD, exact_path(exact, mount, name), flags, 0644) < 0
				     ? -errno
				     : 0,
			     -EEXIST);
		return;
	}
	open->fd = openat(AT_FDCWD, exact_path(exact, mount, name), flags, 0644);
	exact_expect("open", open->fd < 0 ? -errno : 0, file ? 0 : -ENOENT);
	if (!file)
		return;
	open->file = file_ref(file);
	if (flags & O_TRUNC) {
		bytes_truncate(&file->content, 0);
		exact_changed(file, before_ns);
	}
	if (open->readable && random_once_in(&exact->random, 3))
		exact_check_file(exact, open->fd, file, "opened");
}

void exact_sync_begun(struct exact *exact, struct open *open)
{
	struct file *file = open->file;

	if (!open->sends || !file->unsaved || file->content.len > 0 ||
	    world_is_temporary(file->name) || file->deleted)
		return;
	exact_expect("fsync", fsync(open->fd) < 0 ? -errno : 0, 0);
	world_flush(&exact->world, file);
}

void exact_close(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);

	if (!open || (open->sends && !world_is_temporary(open->file->name) &&
		      exact_is_mapped(exact, open->file, open->file->name)))
		return;
	report_note("%u close %s", open->file->mount, world_names[open->file->name]);
	exact_sync_begun(exact, open);
	exact_expect("close", close(open->fd) < 0 ? -errno : 0, 0);
	open->fd = -1;
	if (open->sends)
		world_flush(&exact->world, open->file);
	if (open->maps == 0)
		exact_released(exact, open);
}

void exact_pread(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);
	const struct bytes *content;
	size_t offset, len, expected;
	ssize_t n;

	if (!open || !open->readable)
		return;
	content = &open->file->content;
	offset = random_below(&exact->random, content->len + content->len / 4 + 10);
	len = exact_pick_size(exact);
	expected = offset >= content->len        ? 0
		   : len < content->len - offset ? len
						 : content->len - offset;
	report_note("%u pread %s %zu+%zu", open->file->mount, world_names[open->file->name], offset,
		    len);
	n = pread(open->fd, exact->data, len, (off_t)offset);
	exact_expect("pread", n < 0 ? -errno : n, (long)expected);
	exact_expect_bytes("pread", exact->data, content, offset, expected);
}

void exact_changed(struct file *file, int64_t before_ns)
{
	file->unsaved = true;
	file->mtime = span_now(before_ns);
	/* The kernel may yet write what was changed through a mapping. */
	if (file->mapped_unsaved || (file->deleted && file->mapped_changed))
		file->mtime.to_ns = INT64_MAX;
}

/* Before a change: false if it can't be made now. What was replaced elsewhere is stored again at
 * once, so that names stay certain. */
static bool may_change(struct exact *exact, const struct open *open, bool *ret_sync)
{
	struct file *file = open->file, *current;

	*ret_sync = false;
	if (file->deleted || world_is_temporary(file->name))
		return true;
	if (exact_is_mapped(exact, file, file->name))
		return false;
	if (file->linked &&
	    (file_is_local(file) || file->version == exact->world.records[file->name].version))
		return true;
	current = exact_settle(exact, file->mount, file->name);
	*ret_sync = current != file;
	return current == file || !current || !file_is_local(current);
}

static void after_change(struct exact *exact, struct open *open, int64_t before_ns, bool sync)
{
	struct file *file = open->file;

	exact_changed(file, before_ns);
	/* From its change on the time is known to the nanosecond. */
	if (random_once_in(&exact->random, 2))
		exact_check_time(exact, open->fd, file, "fstat after a change");
	if (!sync)
		return;
	report_note("  and fsync");
	exact_expect("fsync after a change of what was replaced", fsync(open->fd) < 0 ? -errno : 0,
		     0);
	world_flush(&exact->world, file);
	/* Else the kernel may go on for a second with the file that had the name. */
	(void)exact_settle(exact, file->mount, file->name);
}

static void write_at(struct exact *exact, struct open *open, size_t offset, size_t len)
{
	struct file *file = open->file;
	int64_t before_ns = clock_realtime_ns();
	bool sync;
	ssize_t n;

	if (offset + len > EXACT_BYTES_MAX || !may_change(exact, open, &sync))
		return;
	report_note("%u write %s %zu+%zu%s%s%s", file->mount, world_names[file->name], offset, len,
		    open->appends ? " append" : "", file->deleted ? " deleted" : "",
		    file->linked ? "" : " unlinked");
	random_fill(&exact->random, exact->data, len);
	n = pwrite(open->fd, exact->data, len, (off_t)offset);
	exact_expect("write", n < 0 ? -errno : n, (long)len);
	if (len == 0)
		return;
	bytes_write(&file->content, offset, exact->data, len);
	after_change(exact, open, before_ns, sync);
}

void exact_pwrite(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, true);
	size_t len = exact_pick_size(exact), size, offset;

	if (!open)
		return;
	size = open->file->content.len;
	offset = random_once_in(&exact->random, 3) ? size
						   : random_below(&exact->random, size + 1000);
	if (random_once_in(&exact->random, 8))
		offset += exact_pick_size(exact);
	/* Linux appends whatever offset pwrite() names. */
	write_at(exact, open, open->appends ? size : offset, len);
}

void exact_append(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, true);

	if (open)
		write_at(exact, open, open->file->content.len, exact_pick_size(exact));
}

void exact_ftruncate(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, true);
	int64_t before_ns = clock_realtime_ns();
	size_t size = exact_pick_size(exact);
	bool sync;

	if (!open)
		return;
	if (random_once_in(&exact->random, 2))
		size = random_below(&exact->random, open->file->content.len + 1);
	/* Whoever touches what is mapped beyond the end dies. */
	if (!may_change(exact, open, &sync))
		return;
	report_note("%u ftruncate %s %zu", open->file->mount, world_names[open->file->name], size);
	exact_expect("ftruncate", ftruncate(open->fd, (off_t)size) < 0 ? -errno : 0, 0);
	bytes_truncate(&open->file->content, size);
	after_change(exact, open, before_ns, sync);
}

long exact_fsync_result(const struct exact *exact, const struct file *file)
{
	bool gone = !file->deleted && !world_is_temporary(file->name) && !file_is_local(file) &&
		    file->stored && !exact->world.records[file->name].exists;

	/* What was stored and is gone may have been lost. */
	return gone ? -ESTALE : 0;
}

void exact_fsync(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);
	struct file *file;

	if (!open)
		return;
	file = open->file;
	if (!file->deleted && !world_is_temporary(file->name) &&
	    exact_is_mapped(exact, file, file->name))
		return;
	report_note("%u fsync %s", file->mount, world_names[file->name]);
	exact_expect("fsync", fsync(open->fd) < 0 ? -errno : 0, exact_fsync_result(exact, file));
	world_flush(&exact->world, file);
}

void exact_fstat(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);
	struct file *file;
	struct stat st;

	if (!open)
		return;
	file = open->file;
	exact_check_time(exact, open->fd, file, "fstat");
	exact_expect("fstat", fstat(open->fd, &st) < 0 ? -errno : 0, 0);
	if ((size_t)st.st_size != file->content.len)
		report_fail("fstat of %s: size is %zu, not %zu", world_names[file->name],
			    (size_t)st.st_size, file->content.len);
}

void exact_verify(struct exact *exact)
{
	struct open *open = exact_pick_open(exact, false);

	if (!open || !open->readable)
		return;
	report_note("%u read all of %s", open->file->mount, world_names[open->file->name]);
	exact_check_file(exact, open->fd, open->file, "read again");
}

/* SPDX-License-Identifier: MIT */
/* Steps on names. */
#include "lib/clock.h"
#include "lib/record.h"
#include "tests/mount/exact.h"
#include "tests/mount/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Names and what stat tells follow changes made elsewhere within this. */
#define FOLLOWS_MS 1000

static long result_of(int r)
{
	return r < 0 ? -errno : r;
}

/* Whether the mount need not have noticed the last change of the key yet. */
static bool is_uncertain(const struct exact *exact, unsigned mount, unsigned name, uint64_t now_ms)
{
	if (world_is_temporary(name))
		return false;
	/* Rounding, and the kernel's clock tick. */
	return now_ms < exact->world.records[name].foreign_ms[mount] + FOLLOWS_MS + 20;
}

void exact_stat(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	uint64_t now_ms = clock_monotonic_ms();
	struct file *file = exact->world.linked[mount][name];
	struct span none = { 0 }, *mtime = &none;
	struct stat st;
	bool exists;
	size_t size;
	int r = stat(exact_path(exact, mount, name), &st) < 0 ? -errno : 0;

	report_note("%u stat %s: %d", mount, world_names[name], r);
	if (file && file_is_local(file)) {
		exists = true;
		size = file->content.len;
		mtime = &file->mtime;
	} else {
		if (is_uncertain(exact, mount, name, now_ms))
			return;
		exists = !world_is_temporary(name) && exact->world.records[name].exists &&
			 !world_is_hidden(&exact->world, mount, name);
		size = exists ? exact->world.records[name].value.len : 0;
		if (exists)
			mtime = &exact->world.records[name].mtime;
	}
	exact_expect("stat", r, exists ? 0 : -ENOENT);
	if (r < 0)
		return;
	if ((size_t)st.st_size != size)
		report_fail("stat of %s: size is %zu, not %zu", world_names[name],
			    (size_t)st.st_size, size);
	exact_check_mtime("stat", world_names[name], mtime,
			  st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec);
}

/* The file that a step by name is about, as both the mount and the model know it. False: not now.
 */
static bool prepare(struct exact *exact, unsigned mount, unsigned name, struct file **ret_file)
{
	struct file *file;

	file = exact_settle(exact, mount, name);
	if (!world_is_temporary(name) && exact_is_mapped(exact, file, name))
		return false;
	if (file && file->hides >= 0 && exact_is_mapped(exact, NULL, (unsigned)file->hides))
		return false;
	if (file)
		exact_sync_maps(exact, file);
	*ret_file = file;
	return true;
}

void exact_truncate(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	size_t size = exact_pick_size(exact);
	int64_t before_ns = clock_realtime_ns();
	struct file *file;

	if (!prepare(exact, mount, name, &file))
		return;
	report_note("%u truncate %s %zu", mount, world_names[name], size);
	exact_expect("truncate", result_of(truncate(exact_path(exact, mount, name), (off_t)size)),
		     file ? 0 : -ENOENT);
	if (!file)
		return;
	bytes_truncate(&file->content, size);
	exact_changed(file, before_ns);
	world_flush(&exact->world, file);
}

/* The record that a temporary file was goes with it. */
static void remove_hidden(struct exact *exact, struct file *file)
{
	struct world *world = &exact->world;

	if (file->hides >= 0 && world->records[file->hides].exists &&
	    world->records[file->hides].version == file->hides_version)
		world_remove(world, (int)file->mount, (unsigned)file->hides);
	world_set_hides(world, file, -1, 0);
}

/* Whoever stored it. */
static void remove_record(struct exact *exact, unsigned mount, unsigned name)
{
	if (exact->world.records[name].exists)
		world_remove(&exact->world, (int)mount, name);
	world_unhide(&exact->world, mount, name);
}

void exact_unlink(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	struct file *file;

	if (!prepare(exact, mount, name, &file))
		return;
	report_note("%u unlink %s", mount, world_names[name]);
	exact_expect("unlink", result_of(unlink(exact_path(exact, mount, name))),
		     file ? 0 : -ENOENT);
	if (!file)
		return;
	file_ref(file);
	if (world_is_temporary(name))
		remove_hidden(exact, file);
	else if (file->stored || !world_is_hidden(&exact->world, mount, name))
		remove_record(exact, mount, name);
	world_mark_deleted(&exact->world, file);
	exact_withdraw(exact, mount, name, NULL);
	file_unref(file);
}

/* A file that is not a stored record becomes one: the replaced record's labels stay. */
static void save_as(struct exact *exact, struct file *file, unsigned to)
{
	const struct record *replaced = &exact->world.records[to];

	if (!file->labels_set && replaced->exists)
		file->labels = replaced->labels;
	world_rename(&exact->world, file, to);
	world_save(&exact->world, file);
	if (file->hides == (int)to)
		world_set_hides(&exact->world, file, -1, 0);
	remove_hidden(exact, file);
}

static void rename_record(struct exact *exact, struct file *file, unsigned to)
{
	struct world *world = &exact->world;
	unsigned from = file->name;

	world_flush(world, file);
	world_store(world, (int)file->mount, to, &file->content, &file->labels, file->mtime);
	world_remove(world, (int)file->mount, from);
	world_rename(world, file, to);
	file->version = world->records[to].version;
}

static void hide_record(struct exact *exact, struct file *file, unsigned to)
{
	if (file->stored)
		world_set_hides(&exact->world, file, (int)file->name, file->version);
	world_rename(&exact->world, file, to);
	file->stored = file->unsaved = false;
	file->labels_set = true;
}

static void rename_in_model(struct exact *exact, struct file *file, struct file *replaced,
			    unsigned to)
{
	if (replaced) {
		file_ref(replaced);
		remove_hidden(exact, replaced);
	}
	if (world_is_temporary(file->name) && world_is_temporary(to))
		world_rename(&exact->world, file, to);
	else if (world_is_temporary(to))
		hide_record(exact, file, to);
	else if (world_is_temporary(file->name) || !file->stored)
		save_as(exact, file, to);
	else
		rename_record(exact, file, to);
	if (replaced) {
		world_mark_deleted(&exact->world, replaced);
		file_unref(replaced);
	}
}

void exact_rename(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact);
	unsigned from = exact_pick_name(exact), to = exact_pick_name(exact);
	bool only_new = random_once_in(&exact->random, 4);
	struct file *file, *replaced;
	long expected = 0;

	if (!prepare(exact, mount, from, &file) || !prepare(exact, mount, to, &replaced))
		return;
	/* Preparing the one may have stored what the other hid. */
	file = exact->world.linked[mount][from];
	if (!file)
		expected = -ENOENT;
	else if (only_new && replaced)
		expected = -EEXIST;
	report_note("%u rename %s to %s%s", mount, world_names[from], world_names[to],
		    only_new ? " noreplace" : "");
	exact_expect(
		"rename",
		result_of(renameat2(AT_FDCWD, exact_path(exact, mount, from), AT_FDCWD,
				    exact_path(exact, mount, to), only_new ? RENAME_NOREPLACE : 0)),
		expected);
	if (expected < 0 || from == to)
		return;
	rename_in_model(exact, file, replaced, to);
	exact_withdraw(exact, mount, from, file);
	exact_withdraw(exact, mount, to, file);
}

void exact_utimens(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_NOW } };
	struct span mtime = { clock_realtime_ns(), 0 };
	struct file *file;

	if (!prepare(exact, mount, name, &file))
		return;
	if (!random_once_in(&exact->random, 3)) {
		times[1].tv_sec = (time_t)random_below(&exact->random, 4000000000u);
		times[1].tv_nsec = (long)random_below(&exact->random, 1000000000);
		mtime.from_ns = times[1].tv_sec * INT64_C(1000000000) + times[1].tv_nsec;
		mtime.to_ns = mtime.from_ns;
	}
	report_note("%u utimens %s %lld", mount, world_names[name], (long long)times[1].tv_sec);
	exact_expect("utimensat",
		     result_of(utimensat(AT_FDCWD, exact_path(exact, mount, name), times, 0)),
		     file ? 0 : -ENOENT);
	if (!file)
		return;
	file->mtime = mtime.to_ns ? mtime : span_now(mtime.from_ns);
	if (file_is_local(file))
		return;
	world_store(&exact->world, (int)mount, name, NULL, NULL, file->mtime);
	file->version = exact->world.records[name].version;
}

static bool has_labels(const struct file *file)
{
	return !world_is_temporary(file->name) || file->labels_set;
}

static char *label_of(struct file *file, bool encoding)
{
	return encoding ? file->labels.encoding : file->labels.content_type;
}

static void set_label(struct exact *exact, struct file *file, bool encoding, const char *text)
{
	snprintf(label_of(file, encoding), LABEL_MAX, "%s", text);
	if (file_is_local(file)) {
		file->labels_set = true;
		return;
	}
	world_store(&exact->world, (int)file->mount, file->name, NULL, &file->labels,
		    exact->world.records[file->name].mtime);
	file->version = exact->world.records[file->name].version;
}

static const char *attribute(bool encoding)
{
	return encoding ? "user.encoding" : "user.content_type";
}

void exact_set_label(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	bool encoding = random_once_in(&exact->random, 2);
	int flags = (int)random_below(&exact->random, 6);
	char text[LABEL_MAX];
	struct file *file;
	long expected = 0;

	if (!prepare(exact, mount, name, &file))
		return;
	snprintf(text, sizeof(text), "text/x%zu", random_below(&exact->random, 1000));
	if (flags > 2)
		flags = 0;
	if (!file)
		expected = -ENOENT;
	else if (flags == XATTR_CREATE && has_labels(file))
		expected = -EEXIST;
	else if (flags == XATTR_REPLACE && !has_labels(file))
		expected = -ENODATA;
	report_note("%u setxattr %s %s=%s", mount, world_names[name], attribute(encoding), text);
	exact_expect("setxattr",
		     result_of(setxattr(exact_path(exact, mount, name), attribute(encoding), text,
					strlen(text), flags)),
		     expected);
	if (expected == 0)
		set_label(exact, file, encoding, text);
}

void exact_get_label(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	bool encoding = random_once_in(&exact->random, 2);
	struct file *file;
	char text[300];
	ssize_t len;
	long expected = -ENOENT;

	if (!prepare(exact, mount, name, &file))
		return;
	if (file)
		expected = has_labels(file) ? (long)strlen(label_of(file, encoding)) : -ENODATA;
	len = getxattr(exact_path(exact, mount, name), attribute(encoding), text, sizeof(text));
	report_note("%u getxattr %s: %zd", mount, world_names[name], len);
	exact_expect("getxattr", len < 0 ? -errno : len, expected);
	if (len > 0 && memcmp(text, label_of(file, encoding), (size_t)len) != 0)
		report_fail("getxattr of %s: '%.*s', not '%s'", world_names[name], (int)len, text,
			    label_of(file, encoding));
}

void exact_remove_label(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), name = exact_pick_name(exact);
	bool encoding = random_once_in(&exact->random, 2);
	struct file *file;
	long expected = 0;

	if (!prepare(exact, mount, name, &file))
		return;
	if (!file)
		expected = -ENOENT;
	else if (!has_labels(file))
		expected = -ENODATA;
	report_note("%u removexattr %s", mount, world_names[name]);
	exact_expect("removexattr",
		     result_of(removexattr(exact_path(exact, mount, name), attribute(encoding))),
		     expected);
	if (expected == 0)
		set_label(exact, file, encoding,
			  encoding ? ENCODING_DEFAULT : CONTENT_TYPE_DEFAULT);
}

static void check_name(const struct exact *exact, unsigned mount, unsigned name, unsigned seen,
		       uint64_t now_ms)
{
	const struct file *file = exact->world.linked[mount][name];
	bool exists = file && file_is_local(file);

	if (seen > 1)
		report_fail("%s is listed %u times", world_names[name], seen);
	if (!exists && is_uncertain(exact, mount, name, now_ms))
		return;
	if (!exists && !world_is_temporary(name))
		exists = exact->world.records[name].exists &&
			 !world_is_hidden(&exact->world, mount, name);
	if (exists != (seen == 1))
		report_fail("%s is %slisted", world_names[name], seen ? "" : "not ");
}

void exact_list(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact), seen[WORLD_NAMES] = { 0 };
	uint64_t now_ms = clock_monotonic_ms();
	const struct dirent *entry;
	DIR *dir = opendir(exact->options->sites[mount].path);

	report_note("%u list", mount);
	if (!dir)
		report_fail("opendir: %s", strerror(errno));
	errno = 0;
	while ((entry = readdir(dir))) {
		unsigned i = 0;

		while (i < WORLD_NAMES && strcmp(entry->d_name, world_names[i]) != 0)
			i++;
		if (i < WORLD_NAMES)
			seen[i]++;
		else if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			report_fail("%s is listed", entry->d_name);
	}
	if (errno != 0)
		report_fail("readdir: %s", strerror(errno));
	closedir(dir);
	for (unsigned i = 0; i < WORLD_NAMES; i++)
		check_name(exact, mount, i, seen[i], now_ms);
}

/* What can't be stored is refused with a sensible error. */
void exact_refused(struct exact *exact)
{
	unsigned mount = exact_pick_mount(exact);
	char bad[PATH_MAX + 16], worse[PATH_MAX + 16];

	report_note("%u what is refused", mount);
	snprintf(bad, sizeof(bad), "%s/name", exact->options->sites[mount].path);
	snprintf(worse, sizeof(worse), "%s/00a", exact->options->sites[mount].path);
	exact_expect("open of no key", result_of(open(bad, O_RDONLY)), -ENOENT);
	exact_expect("create of no key", result_of(open(worse, O_WRONLY | O_CREAT, 0600)), -EPERM);
	exact_expect("mkdir", result_of(mkdir(bad, 0700)), -EPERM);
	exact_expect("symlink", result_of(symlink("x", bad)), -EPERM);
	exact_expect("unlink of no key", result_of(unlink(bad)), -ENOENT);
}

/* SPDX-License-Identifier: MIT */
/*
 * Once everything in bootstrap/ is on stable storage, and sound:
 *   1. the marker INSTALL is written, durably: from here on the new store is the one that counts;
 *   2. the old store's files are moved to replaced/; durable;
 *   3. the marker becomes INSTALL.moved, durably: what is in place from here on is new;
 *   4. the new files are moved into place; durable; bootstrap/ goes;
 *   5. the marker goes, durably; replaced/ goes.
 * Each of 2 and 4 can be begun again after a crash, as what was moved is not there to be moved any
 * more. IDENTITY and STANDING are the node's and stay where they are, but STANDING is written anew
 * in 4: what it says of the records was said of the old ones.
 */
#include "node/install.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/atomic_file.h"
#include "node/dir_tree.h"
#include "node/history.h"
#include "node/identity.h"
#include "node/manifest.h"
#include "node/request_ids_file.h"
#include "node/standing.h"
#include "node/store.h"
#include "node/wal_recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOOTSTRAP "bootstrap"
#define REPLACED  "replaced"
#define MARKER    "INSTALL"
#define MOVED     "INSTALL.moved"
#define HEX       "0123456789abcdef"

DEFINE_CLEANUP(struct manifest *, manifest_free)

static char *path_of(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

/* @name is @digits hex digits (at least, if @more), then @suffix. */
static bool is_hex_name(const char *name, size_t digits, bool more, const char *suffix)
{
	size_t n = strspn(name, HEX);

	return (n == digits || (more && n > digits && n <= 16)) && strcmp(name + n, suffix) == 0;
}

/* What a store consists of in its directory, and another one replaces. */
static bool is_replaced(const char *name)
{
	return strcmp(name, "CURRENT") == 0 || strcmp(name, "HISTORY") == 0 ||
	       strcmp(name, REQUEST_IDS_NAME) == 0 || strcmp(name, "value") == 0 ||
	       strcmp(name, "log") == 0 || is_hex_name(name, 16, false, ".seg") ||
	       (strncmp(name, "MANIFEST-", 9) == 0 && is_hex_name(name + 9, 16, false, ""));
}

bool install_name_is_valid(const char *name)
{
	if (strncmp(name, "value/", 6) == 0)
		return is_hex_name(name + 6, 16, false, ".val");
	if (strncmp(name, "log/", 4) == 0)
		return is_hex_name(name + 4, 8, true, ".wal");
	if (strcmp(name, "value") == 0 || strcmp(name, "log") == 0)
		return false;
	return is_replaced(name) || strcmp(name, "IDENTITY") == 0 || strcmp(name, "STANDING") == 0;
}

char *install_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/" BOOTSTRAP "/%s", dir, name) < 0 ? NULL : path;
}

static int make_dir(struct vfs *vfs, const char *path)
{
	int r = path ? vfs_mkdir(vfs, path) : -ENOMEM;

	return r == -EEXIST ? 0 : r;
}

int install_prepare(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *bootstrap = path_of(dir, BOOTSTRAP);
	_cleanup_(freep) char *value = install_path(dir, "value");
	_cleanup_(freep) char *log = install_path(dir, "log");
	int r = make_dir(vfs, bootstrap);

	if (r == 0)
		r = make_dir(vfs, value);
	if (r == 0)
		r = make_dir(vfs, log);
	return r == 0 ? vfs_sync_dir(vfs, dir) : r;
}

static int remove_at(struct vfs *vfs, const char *dir, const char *name)
{
	_cleanup_(freep) char *path = path_of(dir, name);

	return path ? dir_tree_remove(vfs, path) : -ENOMEM;
}

int install_discard(struct vfs *vfs, const char *dir)
{
	return remove_at(vfs, dir, BOOTSTRAP);
}

/* 1, 0, or why nobody knows. */
static int is_there(struct vfs *vfs, const char *dir, const char *name)
{
	_cleanup_(freep) char *path = path_of(dir, name);
	struct vfs_file *file = NULL;
	int r = path ? vfs_open(vfs, path, VFS_READ, &file) : -ENOMEM;

	vfs_close(file);
	return r < 0 && r != -ENOENT ? r : r == 0;
}

int install_is_due(struct vfs *vfs, const char *dir)
{
	int r = is_there(vfs, dir, MARKER);

	return r == 0 ? is_there(vfs, dir, MOVED) : r;
}

/* What is in bootstrap/ as its maker left it. */
struct copy {
	struct vfs *vfs;
	const char *dir; /* bootstrap/ */
	struct identity maker;
	struct history history;
	struct wal_mark mark; /* where its log begins, and ends */
};

static int read_mark(struct copy *copy, char **ret_why)
{
	_cleanup_(manifest_freep) struct manifest *manifest = NULL;
	struct wal_options options = { .vfs = copy->vfs, .dir = copy->dir };
	int r = manifest_open_to_read(copy->vfs, copy->dir, &manifest);

	if (r < 0)
		return r;
	memcpy(options.store_id, copy->maker.store_id, 16);
	options.flushed_position = manifest_state(manifest)->flushed;
	r = wal_verify(&options, NULL, NULL, &copy->mark, ret_why);
	if (r == 0 && copy->mark.position != options.flushed_position)
		r = -EBADMSG;
	return r;
}

static int read_copy(struct copy *copy, const struct identity *own, char **ret_why)
{
	int r = identity_read(copy->vfs, copy->dir, &copy->maker);

	if (r == 0 && strcmp(copy->maker.cluster, own->cluster) != 0) {
		wal_say(ret_why, "it is of cluster \"%s\"", copy->maker.cluster);
		return -EBADMSG;
	}
	if (r == 0)
		r = history_read(copy->vfs, copy->dir, copy->maker.store_id, &copy->history);
	if (r == 0)
		r = read_mark(copy, ret_why);
	if (r == 0 && !history_contains(&copy->history,
					(struct version){ copy->mark.epoch, copy->mark.sequence }))
		r = -EBADMSG;
	return r == -ENOENT ? -EBADMSG : r;
}

/* The own one, but for what it says of the log. */
static int make_standing(struct copy *copy, const char *dir, const struct identity *own)
{
	struct standing standing;
	int r = standing_read(copy->vfs, dir, own->store_id, &standing);

	if (r < 0)
		return r;
	standing.log_file = WAL_FIRST_FILE;
	standing.log_position = copy->mark.position;
	return standing_write(copy->vfs, copy->dir, own->store_id, &standing);
}

static int remove_then_link(struct vfs *vfs, const char *dir, const char *name)
{
	_cleanup_(freep) char *from = path_of(dir, name);
	_cleanup_(freep) char *to = install_path(dir, name);
	int r = from && to ? vfs_unlink(vfs, to) : -ENOMEM;

	return r == 0 || r == -ENOENT ? vfs_link(vfs, from, to) : r;
}

/* What stands in for the maker's own files. */
static int make_own(struct copy *copy, const char *dir, const struct identity *own)
{
	struct wal_options options = { .vfs = copy->vfs, .dir = copy->dir };
	struct history history = { 0 };
	int r;

	memcpy(options.store_id, own->store_id, 16);
	r = history_adopt(&history, copy->vfs, copy->dir, own->store_id, &copy->history.lineage,
			  copy->history.epochs, copy->history.count);
	history_deinit(&history);
	if (r == 0)
		r = remove_at(copy->vfs, copy->dir, "log");
	if (r == 0)
		r = wal_create(&options, copy->mark);
	if (r == 0)
		r = make_standing(copy, dir, own);
	if (r == 0)
		r = remove_then_link(copy->vfs, dir, "IDENTITY");
	return r;
}

struct syncing {
	struct vfs *vfs;
	const char *dir;
};

static int sync_file(const char *name, void *state)
{
	const struct syncing *syncing = state;
	_cleanup_(freep) char *path = path_of(syncing->dir, name);
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	int r;

	if (!path)
		return -ENOMEM;
	if (strcmp(name, "value") == 0 || strcmp(name, "log") == 0)
		return 0;
	r = vfs_open(syncing->vfs, path, VFS_READ, &file);
	return r == 0 ? vfs_sync(file) : r;
}

/* Contents and names; whoever fetched them need not have. */
static int sync_all(struct vfs *vfs, const char *dir)
{
	struct syncing syncing = { vfs, dir };
	int r = vfs_list(vfs, dir, sync_file, &syncing);

	return r == 0 ? vfs_sync_dir(vfs, dir) : r;
}

static void keep_first(const char *sentence, void *state)
{
	char **why = state;

	if (!*why)
		*why = strdup(sentence);
}

static int verify(struct copy *copy, char **ret_why)
{
	_cleanup_(freep) char *values = path_of(copy->dir, "value");
	int r = values ? sync_all(copy->vfs, values) : -ENOMEM;

	if (r == 0)
		r = store_check(copy->vfs, copy->dir, keep_first, ret_why);
	if (r > 0)
		return -EBADMSG;
	if (r == 0)
		r = remove_at(copy->vfs, copy->dir, "LOCK");
	return r == 0 ? sync_all(copy->vfs, copy->dir) : r;
}

#define PROMISE_TEXT "promise "

int install_mark(struct vfs *vfs, const char *dir, uint64_t promise)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	int r = 0;

	if (promise > 0)
		r = buf_printf(&text, PROMISE_TEXT "%016" PRIx64, promise);
	if (r == 0)
		r = buf_append_str(&text, "\n");
	return r < 0 ? r : atomic_file_write(vfs, dir, MARKER, text.data, text.len);
}

/* As the marker that was moved says. */
static int write_standing(struct vfs *vfs, const char *dir)
{
	_cleanup_(buf_deinit) struct buf text = { 0 };
	struct standing standing;
	struct identity own;
	int r = atomic_file_read(vfs, dir, MOVED, 256, &text);

	if (r == 0)
		r = buf_append(&text, "", 1);
	if (r == 0)
		r = identity_read(vfs, dir, &own);
	if (r == 0)
		r = standing_read(vfs, dir, own.store_id, &standing);
	if (r < 0)
		return r;
	standing.whole = false;
	standing.copied = standing.opened;
	standing.ahead = (struct version){ 0 };
	standing.log_file = standing.log_position = 0;
	if (strncmp((char *)text.data, PROMISE_TEXT, strlen(PROMISE_TEXT)) == 0)
		standing.promise = strtoull((char *)text.data + strlen(PROMISE_TEXT), NULL, 16);
	return standing_write(vfs, dir, own.store_id, &standing);
}

int install_verify(struct vfs *vfs, const char *dir, char **ret_why)
{
	_cleanup_(freep) char *bootstrap = path_of(dir, BOOTSTRAP);
	struct copy copy = { .vfs = vfs, .dir = bootstrap };
	struct identity own;
	int r;

	*ret_why = NULL;
	r = bootstrap ? identity_read(vfs, dir, &own) : -ENOMEM;
	if (r == 0)
		r = remove_at(vfs, dir, REPLACED);
	if (r == 0)
		r = read_copy(&copy, &own, ret_why);
	if (r == 0)
		r = make_own(&copy, dir, &own);
	if (r == 0)
		r = verify(&copy, ret_why);
	history_deinit(&copy.history);
	if (r == -EBADMSG && !*ret_why)
		wal_say(ret_why, "a file of it is missing or damaged");
	return r;
}

int install_complete(struct vfs *vfs, const char *dir, uint64_t promise, char **ret_why)
{
	int r = install_verify(vfs, dir, ret_why);

	return r == 0 ? install_mark(vfs, dir, promise) : r;
}

static int note_name(const char *name, void *state)
{
	return is_replaced(name) ? buf_append(state, name, strlen(name) + 1) : 0;
}

/* The store's files in @from, if it is there; both directories are durable then. */
static int move_files(struct vfs *vfs, const char *from, const char *to)
{
	struct buf names = { 0 };
	int r = vfs_list(vfs, from, note_name, &names);

	for (size_t at = 0; at < names.len && r == 0;) {
		const char *name = (const char *)names.data + at;
		_cleanup_(freep) char *old = path_of(from, name), *new = path_of(to, name);

		r = old && new ? vfs_rename(vfs, old, new) : -ENOMEM;
		at += strlen(name) + 1;
	}
	buf_deinit(&names);
	if (r < 0)
		return r;
	r = vfs_sync_dir(vfs, to);
	return r == 0 ? vfs_sync_dir(vfs, from) : r;
}

/* Steps 2 and 3. */
static int put_aside(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *replaced = path_of(dir, REPLACED);
	_cleanup_(freep) char *marker = path_of(dir, MARKER), *moved = path_of(dir, MOVED);
	int r = marker && moved ? make_dir(vfs, replaced) : -ENOMEM;

	if (r == 0)
		r = move_files(vfs, dir, replaced);
	if (r == 0)
		r = vfs_rename(vfs, marker, moved);
	return r == 0 ? vfs_sync_dir(vfs, dir) : r;
}

/* Steps 4 and 5. */
static int put_in_place(struct vfs *vfs, const char *dir)
{
	_cleanup_(freep) char *bootstrap = path_of(dir, BOOTSTRAP), *moved = path_of(dir, MOVED);
	int r = bootstrap && moved ? move_files(vfs, bootstrap, dir) : -ENOMEM;

	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = install_discard(vfs, dir);
	if (r == 0)
		r = write_standing(vfs, dir);
	if (r == 0)
		r = vfs_sync_dir(vfs, dir);
	if (r == 0)
		r = vfs_unlink(vfs, moved);
	return r == 0 ? vfs_sync_dir(vfs, dir) : r;
}

int install_finish(struct vfs *vfs, const char *dir)
{
	int due = install_is_due(vfs, dir);
	int r = due < 0 ? due : is_there(vfs, dir, MARKER);

	/* One that can't be looked for must not be taken for absent: parts may be in place. */
	if (r > 0)
		r = put_aside(vfs, dir);
	if (r == 0)
		r = is_there(vfs, dir, MOVED);
	if (r > 0)
		r = put_in_place(vfs, dir);
	if (r < 0) {
		log_error("copy not installed", "dir=%s error=\"%s\"", dir, strerror(-r));
		return r;
	}
	if (due)
		log_info("copy installed", "dir=%s", dir);
	/* Space only: it is tried again at the next opening. */
	(void)remove_at(vfs, dir, REPLACED);
	return 0;
}

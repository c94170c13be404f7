/* SPDX-License-Identifier: MIT */
/*
 * The store needs none of it, but somebody keeps it. Of a checkpoint all is read, also what it
 * shares with the store: it names other segments and values than the store does by now.
 */
#include "node/check_beside.h"

#include "lib/buf.h"
#include "lib/cleanup.h"
#include "node/checkpoint.h"
#include "node/diverged.h"
#include "node/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct diverged_reader *, diverged_reader_close)

struct beside {
	struct vfs *vfs;
	void (*problem)(const char *sentence, void *state);
	void *state;
	const char *part; /* "checkpoints/monday" */
	bool faults;
};

/* Of a part of the directory. */
static void report(const char *sentence, void *state)
{
	struct beside *beside = state;
	_cleanup_(freep) char *whole = NULL;

	beside->faults = true;
	if (asprintf(&whole, "%s: %s", beside->part, sentence) < 0)
		whole = NULL;
	beside->problem(whole ? whole : sentence, beside->state);
}

static int note_name(const char *name, void *state)
{
	return buf_append(state, name, strlen(name) + 1);
}

/* Calls @check for each name in @path, whose part is @prefix and the name. */
static int each_name(struct beside *beside, const char *path, const char *prefix,
		     int (*check)(struct beside *beside, const char *path))
{
	_cleanup_(buf_deinit) struct buf names = { 0 };
	int r = vfs_list(beside->vfs, path, note_name, &names);

	for (size_t at = 0; at < names.len && r == 0;) {
		const char *name = (const char *)names.data + at;
		_cleanup_(freep) char *full = NULL, *part = NULL;

		if (asprintf(&full, "%s/%s", path, name) < 0)
			full = NULL;
		if (asprintf(&part, "%s%s", prefix, name) < 0)
			part = NULL;
		beside->part = part;
		r = full && part ? check(beside, full) : -ENOMEM;
		at += strlen(name) + 1;
	}
	return r;
}

static int ignore_name(const char *name, void *state)
{
	(void)name;
	(void)state;
	return 0;
}

static int check_copy(struct beside *beside, const char *path)
{
	int r;

	/* Half made ones go with the next opening; and people put things where they like. */
	if (!checkpoint_name_is_valid(strrchr(path, '/') + 1) ||
	    vfs_list(beside->vfs, path, ignore_name, NULL) == -ENOTDIR)
		return 0;
	r = store_check(beside->vfs, path, report, beside);
	return r < 0 ? r : 0;
}

static int read_diverged(struct vfs *vfs, const char *path)
{
	_cleanup_(diverged_reader_closep) struct diverged_reader *reader = NULL;
	struct diverged_about about;
	struct entry entry;
	int r = diverged_reader_open(vfs, path, &about, &reader);

	if (r == 0)
		do {
			r = diverged_reader_next(reader, &entry);
		} while (r > 0);
	return r;
}

static int check_diverged(struct beside *beside, const char *path)
{
	size_t len = strlen(beside->part);
	char sentence[128];
	int r;

	if (strncmp(beside->part, "diverged-", 9) != 0 || len < 4 ||
	    strcmp(beside->part + len - 4, ".log") != 0)
		return 0;
	r = read_diverged(beside->vfs, path);
	if (r == -ENOMEM || r == 0)
		return r;
	snprintf(sentence, sizeof(sentence), "can't be read to its end: %s",
		 r == -EBADMSG ? "it is damaged" : strerror(-r));
	report(sentence, beside);
	return 0;
}

int check_beside(struct vfs *vfs, const char *dir,
		 void (*problem)(const char *sentence, void *state), void *state)
{
	struct beside beside = { .vfs = vfs, .problem = problem, .state = state };
	_cleanup_(freep) char *copies = NULL;
	int r;

	if (asprintf(&copies, "%s/checkpoints", dir) < 0) {
		copies = NULL;
		return -ENOMEM;
	}
	r = each_name(&beside, dir, "", check_diverged);
	if (r == 0)
		r = each_name(&beside, copies, "checkpoints/", check_copy);
	if (r < 0 && r != -ENOENT)
		return r;
	return beside.faults;
}

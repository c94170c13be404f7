/* SPDX-License-Identifier: MIT */
/*
 * Offline verification: every record of the log, every block of every segment, every chunk of every
 * value file that a live record or the retained log refers to; and the files beside them. The log
 * is replayed into memory so that what only the log holds is seen too; no file is changed. What
 * nothing refers to is no fault: a crash leaves such files, and the next opening removes them.
 */
#include "node/store.h"

#include "lib/cleanup.h"
#include "node/check_beside.h"
#include "node/install.h"
#include "node/request_ids_file.h"
#include "node/store_files.h"
#include "node/value_dir.h"
#include "node/wal_recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct value_seen {
	uint64_t id;
	uint64_t size_bytes;
};

struct check {
	struct vfs *vfs;
	const char *dir;
	void (*problem)(const char *sentence, void *state);
	void *state;
	bool faults;
	struct store_files files;
	struct value_files *values;
	struct lsm *lsm;
	struct store_replay replay;
	struct value_seen *seen;
	size_t seen_count, seen_cap;
	uint64_t bad_value; /* the last one of which not even the header can be read */
	bool needs_ids; /* the log begins behind requests that only REQUEST-IDS knows of */
};

static void report(struct check *check, const char *sentence)
{
	check->faults = true;
	check->problem(sentence, check->state);
}

static void report_why(struct check *check, char **why, const char *what, int r)
{
	if (!*why)
		wal_say(why, "%s: %s", what, strerror(-r));
	report(check, *why ? *why : what);
	free(*why);
	*why = NULL;
}

static int see_value(struct check *check, uint64_t id, uint64_t size_bytes)
{
	if (check->seen_count == check->seen_cap) {
		size_t cap = check->seen_cap ? check->seen_cap * 2 : 64;
		struct value_seen *seen = realloc(check->seen, cap * sizeof(*seen));

		if (!seen)
			return -ENOMEM;
		check->seen = seen;
		check->seen_cap = cap;
	}
	check->seen[check->seen_count++] = (struct value_seen){ id, size_bytes };
	return 0;
}

static int see_entry(struct check *check, const struct entry *entry)
{
	return entry->kind == ENTRY_FILE ? see_value(check, entry->file_id, entry->size_bytes) : 0;
}

static int see_record(const struct wal_record *record, void *state)
{
	struct check *check = state;
	int r = store_replay_record(record, &check->replay);

	for (uint32_t i = 0; i < record->count && r == 0; i++)
		r = see_entry(check, &check->replay.entries[i]);
	return r;
}

static int see_live(const struct entry *entry, void *state)
{
	return see_entry(state, entry);
}

/* Also of records that were replaced: a copy of the store links it. How long it is the segment
 * doesn't say. */
static int see_named(uint64_t id, void *state)
{
	return see_value(state, id, 0);
}

static int compare_seen(const void *a, const void *b)
{
	const struct value_seen *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->size_bytes < y->size_bytes ? -1 : x->size_bytes > y->size_bytes;
}

static void report_value(struct check *check, uint64_t id, uint64_t offset, int r)
{
	char sentence[160];

	snprintf(sentence, sizeof(sentence),
		 "value/%016" PRIx64 ".val: it is missing, damaged or can't be read at offset "
		 "%" PRIu64 ": %s",
		 id, offset, strerror(-r));
	report(check, sentence);
}

static int check_value(struct check *check, const struct value_seen *seen, void *chunk)
{
	uint64_t chunks = (seen->size_bytes + VALUE_CHUNK_BYTES - 1) / VALUE_CHUNK_BYTES;
	struct value_file *file;
	int r = value_file_get(check->values, seen->id, &file);

	if (r < 0)
		return r;
	/* An empty value has a file too. */
	if (check->bad_value != seen->id)
		r = value_file_check_header(file);
	if (r < 0 && r != -ENOMEM) {
		report_value(check, seen->id, 0, r);
		check->bad_value = seen->id;
	}
	for (uint64_t i = 0; i < chunks && r == 0 && check->bad_value != seen->id; i++) {
		ssize_t n = value_file_read_chunk(file, seen->size_bytes, i, chunk, 0);

		if (n == -ENOMEM)
			r = -ENOMEM;
		else if (n < 0)
			report_value(check, seen->id, value_chunk_offset(i), (int)n);
	}
	value_file_unref(file);
	return r == -ENOMEM ? r : 0;
}

static int check_values(struct check *check)
{
	_cleanup_(freep) void *chunk = malloc(VALUE_CHUNK_BYTES);
	int r = chunk ? 0 : -ENOMEM;

	if (check->seen_count > 0)
		qsort(check->seen, check->seen_count, sizeof(*check->seen), compare_seen);
	/* Each in every size that a record gives it. */
	for (size_t i = 0; i < check->seen_count && r == 0; i++)
		if (i == 0 || compare_seen(&check->seen[i], &check->seen[i - 1]) != 0)
			r = check_value(check, &check->seen[i], chunk);
	return r;
}

static int check_live(struct check *check)
{
	struct key last = { 0 };
	bool more = true;
	int r = 0;

	while (more && r == 0) {
		struct key after = last;

		r = lsm_list(check->lsm, &after, 1000, see_live, check, &more, &last);
		if (r < 0 && r != -ENOMEM) {
			report(check,
			       "the records can't be listed: a segment is damaged; the log line "
			       "before this says which and where");
			return 0;
		}
	}
	return r;
}

/* As history_cut(), in memory. */
static void forget_behind(struct history *history, uint64_t epoch)
{
	while (history->count > 0 && history->epochs[history->count - 1].epoch > epoch)
		history->count--;
}

/* A copy that nobody has opened yet: the opening removes the file when it is of no more use. */
static bool begins_in_a_copy(const struct wal_recovery *recovery)
{
	return recovery->file_count == 1 && recovery->files[0].id == WAL_FIRST_FILE &&
	       recovery->files[0].base.position > 0;
}

static int check_log(struct check *check, uint64_t flushed)
{
	struct wal_options options = {
		.vfs = check->vfs,
		.dir = check->dir,
		.flushed_position = flushed,
		.known_file = check->files.standing.log_file,
		.known_position = check->files.standing.log_position,
	};
	struct wal_recovery recovery = { 0 };
	char *why = NULL;
	int r;

	memcpy(options.store_id, check->files.identity.store_id, 16);
	check->replay.lsm = check->lsm;
	check->replay.flushed_position = flushed;
	check->replay.values = check->values;
	r = wal_recover(&options, see_record, check, &recovery, &why);
	/* What the next opening will do on disk. */
	if (r == 0 && check->replay.ends_reset)
		forget_behind(&check->files.history, recovery.end_mark.epoch);
	if (r == 0)
		r = store_files_check_end(&check->files, check->dir, recovery.end_mark, flushed,
					  &why);
	check->needs_ids = r == 0 && begins_in_a_copy(&recovery);
	wal_recovery_deinit(&recovery);
	if (r < 0 && r != -ENOMEM) {
		report_why(check, &why, "the log can't be read", r);
		r = 0;
	}
	free(why);
	return r;
}

static int check_tree(struct check *check)
{
	struct lsm_options options = {
		.vfs = check->vfs,
		.dir = check->dir,
		.memtable_bytes = UINT64_MAX, /* nothing is flushed */
		.read_only = true,
		.values = check->values,
	};
	uint64_t flushed = 0;
	char *why = NULL;
	int r;

	r = lsm_open(&options, &check->lsm, &flushed);
	if (r == -ENOMEM)
		return r;
	if (r == -EBADMSG)
		wal_say(&why, "the manifest or a segment is damaged; the log line before this says "
			      "which file and where");
	if (r < 0) {
		report_why(check, &why, "the segments can't be opened", r);
		return 0;
	}
	r = check_log(check, flushed);
	if (r == 0)
		r = lsm_check(check->lsm, check->problem, check->state);
	if (r > 0)
		check->faults = true;
	if (r >= 0)
		r = check_live(check);
	if (r >= 0)
		r = lsm_each_value(check->lsm, see_named, check);
	return r < 0 ? r : check_values(check);
}

static int find_request_ids(struct check *check)
{
	_cleanup_(vfs_closep) struct vfs_file *file = NULL;
	_cleanup_(freep) char *path = NULL;

	if (asprintf(&path, "%s/" REQUEST_IDS_NAME, check->dir) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	return vfs_open(check->vfs, path, VFS_READ, &file);
}

static int check_request_ids(struct check *check)
{
	struct request_ids *ids = request_ids_new();
	int64_t newest_ns;
	char *why = NULL;
	int r;

	if (!ids)
		return -ENOMEM;
	r = request_ids_load(ids, check->vfs, check->dir, &newest_ns);
	request_ids_free(ids);
	if (r == 0 && check->needs_ids)
		r = find_request_ids(check);
	if (r == -EPROTONOSUPPORT)
		wal_say(&why, "%s/" REQUEST_IDS_NAME " has a later format; use a later hexkv",
			check->dir);
	if (r < 0 && r != -ENOMEM) {
		report_why(check, &why, "the file " REQUEST_IDS_NAME " can't be read", r);
		r = 0;
	}
	return r;
}

static void check_deinit(struct check *check)
{
	if (check->values)
		value_files_hold(check->values);
	lsm_free(check->lsm);
	value_files_free(check->values);
	store_replay_deinit(&check->replay);
	store_files_close(&check->files);
	free(check->seen);
}

int store_check(struct vfs *vfs, const char *dir,
		void (*problem)(const char *sentence, void *state), void *state)
{
	struct check check = { .vfs = vfs, .dir = dir, .problem = problem, .state = state };
	char *why = NULL;
	int r;

	if (install_is_due(vfs, dir) > 0) {
		report(&check, "a copy of another node's store is being installed here; start the "
			       "node, which finishes it, and then check again");
		return 1;
	}
	r = store_files_open(vfs, dir, false, NULL, NULL, &check.files, &why);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		report_why(&check, &why, "the directory can't be opened", r);
		return 1;
	}
	r = value_files_open(vfs, dir, &check.values);
	if (r == 0)
		r = check_tree(&check);
	if (r == 0)
		r = check_request_ids(&check);
	check_deinit(&check);
	if (r == 0)
		r = check_beside(vfs, dir, problem, state);
	return r < 0 ? r : r > 0 || check.faults;
}

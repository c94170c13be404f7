/* SPDX-License-Identifier: MIT */
/*
 * Opening: lock and identity; segments and value files; the log, made whole and synced, then
 * replayed behind what the segments hold; this opening is counted, and how far the log goes; only
 * then are orphans swept, as the log may refer to any value file. Closing goes the other way.
 */
#include "node/store.h"

#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/hex.h"
#include "lib/log.h"
#include "lib/mutex.h"
#include "node/ballast.h"
#include "node/checkpoint.h"
#include "node/commit.h"
#include "node/diverged.h"
#include "node/pin.h"
#include "node/pin_token.h"
#include "node/request_ids_file.h"
#include "node/store_private.h"
#include "node/wal_recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INLINE_BYTES_MAX   (1024 * 1024)
#define SPACE_EVERY_MS     1000
#define LOG_FILE_BYTES_MIN (64 * 1024)
#define LOG_FILE_BYTES_MAX (16 * 1024 * 1024)
#define SPARE_PART         8 /* of what the disk has left, for what the log spares */
#define HOLD_PART          2 /* for what it holds for those who fetch a copy */
#define BALLAST_BYTES_MAX  (64 * 1024 * 1024)

static int sync_log(void *state, uint64_t position)
{
	struct store *store = state;
	struct commit *commit = store->commit;

	(void)position;
	/* Replay only brings what is synced. */
	return commit ? commit_sync_log(commit) : 0;
}

static void release_refs(uint64_t position, void *state)
{
	struct store *store = state;

	value_refs_release(store->refs, position);
}

static struct wal_keep what_to_keep(const struct store_options *options)
{
	int64_t now = options->realtime_ns(), second = 1000000000;
	struct wal_keep keep = {
		.bytes = options->log_retain_bytes,
		.hold_bytes = options->log_hold_bytes > 0 ? options->log_hold_bytes : UINT64_MAX,
		.after_ns = now - (int64_t)options->log_retain_s * second,
	};
	uint64_t space, total;

	if (vfs_space(options->vfs, options->dir, &space, &total) < 0)
		return keep;
	/* A dead follower must not fill the disk. */
	if (keep.hold_bytes > space / HOLD_PART)
		keep.hold_bytes = space / HOLD_PART;
	/* A follower that is fetching a large value must not need a copy of everything because the
	 * next one has replaced it. */
	if (options->log_spare_s > 0) {
		keep.spare_bytes = space / SPARE_PART;
		keep.spare_from_ns = now - (int64_t)options->log_spare_s * second;
		keep.spare_to_ns = now + second;
	}
	return keep;
}

void store_trim_log(struct store *store, bool all)
{
	const struct wal_keep nothing = { 0 };
	struct wal_keep keep = all ? nothing : what_to_keep(&store->options);
	int r = wal_trim(store->wal, store->flushed_position, &keep, release_refs, store);

	if (r < 0)
		log_warn("log not trimmed", "error=%d", -r);
}

int store_drop_log(struct store *store, uint64_t file_id)
{
	const struct wal_keep keep = { .bytes = UINT64_MAX,
				       .after_ns = INT64_MIN,
				       .hold_bytes = UINT64_MAX,
				       .useless_file = file_id };
	_cleanup_(freep) struct wal_extent *extents = NULL;
	struct wal_mark synced;
	size_t count;
	int r = wal_trim(store->wal, store->flushed_position, &keep, release_refs, store);

	if (r == 0)
		r = wal_extents(store->wal, &extents, &count, &synced);
	if (r < 0)
		return r;
	return extents[0].file_id <= file_id ? -EBUSY : wal_sweep(store->wal);
}

static void trim(void *state, bool all)
{
	store_trim_log(state, all);
}

static void flushed(void *state, uint64_t position)
{
	struct store *store = state;

	store->flushed_position = position;
	if (store->commit)
		trim(store, false);
}

static int make_dir(struct store *store)
{
	_cleanup_(freep) char *parent = strdup(store->dir);
	struct vfs *vfs = store->options.vfs;
	char *slash;
	int r;

	if (!parent)
		return -ENOMEM;
	r = vfs_mkdir(vfs, store->dir);
	if (r < 0 && r != -EEXIST)
		return r;
	slash = strrchr(parent, '/');
	if (slash == parent)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	return vfs_sync_dir(vfs, slash ? parent : ".");
}

static int open_tree(struct store *store, char **ret_why)
{
	struct lsm_options options = {
		.vfs = store->options.vfs,
		.dir = store->dir,
		.memtable_bytes = store->options.memtable_bytes,
		.cache_bytes = store->options.cache_bytes,
		.keeps_deletions = store->options.keeps_deletions,
		.threads = store->options.threads,
		.sync_log = sync_log,
		.flushed = flushed,
		.state = store,
	};
	uint64_t position = 0;
	int r;

	r = value_files_open(store->options.vfs, store->dir, &store->values);
	if (r < 0)
		return r;
	options.values = store->values;
	r = lsm_open(&options, &store->lsm, &position);
	if (r == -EBADMSG)
		wal_say(ret_why,
			"the segments or the manifest in %s are damaged (the log line before this "
			"says which file and where); restore the directory from a copy",
			store->dir);
	if (r == 0)
		store->flushed_position = position;
	return r;
}

/* Value bytes that the entries of one log file refer to. */
struct weight {
	uint64_t file_id;
	uint64_t bytes;
};

struct open_replay {
	struct store_replay replay;
	struct weight *weights;
	size_t count;
};

static int weigh(struct open_replay *open, const struct wal_record *record)
{
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < record->count; i++)
		if (open->replay.entries[i].kind == ENTRY_FILE)
			bytes += open->replay.entries[i].size_bytes;
	if (bytes == 0)
		return 0;
	if (open->count == 0 || open->weights[open->count - 1].file_id != record->file_id) {
		struct weight *weights =
			realloc(open->weights, (open->count + 1) * sizeof(*weights));

		if (!weights)
			return -ENOMEM;
		open->weights = weights;
		weights[open->count++] = (struct weight){ .file_id = record->file_id };
	}
	open->weights[open->count - 1].bytes += bytes;
	return 0;
}

static int replay_one(const struct wal_record *record, void *state)
{
	struct open_replay *open = state;
	int r = store_replay_record(record, &open->replay);

	return r == 0 ? weigh(open, record) : r;
}

/* On a small disk what is preallocated must not be most of it. */
static uint64_t log_file_bytes(const struct store_options *options)
{
	uint64_t bytes = options->log_retain_bytes / 4, space, total;

	if (vfs_space(options->vfs, options->dir, &space, &total) == 0 && bytes > total / 32)
		bytes = total / 32;
	if (bytes < LOG_FILE_BYTES_MIN)
		return LOG_FILE_BYTES_MIN;
	return bytes < LOG_FILE_BYTES_MAX ? bytes : LOG_FILE_BYTES_MAX;
}

static void add_weight(struct store *store, const struct weight *weight)
{
	wal_add_weight(store->wal, weight->file_id, weight->bytes);
	store->log_value_bytes += weight->bytes;
}

/* A reset that a crash has left half done. */
static int finish_reset(struct store *store, const struct store_replay *replay)
{
	struct wal_mark mark = wal_last(store->wal);
	struct version end = { mark.epoch, mark.sequence };

	if (replay->ends_reset)
		return store_finish_reset(store, end);
	store_forget_ids(store, end);
	return 0;
}

static int replay_log(struct store *store, struct open_replay *open, char **ret_why)
{
	struct wal_options options = {
		.vfs = store->options.vfs,
		.dir = store->dir,
		.file_bytes = log_file_bytes(&store->options),
		.flushed_position = store->flushed_position,
		.known_file = store->files.standing.log_file,
		.known_position = store->files.standing.log_position,
		.now_ns = store->options.realtime_ns(),
	};
	int r;

	memcpy(options.store_id, store->files.identity.store_id, 16);
	r = wal_open(&options, replay_one, open, &store->wal, ret_why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < open->count; i++)
		add_weight(store, &open->weights[i]);
	r = finish_reset(store, &open->replay);
	if (r < 0)
		return r;
	return store_files_check_end(&store->files, store->dir, wal_last(store->wal),
				     options.flushed_position, ret_why);
}

static int load_ids(struct store *store, int64_t *ret_newest_ns, char **ret_why)
{
	int r = request_ids_load(store->ids, store->options.vfs, store->dir, ret_newest_ns);

	if (r == -EBADMSG)
		wal_say(ret_why, "%s/%s is damaged; restore it from a copy", store->dir,
			REQUEST_IDS_NAME);
	else if (r == -EPROTONOSUPPORT)
		wal_say(ret_why, "%s/%s has a later format; use a later hexkv", store->dir,
			REQUEST_IDS_NAME);
	return r;
}

static int open_log(struct store *store, char **ret_why)
{
	struct open_replay open = {
		.replay = {
			.lsm = store->lsm,
			.flushed_position = store->flushed_position,
			.values = store->values,
			.refs = store->refs,
			.ids = store->ids,
		},
	};
	int64_t newest_ns;
	int r = load_ids(store, &newest_ns, ret_why);

	if (r == 0)
		r = replay_log(store, &open, ret_why);
	/* A copy whose log is as it was made has its ids: not before there is another log file. */
	if (r == 0)
		request_ids_tidy(store->options.vfs, store->dir, newest_ns,
				 store->options.realtime_ns());
	free(open.weights);
	store_replay_deinit(&open.replay);
	return r;
}

static int start_commit(struct store *store)
{
	struct commit_options options = {
		.vfs = store->options.vfs,
		.dir = store->dir,
		.lsm = store->lsm,
		.wal = store->wal,
		.values = store->values,
		.refs = store->refs,
		.ids = store->ids,
		.dead_bytes_max = store->options.log_retain_bytes,
		.dead_bytes = store->log_value_bytes,
		.log_retain_s = store->options.log_retain_s,
		.log_spare_s = store->options.log_spare_s,
		.trim = trim,
		.synced = store_synced,
		.in_history = store_in_history,
		.finish_reset = store_finish_reset,
		.set_resetting = store_set_resetting,
		.state = store,
		.ballast_bytes = 4 * store->options.memtable_bytes,
		.threads = store->options.threads,
		.realtime_ns = store->options.realtime_ns,
	};
	struct commit *commit;
	int r;

	if (options.ballast_bytes > BALLAST_BYTES_MAX)
		options.ballast_bytes = BALLAST_BYTES_MAX;
	r = ballast_restore(options.vfs, store->dir, options.ballast_bytes);
	if (r < 0 && r != -ENOSPC)
		return r;
	options.full = r < 0;
	r = commit_new(&options, &commit);
	if (r == 0)
		store->commit = commit;
	return r;
}

static int store_new(const struct store_options *options, struct store **ret_store)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	mutex_init(&store->standing_lock);
	mutex_init(&store->lock);
	mutex_init(&store->synced_lock);
	log_cursors_init(&store->log_cursors);
	store->options = *options;
	if (!store->options.realtime_ns)
		store->options.realtime_ns = clock_realtime_ns;
	store->dir = strdup(options->dir);
	store->options.dir = store->dir;
	store->ids = request_ids_new();
	store->refs = value_refs_new();
	if (!store->dir || !store->ids || !store->refs) {
		store_close(store);
		return -ENOMEM;
	}
	*ret_store = store;
	return 0;
}

/* Counts this opening, so that its value files get ids that no file ever had: not those of openings
 * before, nor those of another node's that came with its segments. */
static int count_opening(struct store *store)
{
	struct standing *standing = &store->files.standing;
	uint64_t last = value_files_last_id(store->values) >> 32;

	if (last > standing->opened)
		standing->opened = last;
	if (standing->opened == UINT32_MAX)
		return -EOVERFLOW;
	standing->opened++;
	/* A copy of a directory may bring epochs that were promised elsewhere. */
	if (lineage_is_set(&store->files.history.lineage) &&
	    history_last_epoch(&store->files.history) > standing->promise)
		standing->promise = history_last_epoch(&store->files.history);
	store_note_log(store, standing);
	return standing_write(store->options.vfs, store->dir, store->files.identity.store_id,
			      standing);
}

static int sweep_values(struct store *store)
{
	uint64_t opened = store->files.standing.opened;

	value_files_begin(store->values, opened << 32);
	if (store->options.keep_old_s > 0 && opened > 1)
		value_pins_keep_old(store->values, store->options.keep_old_s);
	return value_files_sweep(store->values);
}

static int open_steps(struct store *store, char **ret_why)
{
	const struct store_options *options = &store->options;
	int r;

	r = make_dir(store);
	if (r == 0)
		r = store_files_open(options->vfs, store->dir, true, options->cluster,
				     options->node, &store->files, ret_why);
	if (r == 0)
		r = open_tree(store, ret_why);
	if (r == 0)
		r = open_log(store, ret_why);
	if (r == 0)
		r = count_opening(store);
	if (r == 0)
		r = lsm_sweep(store->lsm);
	if (r == 0)
		r = sweep_values(store);
	if (r == 0) {
		checkpoint_sweep(options->vfs, store->dir);
		diverged_sweep(options->vfs, store->dir);
	}
	if (r == 0 && options->threads)
		r = value_files_start(store->values);
	if (r == 0)
		r = start_commit(store);
	return r;
}

static int open_once(const struct store_options *options, struct store **ret_store, char **ret_why)
{
	struct store *store;
	int r;

	r = store_new(options, &store);
	if (r < 0)
		return r;
	r = open_steps(store, ret_why);
	if (r < 0) {
		store_close(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

int store_open(const struct store_options *options, struct store **ret_store, char **ret_why)
{
	int r;

	*ret_why = NULL;
	if (options->inline_bytes > INLINE_BYTES_MAX) {
		wal_say(ret_why,
			"values of more than %d bytes can't be stored inline; give a "
			"lower bound",
			INLINE_BYTES_MAX);
		return -EINVAL;
	}
	r = open_once(options, ret_store, ret_why);
	if (r == -ENOSPC || r == -EDQUOT) {
		/* What was set aside is enough to open, serve reads and accept deletes. */
		ballast_release(options->vfs, options->dir);
		free(*ret_why);
		*ret_why = NULL;
		r = open_once(options, ret_store, ret_why);
	}
	if (r < 0 && !*ret_why)
		wal_say(ret_why, "%s can't be opened: %s", options->dir, strerror(-r));
	if (r == 0)
		log_info("store opened",
			 "promise=%" PRIx64 " position=%" PRIu64 " flushed=%" PRIu64,
			 (*ret_store)->files.standing.promise, wal_last((*ret_store)->wal).position,
			 (uint64_t)(*ret_store)->flushed_position);
	return r;
}

/* Where the log ends, so that a file which goes, or is cut short, is missed. It may fail: an
 * opening after a crash does without, too. */
static void note_end(struct store *store)
{
	struct standing standing = store->files.standing;

	store_note_log(store, &standing);
	(void)standing_write(store->options.vfs, store->dir, store->files.identity.store_id,
			     &standing);
}

/* The tree goes before the log: its flush thread may still ask for a sync. References to value
 * files go before the directory that counts them. */
struct store *store_close(struct store *store)
{
	bool opened;

	if (!store)
		return NULL;
	opened = store->commit != NULL;
	commit_stop(store->commit);
	if (store->values)
		value_files_hold(store->values);
	lsm_free(store->lsm);
	if (opened && wal_finish(store->wal) == 0)
		note_end(store);
	wal_abandon(store->wal);
	commit_free(store->commit);
	request_ids_free(store->ids);
	value_refs_free(store->refs);
	value_files_free(store->values);
	store_files_close(&store->files);
	log_cursors_deinit(&store->log_cursors);
	mutex_deinit(&store->synced_lock);
	mutex_deinit(&store->lock);
	mutex_deinit(&store->standing_lock);
	free(store->dir);
	free(store);
	return NULL;
}

int store_get_entry(struct store *store, const struct key *key, unsigned flags,
		    struct lsm_entry *ret_entry)
{
	int r = lsm_get(store->lsm, key->bytes, key->len, flags, ret_entry);

	return r == LSM_NOT_FOUND ? STORE_NOT_FOUND : r;
}

int store_get(struct store *store, const struct key *key, unsigned flags,
	      struct store_record *ret_record)
{
	struct store_record record;
	int r;

	r = store_get_entry(store, key, flags, &record.held);
	if (r != 0)
		return r;
	if (record.held.entry.kind == ENTRY_TOMBSTONE) {
		lsm_entry_release(&record.held);
		return STORE_NOT_FOUND;
	}
	entry_to_meta(&record.held.entry, &record.meta);
	*ret_record = record;
	return 0;
}

const uint8_t *store_record_inline(const struct store_record *record)
{
	static const uint8_t nothing[1];

	if (record->held.entry.kind != ENTRY_INLINE)
		return NULL;
	return record->held.entry.value ? record->held.entry.value : nothing;
}

void store_record_release(struct store_record *record)
{
	lsm_entry_release(&record->held);
}

/* What the ids of value files mean something in: this store, until it takes another node's over. */
struct id_space {
	uint8_t bytes[16];
};

static struct id_space id_space_of(const struct store *store)
{
	struct id_space space;

	memcpy(space.bytes, store->files.identity.store_id, sizeof(space.bytes));
	put_u64(space.bytes, get_u64(space.bytes) ^ store->files.standing.copied);
	return space;
}

int store_pin(struct store *store, const struct store_record *record, uint32_t seconds,
	      char **ret_token)
{
	char *token;

	if (record->held.entry.kind != ENTRY_FILE)
		return -ENOENT;
	token = pin_token_make(id_space_of(store).bytes, &record->held.entry);
	if (!token)
		return -ENOMEM;
	if (!value_file_pin(record->held.file, seconds)) {
		free(token);
		return -ENOENT;
	}
	*ret_token = token;
	return 0;
}

/* What the entry of a record that came from a token points into. */
struct token_bytes {
	struct pin pin;
	struct buf bytes;
};

static void token_bytes_release(struct pin *pin)
{
	struct token_bytes *token = (struct token_bytes *)pin;

	buf_deinit(&token->bytes);
	free(token);
}

int store_get_pinned(struct store *store, const struct key *key, const char *token,
		     struct store_record *ret_record)
{
	struct store_record record = { 0 };
	struct token_bytes *bytes = calloc(1, sizeof(*bytes));
	struct lsm_entry *held = &record.held;
	int r;

	if (!bytes)
		return -ENOMEM;
	bytes->pin.release = token_bytes_release;
	held->pin = &bytes->pin;
	r = pin_token_read(id_space_of(store).bytes, key, token, &bytes->bytes, &held->entry);
	if (r == 0)
		r = value_pins_find(store->values, held->entry.file_id, held->entry.size_bytes,
				    &held->file);
	if (r < 0) {
		lsm_entry_release(held);
		return r == -ENOMEM ? r : STORE_NOT_FOUND;
	}
	entry_to_meta(&held->entry, &record.meta);
	*ret_record = record;
	return 0;
}

int store_list(struct store *store, const struct key *after, size_t limit,
	       int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	       struct key *ret_last)
{
	return lsm_list(store->lsm, after, limit, found, state, ret_more, ret_last);
}

int store_scan(struct store *store, const struct key *after, size_t limit,
	       int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	       struct key *ret_last)
{
	return lsm_scan(store->lsm, after, limit, found, state, ret_more, ret_last);
}

void store_submit_batch(struct store *store, struct store_write *writes)
{
	if (writes)
		commit_submit(store->commit, writes);
}

void store_submit(struct store *store, struct store_write *write)
{
	write->next = NULL;
	store_submit_batch(store, write);
}

void store_commit(struct store *store, struct store_write *write)
{
	write->next = NULL;
	commit_here(store->commit, write);
}

void store_want_room(struct store *store)
{
	commit_want_room(store->commit);
}

bool store_knows_request(struct store *store, const struct request_id *id, const struct key *key)
{
	return request_ids_contains(store->ids, id, request_key_hash(key->bytes, key->len));
}

struct value_files *store_values(struct store *store)
{
	return store->values;
}

static void measure_space(struct store *store, struct store_stats *stats)
{
	uint64_t now = clock_monotonic_ms();
	bool ask;

	mutex_lock(&store->lock);
	ask = store->space_at_ms == 0 || now - store->space_at_ms >= SPACE_EVERY_MS;
	if (ask)
		store->space_at_ms = now;
	stats->space_free = store->space_free;
	stats->space_total = store->space_total;
	mutex_unlock(&store->lock);
	if (!ask ||
	    vfs_space(store->options.vfs, store->dir, &stats->space_free, &stats->space_total) < 0)
		return;
	mutex_lock(&store->lock);
	store->space_free = stats->space_free;
	store->space_total = stats->space_total;
	mutex_unlock(&store->lock);
}

void store_stats(struct store *store, struct store_stats *ret_stats)
{
	struct store_stats stats = { 0 };
	struct commit_stats commit;

	commit_stats(store->commit, &commit);
	lsm_stats(store->lsm, &stats.lsm);
	hex_encode(store->files.identity.store_id, 16, stats.store_id);
	stats.last = commit.last;
	stats.position = commit.position;
	stats.flushed_position = store->flushed_position;
	stats.log_bytes = wal_bytes(store->wal);
	stats.log_files = wal_files(store->wal);
	stats.log_syncs = commit.syncs;
	stats.log_records = commit.records;
	stats.log_entries = commit.entries;
	stats.value_bytes = value_files_bytes(store->values);
	value_pins_stats(store->values, &stats.pins);
	mutex_lock(&store->lock);
	stats.log_damages = store->log_damages;
	stats.damaged_log_file = store->log_damage.file_id;
	stats.damaged_log_offset = store->log_damage.offset;
	mutex_unlock(&store->lock);
	stats.full = commit.full;
	stats.failed = commit.failed;
	measure_space(store, &stats);
	*ret_stats = stats;
}

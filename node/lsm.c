/* SPDX-License-Identifier: MIT */
/*
 * Opening, applying, closing. One thread applies to the active memtable; a full one is sealed and
 * waits for the flush thread (node/flush.c), whose segments the compaction thread
 * (node/compaction.c) merges. Each change of memtables and runs is a new view (node/view.h).
 */
#include "node/lsm.h"

#include "lib/clock.h"
#include "lib/log.h"
#include "node/lsm_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A memtable is flushed early if its tombstones hide so many times its bytes, and so much. */
#define HIDDEN_TABLES 8
#define HIDDEN_PART   8 /* of all that is on disk */

DEFINE_CLEANUP(struct memtable *, memtable_unref)

struct view *lsm_view(struct lsm *lsm)
{
	struct view *view;

	mutex_lock(&lsm->view_lock);
	view = view_ref(lsm->view);
	mutex_unlock(&lsm->view_lock);
	return view;
}

/* One may be sound after all (node/compaction.c). */
static bool has_damaged(const struct view *view)
{
	for (size_t i = 0; i < view->run_count; i++)
		if (segment_is_damaged(view->runs[i].segment))
			return true;
	return false;
}

void lsm_install_locked(struct lsm *lsm, struct view *view)
{
	struct view *old = lsm->view;

	mutex_lock(&lsm->view_lock);
	lsm->view = view;
	mutex_unlock(&lsm->view_lock);
	lsm->sealed_bytes = 0;
	for (size_t i = 0; i < view->sealed_count; i++)
		lsm->sealed_bytes += memtable_bytes(view->sealed[i]);
	if (!lsm->compacting && (lsm_compaction_is_due(view) ||
				 lsm_reclaim_is_due_locked(lsm, view) || has_damaged(view))) {
		lsm->compacting = true;
		condition_signal(&lsm->compact_work);
	}
	view_unref(old);
}

/* The id of "0123456789abcdef.seg", or 0. */
static uint64_t id_from_name(const char *name)
{
	uint64_t id = 0;

	if (strlen(name) != 20 || strspn(name, "0123456789abcdef") != 16 ||
	    strcmp(name + 16, ".seg") != 0)
		return 0;
	sscanf(name, "%16" SCNx64, &id);
	return id;
}

static int see_id(const char *name, void *state)
{
	uint64_t *next_id = state;
	uint64_t id = id_from_name(name);

	if (id >= *next_id && id < UINT64_MAX)
		*next_id = id + 1;
	return 0;
}

static int open_runs(struct lsm *lsm, const struct manifest_state *state)
{
	struct view *view;
	int r;

	r = view_new(0, state->count, &view);
	if (r < 0)
		return r;
	r = memtable_new(lsm->options.values, &view->active);
	for (size_t i = 0; i < state->count && r == 0; i++) {
		view->runs[i].run = state->segments[i].run;
		r = segment_open(&lsm->context, state->segments[i].file_id, &view->runs[i].segment);
	}
	if (r < 0) {
		view_unref(view);
		return r;
	}
	mutex_lock(&lsm->lock);
	lsm_install_locked(lsm, view);
	lsm->active = view->active;
	mutex_unlock(&lsm->lock);
	return 0;
}

static int start_threads(struct lsm *lsm)
{
	int r;

	r = reaper_start(lsm->context.reaper);
	if (r == 0)
		r = value_files_start(lsm->options.values);
	if (r == 0)
		r = -pthread_create(&lsm->flush_thread, NULL, lsm_flush_thread, lsm);
	if (r < 0)
		return r;
	lsm->flush_thread_runs = true;
	r = -pthread_create(&lsm->compact_thread, NULL, lsm_compact_thread, lsm);
	lsm->compact_thread_runs = r == 0;
	return r;
}

static struct lsm *new_lsm(const struct lsm_options *options)
{
	struct lsm *lsm = calloc(1, sizeof(*lsm));

	if (!lsm)
		return NULL;
	lsm->options = *options;
	lsm->context.vfs = options->vfs;
	lsm->context.values = options->values;
	mutex_init(&lsm->manifest_lock);
	mutex_init(&lsm->lock);
	mutex_init(&lsm->view_lock);
	condition_init(&lsm->flush_work);
	condition_init(&lsm->compact_work);
	condition_init(&lsm->progress);
	lsm->sealed_max = options->memtable_bytes * LSM_SEALED_TABLES;
	if (lsm->sealed_max > LSM_SEALED_MAX)
		lsm->sealed_max = LSM_SEALED_MAX;
	if (lsm->sealed_max < 2 * options->memtable_bytes)
		lsm->sealed_max = 2 * options->memtable_bytes;
	lsm->dir = strdup(options->dir);
	lsm->context.dir = lsm->dir;
	return lsm->dir ? lsm : lsm_free(lsm);
}

static int open_files(struct lsm *lsm, uint64_t *ret_flushed)
{
	const struct manifest_state *state;
	uint64_t next_id = 0;
	int r;

	r = reaper_new(lsm->options.vfs, &lsm->context.reaper);
	if (r == 0)
		r = block_cache_new(lsm->options.cache_bytes, &lsm->context.cache);
	if (r < 0)
		return r;
	mutex_lock(&lsm->manifest_lock);
	r = lsm->options.read_only
		    ? manifest_open_to_read(lsm->options.vfs, lsm->dir, &lsm->manifest)
		    : manifest_open(lsm->options.vfs, lsm->dir, &lsm->manifest);
	if (r == 0) {
		state = manifest_state(lsm->manifest);
		next_id = state->next_file_id;
		*ret_flushed = state->flushed;
		mutex_lock(&lsm->lock);
		lsm->flushed = state->flushed;
		mutex_unlock(&lsm->lock);
		r = open_runs(lsm, state);
		/* One that lost its end names segments that a merge has replaced. */
		if (r == -EBADMSG)
			log_error("segments don't fit the manifest",
				  "file=%s/MANIFEST-%016" PRIx64
				  " why=\"a segment that it names is damaged or missing\"",
				  lsm->dir, manifest_file_id(lsm->manifest));
	}
	mutex_unlock(&lsm->manifest_lock);
	if (r == 0)
		r = vfs_list(lsm->options.vfs, lsm->dir, see_id, &next_id);
	if (r < 0)
		return r;
	lsm->first_new_id = next_id;
	atomic_init(&lsm->next_file_id, next_id);
	return 0;
}

int lsm_open(const struct lsm_options *options, struct lsm **ret_lsm, uint64_t *ret_flushed)
{
	struct lsm *lsm = new_lsm(options);
	uint64_t flushed = 0;
	int r;

	if (!lsm)
		return -ENOMEM;
	r = open_files(lsm, &flushed);
	if (r == 0 && options->threads)
		r = start_threads(lsm);
	if (r < 0) {
		lsm_free(lsm);
		return r;
	}
	*ret_lsm = lsm;
	*ret_flushed = flushed;
	return 0;
}

void lsm_deletions_are_known(struct lsm *lsm, struct version point)
{
	mutex_lock(&lsm->lock);
	lsm->known = point;
	mutex_unlock(&lsm->lock);
}

static void stop_threads(struct lsm *lsm)
{
	mutex_lock(&lsm->lock);
	atomic_store(&lsm->stop, true);
	condition_broadcast(&lsm->flush_work);
	condition_broadcast(&lsm->compact_work);
	condition_broadcast(&lsm->progress);
	mutex_unlock(&lsm->lock);
	if (lsm->flush_thread_runs)
		pthread_join(lsm->flush_thread, NULL);
	if (lsm->compact_thread_runs)
		pthread_join(lsm->compact_thread, NULL);
}

struct lsm *lsm_free(struct lsm *lsm)
{
	if (!lsm)
		return NULL;
	stop_threads(lsm);
	/* The references that go now still stand on disk. */
	value_files_hold(lsm->options.values);
	view_unref(lsm->view);
	mutex_lock(&lsm->manifest_lock);
	manifest_free(lsm->manifest);
	buf_deinit(&lsm->doubtful);
	buf_deinit(&lsm->dead_noted);
	buf_deinit(&lsm->dead);
	mutex_unlock(&lsm->manifest_lock);
	block_cache_free(lsm->context.cache);
	reaper_free(lsm->context.reaper);
	condition_deinit(&lsm->flush_work);
	condition_deinit(&lsm->compact_work);
	condition_deinit(&lsm->progress);
	mutex_deinit(&lsm->manifest_lock);
	mutex_deinit(&lsm->lock);
	mutex_deinit(&lsm->view_lock);
	free(lsm->dir);
	free(lsm);
	return NULL;
}

struct sweep {
	struct lsm *lsm;
	const struct manifest *manifest;
	struct buf names; /* NUL-terminated, one behind the other */
};

static bool is_live(const struct manifest *manifest, uint64_t id)
{
	const struct manifest_state *state = manifest_state(manifest);

	for (size_t i = 0; i < state->count; i++)
		if (state->segments[i].file_id == id)
			return true;
	return false;
}

static int sweep_name(const char *name, void *state)
{
	struct sweep *sweep = state;
	uint64_t id = id_from_name(name);
	bool dead = manifest_is_stale_name(sweep->manifest, name);

	if (id > 0 && id < sweep->lsm->first_new_id && !is_live(sweep->manifest, id))
		dead = true;
	return dead ? buf_append(&sweep->names, name, strlen(name) + 1) : 0;
}

int lsm_sweep(struct lsm *lsm)
{
	struct sweep sweep = { .lsm = lsm };
	int r;

	mutex_lock(&lsm->manifest_lock);
	sweep.manifest = lsm->manifest;
	r = vfs_list(lsm->options.vfs, lsm->dir, sweep_name, &sweep);
	for (size_t at = 0; r == 0 && at < sweep.names.len;) {
		const char *name = (const char *)sweep.names.data + at;
		char *path;

		if (asprintf(&path, "%s/%s", lsm->dir, name) >= 0)
			reaper_add(lsm->context.reaper, path, NULL);
		at += strlen(name) + 1;
	}
	mutex_unlock(&lsm->manifest_lock);
	buf_deinit(&sweep.names);
	lsm_suppose_dead(lsm);
	return r;
}

int lsm_seal(struct lsm *lsm)
{
	_cleanup_(memtable_unrefp) struct memtable *fresh = NULL;
	struct view *next;
	int r;

	r = memtable_new(lsm->options.values, &fresh);
	if (r < 0)
		return r;
	mutex_lock(&lsm->lock);
	r = view_seal(lsm->view, fresh, &next);
	if (r == 0) {
		memtable_seal(lsm->active);
		lsm_install_locked(lsm, next);
		lsm->active = next->active;
		lsm->sealed_position = lsm->applied_position;
		lsm->dead_inline_bytes = 0;
		condition_signal(&lsm->flush_work);
	}
	mutex_unlock(&lsm->lock);
	return r;
}

/* A few tombstones may keep most of what is on disk from being freed. */
static bool hides_much(struct lsm *lsm)
{
	uint64_t bytes = 0;

	if (lsm->dead_inline_bytes < HIDDEN_TABLES * lsm->options.memtable_bytes)
		return false;
	/* Only the flush and the compaction thread change it otherwise, so it is not held long. */
	mutex_lock(&lsm->lock);
	for (size_t i = 0; i < lsm->view->run_count; i++)
		bytes += segment_bytes(lsm->view->runs[i].segment);
	mutex_unlock(&lsm->lock);
	return lsm->dead_inline_bytes >= bytes / HIDDEN_PART;
}

int lsm_apply(struct lsm *lsm, const struct entry *entries, size_t count)
{
	struct memtable *active = lsm->active;
	size_t before = memtable_bytes(active);
	int r;

	if (count == 0)
		return 0;
	r = lsm_wait_for_room(lsm);
	if (r == 0)
		r = memtable_insert(active, entries, count);
	if (r < 0)
		return r;
	lsm->applied_position = entries[count - 1].position;
	lsm_slow_down(lsm, memtable_bytes(active) - before);
	if (memtable_bytes(active) < lsm->options.memtable_bytes && !hides_much(lsm))
		return 0;
	if (lsm_seal(lsm) == 0 && !lsm->options.threads)
		lsm_work_inline(lsm);
	return 0;
}

static int wait_for_flush(struct lsm *lsm)
{
	uint64_t failures;
	int r = 0;

	mutex_lock(&lsm->lock);
	failures = lsm->flush_failures;
	lsm->retry_now = true;
	condition_signal(&lsm->flush_work);
	/* To the end of flushed(), which comes after the memtables are gone. */
	while ((lsm->sealed_bytes > 0 || lsm->flushing) && r == 0 && !atomic_load(&lsm->stop)) {
		if (lsm->flush_failures != failures)
			r = lsm->flush_error;
		else
			condition_wait(&lsm->progress, &lsm->lock);
	}
	mutex_unlock(&lsm->lock);
	return r;
}

int lsm_begin_flush(struct lsm *lsm)
{
	int r = 0;

	if (memtable_count(lsm->active) > 0)
		r = lsm_seal(lsm);
	if (r == 0 && !lsm->options.threads)
		lsm_work_inline(lsm);
	return r;
}

int lsm_flush(struct lsm *lsm)
{
	int r = lsm_begin_flush(lsm);

	if (r < 0)
		return r;
	if (lsm->options.threads)
		return wait_for_flush(lsm);
	mutex_lock(&lsm->lock);
	r = lsm->flush_error;
	mutex_unlock(&lsm->lock);
	return r;
}

int lsm_wait_flushed(struct lsm *lsm, uint64_t position, uint64_t timeout_ms)
{
	uint64_t deadline = clock_monotonic_ms() + timeout_ms, failures;
	int r = 0;

	mutex_lock(&lsm->lock);
	failures = lsm->flush_failures;
	lsm->retry_now = true;
	condition_signal(&lsm->flush_work);
	while (lsm->flushed < position && r == 0) {
		if (lsm->flush_failures != failures || !lsm->options.threads)
			r = lsm->flush_error < 0 ? lsm->flush_error : -EIO;
		else if (atomic_load(&lsm->stop))
			r = -ECANCELED;
		else if (condition_wait_until(&lsm->progress, &lsm->lock, deadline) < 0)
			r = -ETIMEDOUT;
	}
	mutex_unlock(&lsm->lock);
	return r;
}

void lsm_stats(struct lsm *lsm, struct lsm_stats *ret_stats)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	struct lsm_stats stats;

	mutex_lock(&lsm->lock);
	stats = lsm->counters;
	stats.sealed_bytes = lsm->sealed_bytes;
	stats.background_error = lsm->flush_error < 0 ? lsm->flush_error : lsm->compact_error;
	mutex_unlock(&lsm->lock);
	stats.memtable_bytes = memtable_bytes(view->active);
	stats.sealed_memtables = view->sealed_count;
	stats.entries = memtable_count(view->active);
	for (size_t i = 0; i < view->sealed_count; i++)
		stats.entries += memtable_count(view->sealed[i]);
	stats.segments = stats.runs = view->run_count;
	for (size_t i = 0; i < view->run_count; i++) {
		const struct segment *segment = view->runs[i].segment;

		stats.segment_bytes += segment_bytes(segment);
		stats.entries += segment_properties(segment)->entries;
		stats.filter_bytes += segment_filter_bytes(segment);
		stats.index_bytes += segment_index_bytes(segment);
	}
	block_cache_stats(lsm->context.cache, &stats.cache_hits, &stats.cache_misses);
	stats.damaged_blocks = atomic_load(&lsm->context.damaged_blocks);
	*ret_stats = stats;
}

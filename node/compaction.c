/* SPDX-License-Identifier: MIT */
/*
 * Compaction: node/run_pick.h says which runs are merged. Only neighbours in age ever are, so runs
 * stay ordered by age. Merges that free the space of value files come first (node/reclaim.c).
 *
 * A merge needs room for what it writes before that of what it reads is free. It is only begun if
 * there is more than that; if there is none for what is due, smaller ones are made, or none until
 * there is: it is looked for every second.
 *
 * A large merge takes seconds to minutes, and gives way meanwhile: to flushes, once writers are
 * slowed down for want of memory, and to merges of the runs that were flushed since it began, which
 * it makes between two entries. Those are newer than all that it reads, so neither touches what
 * the other does. They give way in their turn: or else writers would stall for as long as the
 * largest of them takes. A merge holds its own runs alone, so that what it gives way to frees what
 * it replaces. If there is no room for those, or they fail, writers go on with more runs.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "node/lsm_private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Runs that may stay. */
#define RUNS_MAX 10
/* Of those that are newer than a merge that is under way, by how many are. With those that are
 * being merged they stay below the hard cap. */
static const size_t newer_runs_max[] = { 5, 3, 2 };
#define MERGES_MAX (sizeof(newer_runs_max) / sizeof(newer_runs_max[0]) + 1)
/* As many runs are looked at; more there are only if merges fail. */
#define LOOKED_AT   64
#define GIVE_WAY_MS 20
/* Room that no merge takes, for so many memtables. */
#define FLUSHES_KEPT 4
#define RECHECK_MS   60000

static uint64_t total_bytes(const struct view *view)
{
	uint64_t total = 0;

	for (size_t i = 0; i < view->run_count; i++)
		total += segment_bytes(view->runs[i].segment);
	return total;
}

/* Of the @count newest runs; what is written may take @room. */
static bool pick_runs(const struct view *view, size_t count, size_t runs_max, uint64_t room,
		      struct run_pick *ret_pick)
{
	struct run_size sizes[LOOKED_AT];
	bool found;

	count = count < LOOKED_AT ? count : LOOKED_AT;
	for (size_t i = 0; i < count; i++) {
		const struct segment *segment = view->runs[i].segment;
		const struct segment_properties *properties = segment_properties(segment);

		sizes[i] = (struct run_size){ .bytes = segment_bytes(segment),
					      .entries = properties->entries,
					      .tombstones = properties->tombstones,
					      .in_vain = view->runs[i].in_vain,
					      .damaged = segment_is_damaged(segment) };
	}
	while ((found = run_pick(sizes, count, count == view->run_count, runs_max, ret_pick))) {
		size_t largest = ret_pick->first;
		uint64_t bytes = 0;

		for (size_t i = ret_pick->first; i < ret_pick->first + ret_pick->count; i++) {
			bytes += sizes[i].bytes;
			if (sizes[i].bytes > sizes[largest].bytes)
				largest = i;
		}
		if (bytes <= room)
			break;
		/* Without the one that takes most room the others may fit. */
		sizes[largest].damaged = true;
	}
	return found;
}

bool lsm_compaction_is_due(const struct view *view)
{
	struct run_pick pick;

	return pick_runs(view, view->run_count, RUNS_MAX, UINT64_MAX, &pick);
}

uint64_t lsm_merge_room(struct lsm *lsm)
{
	uint64_t keep = FLUSHES_KEPT * lsm->options.memtable_bytes, space, total;

	if (vfs_space(lsm->options.vfs, lsm->dir, &space, &total) < 0)
		return UINT64_MAX;
	mutex_lock(&lsm->lock);
	keep += lsm->sealed_bytes + lsm->merging_bytes;
	mutex_unlock(&lsm->lock);
	return space > keep ? space - keep : 0;
}

/* A disk may have failed for a moment; a run that was left out for that would stay so. Reading all
 * of one that is damaged in earnest is not repeated at once. */
static void recheck_runs(struct lsm *lsm, const struct view *view)
{
	uint64_t now = clock_monotonic_ms();

	for (size_t i = 0; i < view->run_count; i++) {
		struct segment *segment = view->runs[i].segment;

		if (segment_is_damaged(segment) && now >= lsm->recheck_at_ms &&
		    segment_recheck(segment) < 0)
			lsm->recheck_at_ms = now + RECHECK_MS;
	}
}

static struct version known_deletions(struct lsm *lsm)
{
	struct version known = { UINT64_MAX, UINT64_MAX };

	if (lsm->options.keeps_deletions) {
		mutex_lock(&lsm->lock);
		known = lsm->known;
		mutex_unlock(&lsm->lock);
	}
	return known;
}

/* What is to be merged. */
struct job {
	struct view *runs; /* nothing but them */
	bool hides; /* there are older ones */
	bool hiding; /* as picked */
};

static int merge_runs(struct lsm *lsm, const struct job *job, struct segment **ret_segment)
{
	_cleanup_(merge_freep) struct merge *merge = NULL;
	struct version drop = { 0 };
	uint64_t entries = 0;
	int r;

	/* A tombstone hides older versions: it goes once there are none left. */
	if (!job->hides)
		drop = known_deletions(lsm);
	r = merge_new(job->runs->run_count, &merge);
	for (size_t i = 0; i < job->runs->run_count && r == 0; i++) {
		struct segment *segment = job->runs->runs[i].segment;

		entries += segment_properties(segment)->entries;
		r = merge_add_segment(merge, segment, false, NULL, 0);
	}
	if (r < 0)
		return r;
	merge_start(merge);
	return lsm_write_segment(lsm, merge, entries, drop, true, ret_segment);
}

static int publish(struct lsm *lsm, size_t count, struct view_run run)
{
	struct segment *output = run.segment;
	struct view *next;
	int r;

	mutex_lock(&lsm->lock);
	r = view_compact(lsm->view, run.run, count, run, &next);
	if (r == 0) {
		lsm_install_locked(lsm, next);
		lsm->counters.compactions++;
		lsm->counters.compacted_bytes += output ? segment_bytes(output) : 0;
		condition_broadcast(&lsm->progress);
	}
	mutex_unlock(&lsm->lock);
	return r;
}

static int commit(struct lsm *lsm, const struct job *job, struct segment *output)
{
	const struct view *runs = job->runs;
	struct view_run run = { .segment = output, .run = runs->runs[0].run };
	_cleanup_(freep) uint64_t *removed = calloc(runs->run_count, sizeof(*removed));
	struct manifest_segment added = { .run = run.run };
	struct manifest_edit edit = { .removed = removed,
				      .removed_count = runs->run_count,
				      .added = &added,
				      .added_count = output != NULL };
	int r;

	if (!removed) {
		if (output)
			segment_obsolete(output);
		return -ENOMEM;
	}
	for (size_t i = 0; i < runs->run_count; i++)
		removed[i] = segment_file_id(runs->runs[i].segment);
	if (output) {
		added.file_id = segment_file_id(output);
		run.in_vain =
			job->hiding && run_was_in_vain(total_bytes(runs), segment_bytes(output));
	}
	r = lsm_commit_edit(lsm, &edit, output);
	if (r < 0)
		return r;
	while (publish(lsm, runs->run_count, run) < 0)
		usleep(LSM_PUBLISH_RETRY_US);
	/* Only now: a failed edit leaves it open which files a recovery needs. */
	for (size_t i = 0; i < runs->run_count; i++)
		segment_obsolete(runs->runs[i].segment);
	return 0;
}

static int run_job(struct lsm *lsm, const struct job *job)
{
	_cleanup_(segment_unrefp) struct segment *output = NULL;
	int r;

	r = lsm_mend_manifest(lsm);
	if (r == 0)
		r = merge_runs(lsm, job, &output);
	if (r == 0)
		r = commit(lsm, job, output);
	if (r == 0)
		log_debug("runs compacted", "runs=%zu bytes=%" PRIu64 " result_bytes=%" PRIu64,
			  job->runs->run_count, total_bytes(job->runs),
			  output ? segment_bytes(output) : 0);
	return r;
}

/* Takes the reference to @view. */
static int compact(struct lsm *lsm, struct view *view, struct run_pick pick)
{
	struct job job = { .hides = pick.first + pick.count < view->run_count,
			   .hiding = pick.hiding };
	uint64_t run = lsm->merging_run, left = lsm->merging_left;
	int r;

	r = view_part(view, pick.first, pick.count, &job.runs);
	view_unref(view);
	if (r < 0)
		return r;
	lsm->merging_run = job.runs->runs[0].run;
	lsm->merges++;
	lsm->merging_left = total_bytes(job.runs);
	lsm->merging_bytes += lsm->merging_left;
	r = run_job(lsm, &job);
	lsm->merging_bytes -= lsm->merging_left;
	lsm->merges--;
	lsm->merging_left = left;
	lsm->merging_run = run;
	view_unref(job.runs);
	return r;
}

int lsm_compact(struct lsm *lsm)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	struct run_pick pick = { 0 };
	bool reclaims;
	int r;

	recheck_runs(lsm, view);
	reclaims = lsm_pick_reclaim(lsm, view, &pick.count);
	/* A merge that fills the disk would make it refuse puts: it waits for room. */
	if (!reclaims && !pick_runs(view, view->run_count, RUNS_MAX, lsm_merge_room(lsm), &pick))
		return lsm_compaction_is_due(view) ? -ENOSPC : 0;
	r = compact(lsm, take_ptr(view), pick);
	if (reclaims)
		lsm_reclaimed(lsm, r);
	return r < 0 ? r : 1;
}

/* While there is little room for more in memory, the flush thread has the disk for itself: unless
 * it fails, since merging may free what it lacks, or runs pile up. */
static void give_way_to_flush(struct lsm *lsm)
{
	mutex_lock(&lsm->lock);
	while (lsm->sealed_bytes > lsm->sealed_max / 2 && lsm->flush_error == 0 &&
	       lsm->view->run_count < LSM_RUNS_SLOW && !atomic_load(&lsm->stop))
		condition_wait_until(&lsm->progress, &lsm->lock,
				     clock_monotonic_ms() + GIVE_WAY_MS);
	mutex_unlock(&lsm->lock);
}

static void note_result(struct lsm *lsm, int r) REQUIRES(lsm->lock)
{
	if (r < 0 && r != -ECANCELED && r != lsm->compact_error)
		log_error("compaction failed", "error=\"%s\" retry_ms=%d", strerror(-r),
			  LSM_RETRY_MS);
	lsm->compact_error = r < 0 ? r : 0;
	condition_broadcast(&lsm->progress);
}

/* What was passed takes no more room: that of what was written shows in the disk's. */
static void note_passed(struct lsm *lsm, uint64_t bytes)
{
	bytes = bytes < lsm->merging_left ? bytes : lsm->merging_left;
	lsm->merging_left -= bytes;
	lsm->merging_bytes -= bytes;
}

/* Of the runs that are newer than what is being merged. 1: done; 0: none is due. */
static int merge_newer(struct lsm *lsm)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	size_t newer = 0, runs_max = newer_runs_max[lsm->merges - 1];
	struct run_pick pick = { 0 };
	int r;

	while (newer < view->run_count && view->runs[newer].run != lsm->merging_run)
		newer++;
	if (newer == view->run_count || !pick_runs(view, newer, runs_max, UINT64_MAX, &pick))
		return 0;
	if (!pick_runs(view, newer, runs_max, lsm_merge_room(lsm), &pick))
		return -ENOSPC;
	r = compact(lsm, take_ptr(view), pick);
	if (r < 0)
		lsm->nested_at_ms = clock_monotonic_ms() + LSM_RETRY_MS;
	return r < 0 ? r : 1;
}

int lsm_give_way(struct lsm *lsm, uint64_t passed)
{
	int r;

	note_passed(lsm, passed);
	if (!lsm->options.threads)
		return 0;
	give_way_to_flush(lsm);
	if (lsm->merges >= MERGES_MAX || clock_monotonic_ms() < lsm->nested_at_ms)
		return 0;
	r = merge_newer(lsm);
	if (r == 0 || r == -ECANCELED)
		return r;
	/* The merge that gave way goes on: it may have taken minutes. Writers are not to wait for
	 * its end, though, if runs pile up meanwhile. */
	r = r < 0 ? r : 0;
	mutex_lock(&lsm->lock);
	if (r != lsm->compact_error)
		note_result(lsm, r);
	mutex_unlock(&lsm->lock);
	return 0;
}

void *lsm_compact_thread(void *state)
{
	struct lsm *lsm = state;

	mutex_lock(&lsm->lock);
	while (!atomic_load(&lsm->stop)) {
		uint64_t deadline = clock_monotonic_ms() + LSM_RETRY_MS;
		int r;

		if (!lsm->compacting) {
			condition_wait(&lsm->compact_work, &lsm->lock);
			continue;
		}
		mutex_unlock(&lsm->lock);
		r = lsm_compact(lsm);
		mutex_lock(&lsm->lock);
		note_result(lsm, r);
		lsm->compacting = lsm_compaction_is_due(lsm->view) ||
				  lsm_reclaim_is_due_locked(lsm, lsm->view);
		while (r < 0 && !atomic_load(&lsm->stop) &&
		       condition_wait_until(&lsm->compact_work, &lsm->lock, deadline) == 0)
			;
	}
	mutex_unlock(&lsm->lock);
	return NULL;
}

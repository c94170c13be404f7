/* SPDX-License-Identifier: MIT */
/*
 * Size-tiered compaction: runs are merged once TIER_RUNS neighbours are of one tier (a factor
 * TIER_RUNS of size each), and with the oldest run when the result reaches its tier, so that the
 * largest stays single. Above the soft cap the cheapest neighbours are merged, whatever their
 * tiers. Only neighbours in age are ever merged, so runs stay ordered by age.
 *
 * A damaged run is left out: its bytes may be mended from elsewhere, and merging it would fail.
 *
 * Merges that free the space of value files come first (node/reclaim.c).
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "node/lsm_private.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define TIER_RUNS 4
/* Runs below this many memtables are of the lowest tier. */
#define BASE_MEMTABLES 16

struct pick {
	size_t first, count; /* in view->runs */
};

static unsigned tier_of(const struct lsm *lsm, uint64_t bytes)
{
	uint64_t bound = lsm->options.memtable_bytes * BASE_MEMTABLES;
	unsigned tier = 0;

	for (; bytes >= bound && tier < 32; bytes /= TIER_RUNS)
		tier++;
	return tier;
}

static uint64_t run_bytes(const struct view *view, size_t i)
{
	return segment_bytes(view->runs[i].segment);
}

static uint64_t total_bytes(const struct view *view, struct pick pick)
{
	uint64_t total = 0;

	for (size_t i = 0; i < pick.count; i++)
		total += run_bytes(view, pick.first + i);
	return total;
}

static bool is_sound(const struct view *view, struct pick pick)
{
	for (size_t i = 0; i < pick.count; i++)
		if (segment_is_damaged(view->runs[pick.first + i].segment))
			return false;
	return true;
}

/* The neighbours of @tier or below, if TIER_RUNS of them are of @tier. */
static bool pick_tier(const struct lsm *lsm, const struct view *view, unsigned tier,
		      struct pick *ret_pick)
{
	struct pick pick = { 0 };
	unsigned of_tier = 0;
	size_t end = 0;

	for (; end < view->run_count && tier_of(lsm, run_bytes(view, end)) <= tier; end++) {
		if (tier_of(lsm, run_bytes(view, end)) < tier)
			continue;
		if (of_tier++ == 0)
			pick.first = end;
	}
	if (of_tier < TIER_RUNS)
		return false;
	pick.count = end - pick.first;
	if (end + 1 == view->run_count &&
	    tier_of(lsm, total_bytes(view, pick)) >= tier_of(lsm, run_bytes(view, end)))
		pick.count++;
	*ret_pick = pick;
	return is_sound(view, pick);
}

/* The cheapest neighbours that bring the number of runs down to the soft cap. */
static bool pick_cheapest(const struct view *view, struct pick *ret_pick)
{
	struct pick pick = { .count = view->run_count - LSM_RUNS_SOFT + 1 };
	uint64_t best = UINT64_MAX;

	for (; pick.first + pick.count <= view->run_count; pick.first++) {
		uint64_t bytes = total_bytes(view, pick);

		if (bytes >= best || !is_sound(view, pick))
			continue;
		best = bytes;
		*ret_pick = pick;
	}
	return best < UINT64_MAX;
}

static bool pick_runs(const struct lsm *lsm, const struct view *view, struct pick *ret_pick)
{
	unsigned highest = 0;

	for (size_t i = 0; i < view->run_count; i++) {
		unsigned tier = tier_of(lsm, run_bytes(view, i));

		if (tier > highest)
			highest = tier;
	}
	for (unsigned tier = 0; tier <= highest; tier++)
		if (pick_tier(lsm, view, tier, ret_pick))
			return true;
	return view->run_count > LSM_RUNS_SOFT && pick_cheapest(view, ret_pick);
}

bool lsm_compaction_is_due(const struct lsm *lsm, const struct view *view)
{
	struct pick pick;

	return pick_runs(lsm, view, &pick);
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

static int merge_runs(struct lsm *lsm, const struct view *view, struct pick pick,
		      struct segment **ret_segment)
{
	_cleanup_(merge_freep) struct merge *merge = NULL;
	/* A tombstone hides older versions: it goes once there are none left. */
	bool hides = pick.first + pick.count < view->run_count;
	struct version drop = { 0 };
	uint64_t entries = 0;
	int r;

	if (!hides)
		drop = known_deletions(lsm);
	r = merge_new(pick.count, &merge);
	for (size_t i = 0; i < pick.count && r == 0; i++) {
		struct segment *segment = view->runs[pick.first + i].segment;

		entries += segment_properties(segment)->entries;
		r = merge_add_segment(merge, segment, false, NULL, 0);
	}
	if (r < 0)
		return r;
	merge_start(merge);
	return lsm_write_segment(lsm, merge, entries, drop, ret_segment);
}

static int publish(struct lsm *lsm, uint64_t first_run, size_t count, struct segment *output)
{
	struct view_run run = { .segment = output, .run = first_run };
	struct view *next;
	int r;

	mutex_lock(&lsm->lock);
	r = view_compact(lsm->view, first_run, count, run, &next);
	if (r == 0) {
		lsm_install_locked(lsm, next);
		lsm->counters.compactions++;
		lsm->counters.compacted_bytes += output ? segment_bytes(output) : 0;
		condition_broadcast(&lsm->progress);
	}
	mutex_unlock(&lsm->lock);
	return r;
}

static int commit(struct lsm *lsm, const struct view *view, struct pick pick,
		  struct segment *output)
{
	uint64_t first_run = view->runs[pick.first].run;
	_cleanup_(freep) uint64_t *removed = calloc(pick.count, sizeof(*removed));
	struct manifest_segment added = { .run = first_run };
	struct manifest_edit edit = { .removed = removed,
				      .removed_count = pick.count,
				      .added = &added,
				      .added_count = output != NULL };
	int r;

	if (!removed) {
		if (output)
			segment_obsolete(output);
		return -ENOMEM;
	}
	for (size_t i = 0; i < pick.count; i++)
		removed[i] = segment_file_id(view->runs[pick.first + i].segment);
	if (output)
		added.file_id = segment_file_id(output);
	r = lsm_commit_edit(lsm, &edit, output);
	if (r < 0)
		return r;
	while (publish(lsm, first_run, pick.count, output) < 0)
		usleep(LSM_PUBLISH_RETRY_US);
	/* Only now: a failed edit leaves it open which files a recovery needs. */
	for (size_t i = 0; i < pick.count; i++)
		segment_obsolete(view->runs[pick.first + i].segment);
	return 0;
}

int lsm_compact(struct lsm *lsm)
{
	_cleanup_(segment_unrefp) struct segment *output = NULL;
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	struct pick pick = { 0 };
	bool reclaims;
	int r;

	reclaims = lsm_pick_reclaim(lsm, view, &pick.count);
	if (!reclaims && !pick_runs(lsm, view, &pick))
		return 0;
	r = lsm_mend_manifest(lsm);
	if (r == 0)
		r = merge_runs(lsm, view, pick, &output);
	if (r == 0)
		r = commit(lsm, view, pick, output);
	if (reclaims)
		lsm_reclaimed(lsm, r);
	if (r < 0)
		return r;
	log_debug("runs compacted", "runs=%zu bytes=%" PRIu64 " result_bytes=%" PRIu64, pick.count,
		  total_bytes(view, pick), output ? segment_bytes(output) : 0);
	return 1;
}

static void note_result(struct lsm *lsm, int r) REQUIRES(lsm->lock)
{
	if (r < 0 && r != -ECANCELED && r != lsm->compact_error)
		log_error("compaction failed", "error=\"%s\" retry_ms=%d", strerror(-r),
			  LSM_RETRY_MS);
	lsm->compact_error = r < 0 ? r : 0;
	condition_broadcast(&lsm->progress);
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
		lsm->compacting = lsm_compaction_is_due(lsm, lsm->view) ||
				  lsm_reclaim_is_due_locked(lsm, lsm->view);
		while (r < 0 && !atomic_load(&lsm->stop) &&
		       condition_wait_until(&lsm->compact_work, &lsm->lock, deadline) == 0)
			;
	}
	mutex_unlock(&lsm->lock);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * Space of value files that were replaced or deleted. A file lives while anything names it: a
 * memtable, a segment, the log. Ordinary compaction may take for ever to reach a segment that names
 * a dead one, so the store notes dead files as they arise, and asks now and then: what it noted is
 * flushed, and then the newest runs are merged up to the oldest one that names dead files, if that
 * is worth it:
 * - a merge that writes no more than it frees always is, so every dead byte pays for at most one
 *   byte written;
 * - a small one is after some patience, which asks count: one that writes n times what it frees
 *   waits for n asks;
 * - while the disk is short of room any is that fits, and then also for the sake of inline values.
 *
 * Which files were dead when the tree was opened is not known: that would take reading all entries.
 * They are supposed to be once, if the merge is small or there is no room; else they wait for an
 * ordinary compaction.
 */
#include "node/lsm_private.h"

#include <stdlib.h>

/* What a merge may write though it frees less. */
#define SMALL_MERGE_BYTES ((uint64_t)64 * 1024 * 1024)

struct dead_value {
	uint64_t file_id;
	uint64_t bytes;
	uint64_t position; /* once this is flushed, only segments name it */
};

struct request {
	uint64_t room; /* 0: it is not short */
	uint64_t fits; /* no merge may write more */
	bool all; /* whatever fits into room */
	uint64_t patience;
};

void lsm_note_dead(struct lsm *lsm, uint64_t file_id, uint64_t bytes, uint64_t position)
{
	struct dead_value dead = { .file_id = file_id, .bytes = bytes, .position = position };

	lsm->dead_position = position;
	mutex_lock(&lsm->lock);
	/* Without memory it waits for an ordinary compaction. */
	(void)buf_append(&lsm->dead_noted, &dead, sizeof(dead));
	lsm->has_dead = true;
	mutex_unlock(&lsm->lock);
}

void lsm_note_dead_inline(struct lsm *lsm, uint64_t bytes)
{
	lsm->dead_inline_bytes += bytes;
}

bool lsm_has_dead(struct lsm *lsm)
{
	bool has_dead;

	mutex_lock(&lsm->lock);
	has_dead = lsm->has_dead;
	mutex_unlock(&lsm->lock);
	return has_dead;
}

void lsm_suppose_dead(struct lsm *lsm)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);

	for (size_t i = 0; i < view->run_count; i++)
		if (segment_names_values(view->runs[i].segment))
			lsm->dead_unknown = true;
	lsm->dead_position = lsm->applied_position;
	mutex_lock(&lsm->lock);
	lsm->has_dead = lsm->dead_unknown;
	mutex_unlock(&lsm->lock);
}

int lsm_reclaim(struct lsm *lsm, uint64_t room, bool all)
{
	int r = 0;

	if (memtable_count(lsm->active) == 0)
		lsm->sealed_position = lsm->applied_position;
	else if (all || lsm->dead_position > lsm->sealed_position)
		r = lsm_seal(lsm);
	if (r < 0)
		return r;
	mutex_lock(&lsm->lock);
	lsm->reclaim_wanted = true;
	lsm->reclaim_all |= all;
	lsm->reclaim_room = room;
	lsm->reclaim_position = lsm->sealed_position;
	lsm->reclaim_patience++;
	if (!lsm->compacting && lsm_reclaim_is_due_locked(lsm, lsm->view)) {
		lsm->compacting = true;
		condition_signal(&lsm->compact_work);
	}
	mutex_unlock(&lsm->lock);
	if (!lsm->options.threads)
		lsm_work_inline(lsm);
	return 0;
}

/* Before everything up to the position is flushed, a memtable may still be about to name a dead
 * file in a new segment. */
bool lsm_reclaim_is_due_locked(const struct lsm *lsm, const struct view *view)
{
	size_t sealed = view->sealed_count;

	return lsm->reclaim_wanted &&
	       (sealed == 0 || memtable_position(view->sealed[sealed - 1]) > lsm->reclaim_position);
}

/* False: none, or not yet. What it covers joins the compaction thread's list. */
static bool take_request(struct lsm *lsm, const struct view *view, struct request *ret_request)
{
	struct buf *noted = &lsm->dead_noted;
	size_t bytes = 0;
	bool due;

	mutex_lock(&lsm->lock);
	/* An older view may lack what was sealed for the request. */
	due = view == lsm->view && lsm_reclaim_is_due_locked(lsm, view);
	if (due) {
		const struct dead_value *items = (const void *)noted->data;

		while (bytes < noted->len &&
		       items[bytes / sizeof(*items)].position <= lsm->reclaim_position)
			bytes += sizeof(*items);
		if (bytes > 0 && buf_append(&lsm->dead, noted->data, bytes) == 0)
			buf_consume(noted, bytes);
		*ret_request = (struct request){ .room = lsm->reclaim_room,
						 .all = lsm->reclaim_all,
						 .patience = lsm->reclaim_patience };
		lsm->reclaim_wanted = lsm->reclaim_all = false;
	}
	mutex_unlock(&lsm->lock);
	return due;
}

/* Runs that may be merged with the newest one: behind a damaged one nothing can be dropped. */
static size_t sound_runs(const struct view *view)
{
	size_t count = 0;

	while (count < view->run_count && !segment_is_damaged(view->runs[count].segment))
		count++;
	return count;
}

/* How many runs must be merged, from the newest on, until none names the file. */
static size_t runs_to_merge(const struct view *view, size_t sound, uint64_t file_id)
{
	while (sound > 0 && !segment_value(view->runs[sound - 1].segment, file_id))
		sound--;
	return sound;
}

static size_t runs_with_values(const struct view *view, size_t sound)
{
	while (sound > 0 && !segment_names_values(view->runs[sound - 1].segment))
		sound--;
	return sound;
}

/* Forgets what no merge can free any more. gains[n]: bytes that a merge of n runs frees and a
 * smaller one doesn't; may be NULL. */
static void weigh(struct lsm *lsm, const struct view *view, uint64_t *gains)
{
	struct dead_value *items = (void *)lsm->dead.data;
	size_t count = lsm->dead.len / sizeof(*items), kept = 0, sound = sound_runs(view);

	for (size_t i = 0; i < count; i++) {
		size_t runs = runs_to_merge(view, sound, items[i].file_id);

		/* The newest run holds what replaced it. */
		if (runs < 2)
			continue;
		if (gains)
			gains[runs] += items[i].bytes;
		items[kept++] = items[i];
	}
	lsm->dead.len = kept * sizeof(*items);
	if (runs_with_values(view, sound) < 2)
		lsm->dead_unknown = false;
	mutex_lock(&lsm->lock);
	lsm->has_dead = lsm->dead.len > 0 || lsm->dead_noted.len > 0 || lsm->dead_unknown;
	if (!lsm->has_dead)
		lsm->reclaim_patience = 0;
	mutex_unlock(&lsm->lock);
}

static bool is_worth(const struct request *request, uint64_t cost, uint64_t gain)
{
	if (cost > request->fits)
		return false;
	if (request->room > 0 || cost <= gain)
		return true;
	return cost <= SMALL_MERGE_BYTES && cost <= gain * request->patience;
}

static size_t choose(const struct lsm *lsm, const struct view *view, const uint64_t *gains,
		     const struct request *request)
{
	size_t sound = sound_runs(view), best = 0;
	size_t unknown = lsm->dead_unknown ? runs_with_values(view, sound) : 0;
	uint64_t cost = 0, gain = 0;

	for (size_t runs = 1; runs <= sound; runs++) {
		cost += segment_bytes(view->runs[runs - 1].segment);
		gain += gains[runs];
		if (gains[runs] > 0 && is_worth(request, cost, gain))
			best = runs;
		if (runs == unknown && cost <= request->fits &&
		    (request->room > 0 || cost <= SMALL_MERGE_BYTES))
			best = runs;
		if (request->all && cost <= request->room)
			best = runs;
	}
	return best > 1 ? best : 0;
}

bool lsm_pick_reclaim(struct lsm *lsm, const struct view *view, size_t *ret_runs)
{
	_cleanup_(freep) uint64_t *gains = calloc(view->run_count + 1, sizeof(*gains));
	struct request request;
	size_t runs;

	if (!gains || !take_request(lsm, view, &request))
		return false;
	request.fits = request.room > 0 ? request.room : lsm_merge_room(lsm);
	weigh(lsm, view, gains);
	runs = choose(lsm, view, gains, &request);
	if (runs == 0)
		return false;
	lsm->retry_room = request.all ? request.room / 2 : 0;
	*ret_runs = runs;
	return true;
}

void lsm_reclaimed(struct lsm *lsm, int result)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);

	mutex_lock(&lsm->lock);
	if (result == 0) {
		lsm->reclaim_patience = 0;
	} else if (lsm->retry_room > 0) {
		/* Tried again with less, so that it ends. Dead files are asked for again. */
		lsm->reclaim_wanted = lsm->reclaim_all = true;
		lsm->reclaim_room = lsm->retry_room;
	}
	mutex_unlock(&lsm->lock);
	if (result == 0)
		weigh(lsm, view, NULL);
}

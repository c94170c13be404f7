/* SPDX-License-Identifier: MIT */
/*
 * Leading and following. The order that keeps a version from ever naming two values, whatever a
 * power cut takes:
 *   1. the promise of an epoch is durable (store_promise());
 *   2. the log is on stable storage up to its end;
 *   3. the history says that the epoch begins behind that end;
 *   4. writes get versions of it.
 * After a cut between them the promise, or the history, knows of an epoch in which nothing was
 * written; the next one is later than both.
 */
#include "node/store_private.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/epoch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Whether @r says that there was no room, and there may be some now: what was set aside is for
 * this, too. A node on a full disk still has to know its place. */
static bool made_room(struct store *store, int r)
{
	if ((r != -ENOSPC && r != -EDQUOT) || !store->commit)
		return false;
	return commit_make_room(store->commit) == 0;
}

/* @next is durable; *next is the old one then. */
static void install_history(struct store *store, struct history *next)
{
	struct history old;

	mutex_lock(&store->lock);
	old = store->files.history;
	store->files.history = *next;
	mutex_unlock(&store->lock);
	*next = old;
}

int store_history(struct store *store, struct history *ret_copy)
{
	int r;

	mutex_lock(&store->lock);
	r = history_copy(&store->files.history, ret_copy);
	mutex_unlock(&store->lock);
	return r;
}

static int try_begin(struct store *store, struct history *history, uint64_t epoch,
		     uint64_t first_sequence, const struct lineage *if_none)
{
	return history_begin(history, store->options.vfs, store->dir,
			     store->files.identity.store_id, if_none, epoch, first_sequence);
}

static int begin_epoch(struct store *store, uint64_t epoch, uint64_t first_sequence,
		       const struct lineage *if_none)
{
	_cleanup_(history_deinit) struct history next = { 0 };
	int r;

	r = store_history(store, &next);
	if (r == 0)
		r = try_begin(store, &next, epoch, first_sequence, if_none);
	if (made_room(store, r))
		r = try_begin(store, &next, epoch, first_sequence, if_none);
	if (r == 0)
		install_history(store, &next);
	return r;
}

void store_note_log(const struct store *store, struct standing *standing)
{
	standing->log_file = wal_current_file(store->wal);
	standing->log_position = wal_synced(store->wal).position;
}

static int write_standing_locked(struct store *store, struct standing *standing)
	REQUIRES(&store->standing_lock)
{
	const uint8_t *store_id = store->files.identity.store_id;
	int r;

	store_note_log(store, standing);
	r = standing_write(store->options.vfs, store->dir, store_id, standing);
	if (made_room(store, r))
		r = standing_write(store->options.vfs, store->dir, store_id, standing);
	if (r < 0)
		return r;
	mutex_lock(&store->lock);
	store->files.standing = *standing;
	mutex_unlock(&store->lock);
	return 0;
}

int store_promise(struct store *store, uint64_t epoch)
{
	struct standing standing;
	int r = 0;

	mutex_lock(&store->standing_lock);
	standing = store->files.standing;
	if (epoch < standing.promise) {
		r = -ESTALE;
	} else if (epoch > standing.promise) {
		/* Before anybody can hear of it: what is acknowledged from now on is not in an
		 * epoch that this node has given up. */
		if (commit_role(store->commit) == STORE_LEADING)
			commit_follow(store->commit);
		standing.promise = epoch;
		r = write_standing_locked(store, &standing);
	}
	mutex_unlock(&store->standing_lock);
	return r;
}

void store_deletions_are_known(struct store *store, struct version point)
{
	lsm_deletions_are_known(store->lsm, point);
}

int store_set_whole(struct store *store)
{
	struct standing standing;
	int r = 0;

	mutex_lock(&store->standing_lock);
	standing = store->files.standing;
	if (!standing.whole) {
		standing.whole = true;
		standing.ahead = (struct version){ 0 };
		r = write_standing_locked(store, &standing);
	}
	mutex_unlock(&store->standing_lock);
	return r;
}

int store_set_ahead(struct store *store, struct version ahead)
{
	struct standing standing;
	int r = 0;

	mutex_lock(&store->standing_lock);
	standing = store->files.standing;
	if (standing.whole || version_compare(standing.ahead, ahead) != 0) {
		standing.whole = false;
		standing.ahead = ahead;
		r = write_standing_locked(store, &standing);
	}
	mutex_unlock(&store->standing_lock);
	return r;
}

struct lead {
	struct store *store;
	uint64_t epoch;
	const struct lineage *if_none;
	bool renew;
};

static int begin(struct commit *commit, void *state)
{
	const struct lead *lead = state;
	struct store *store = lead->store;
	enum store_role role = commit_role(commit);
	struct wal_mark end;
	int r;

	if (role == STORE_LEADING || role == STORE_PAUSED ||
	    lead->epoch != store->files.standing.promise)
		return -EINVAL;
	r = commit_settle(commit);
	if (r < 0)
		return r;
	end = commit_end(commit);
	r = begin_epoch(store, lead->epoch, end.sequence + 1, lead->if_none);
	if (r < 0 || !lead->renew)
		return r;
	r = store_renew(store, commit, lead->epoch);
	if (made_room(store, r))
		r = store_renew(store, commit, lead->epoch);
	return r;
}

static int take_writes(struct commit *commit, void *state)
{
	const struct lead *lead = state;

	commit_lead(commit, lead->epoch);
	log_info("leading", "epoch=%" PRIx64 " sequence=%" PRIu64, lead->epoch,
		 commit_end(commit).sequence);
	return 0;
}

static int lead_locked(struct store *store, struct lead *lead) REQUIRES(&store->standing_lock)
{
	struct standing standing = store->files.standing;
	int r;

	lead->renew = standing.ahead.sequence > 0;
	r = commit_call(store->commit, begin, lead);
	if (r == 0 && lead->renew) {
		standing.whole = true;
		standing.ahead = (struct version){ 0 };
		r = write_standing_locked(store, &standing);
	}
	return r == 0 ? commit_call(store->commit, take_writes, lead) : r;
}

int store_lead(struct store *store, uint64_t epoch, const struct lineage *if_none)
{
	struct lead lead = { .store = store, .epoch = epoch, .if_none = if_none };
	int r;

	/* No promise is made meanwhile. */
	mutex_lock(&store->standing_lock);
	r = lead_locked(store, &lead);
	mutex_unlock(&store->standing_lock);
	if (r < 0)
		return r;
	/* If this fails it is told so again when it follows: until then nobody asks. */
	if (store_set_whole(store) < 0)
		log_warn("not known to be whole", "%s", "the disk did not take it");
	return 0;
}

int store_lead_next(struct store *store, uint16_t node_id)
{
	struct lineage lineage;
	uint64_t last, epoch;
	int r;

	mutex_lock(&store->lock);
	lineage = store->files.history.lineage;
	last = store->files.standing.promise;
	if (history_last_epoch(&store->files.history) > last)
		last = history_last_epoch(&store->files.history);
	mutex_unlock(&store->lock);
	if (!lineage_is_set(&lineage))
		lineage_begin(store->options.realtime_ns(), &lineage);
	epoch = last >> 32 > 0 ? epoch_after_start(last, node_id) : epoch_first(&lineage, node_id);
	if (epoch == 0)
		return -EOVERFLOW;
	r = store_promise(store, epoch);
	return r < 0 ? r : store_lead(store, epoch, &lineage);
}

int store_follow(struct store *store)
{
	commit_follow(store->commit);
	return 0;
}

static int settle(struct commit *commit, void *state)
{
	(void)state;
	return commit_settle(commit);
}

int store_settle(struct store *store)
{
	return commit_call(store->commit, settle, NULL);
}

void store_pause(struct store *store, struct store_pause *pause)
{
	commit_pause(store->commit, pause);
}

void store_resume(struct store *store)
{
	bool stale;

	mutex_lock(&store->lock);
	stale = store->files.standing.promise != history_last_epoch(&store->files.history);
	mutex_unlock(&store->lock);
	if (stale)
		commit_follow(store->commit);
	else
		commit_resume(store->commit);
}

struct adoption {
	struct store *store;
	const struct lineage *lineage;
	struct history_epoch *epochs; /* not changed */
	size_t count;
};

static int adopt_history(struct store *store, struct history *history,
			 const struct lineage *lineage, const struct history *theirs)
{
	return history_adopt(history, store->options.vfs, store->dir,
			     store->files.identity.store_id, lineage, theirs->epochs,
			     theirs->count);
}

static int adopt(struct commit *commit, void *state)
{
	const struct adoption *adoption = state;
	struct store *store = adoption->store;
	_cleanup_(history_deinit) struct history next = { 0 };
	struct wal_mark end = commit_end(commit);
	size_t count = adoption->count;
	struct history theirs;
	bool same;
	int r;

	if (commit_role(commit) == STORE_LEADING || commit_role(commit) == STORE_PAUSED)
		return -EPERM;
	r = store_history(store, &next);
	if (r < 0)
		return r;
	same = !lineage_is_set(&next.lineage) || lineage_equal(&next.lineage, adoption->lineage);
	if (!same && end.position > 0)
		return -EINVAL;
	/* Opening takes an epoch that begins later for entries that were lost. */
	while (count > 0 && adoption->epochs[count - 1].first_sequence > end.sequence + 1)
		count--;
	theirs = (struct history){ .epochs = adoption->epochs, .count = count };
	if (!history_contains(&theirs, (struct version){ end.epoch, end.sequence }))
		return -EINVAL;
	r = adopt_history(store, &next, adoption->lineage, &theirs);
	if (made_room(store, r))
		r = adopt_history(store, &next, adoption->lineage, &theirs);
	if (r == 0)
		install_history(store, &next);
	return r;
}

int store_adopt_history(struct store *store, const struct lineage *lineage,
			const struct history_epoch *epochs, size_t count)
{
	struct adoption adoption = { store, lineage, (struct history_epoch *)(uintptr_t)epochs,
				     count };

	return commit_call(store->commit, adopt, &adoption);
}

/* Entries behind it are in the log. */
static int log_begin(struct store *store, struct version *ret_begin)
{
	_cleanup_(freep) struct wal_extent *extents = NULL;
	struct wal_mark synced;
	size_t count;
	int r;

	r = wal_extents(store->wal, &extents, &count, &synced);
	if (r < 0)
		return r;
	if (count > 0)
		synced = extents[0].base;
	*ret_begin = (struct version){ synced.epoch, synced.sequence };
	return 0;
}

int store_standing(struct store *store, struct store_standing *ret_standing)
{
	struct store_standing standing = { .role = commit_role(store->commit) };
	struct wal_mark synced = wal_synced(store->wal);
	struct commit_stats stats;
	int r;

	r = log_begin(store, &standing.log_begin);
	if (r < 0)
		return r;
	commit_stats(store->commit, &stats);
	standing.end = stats.last;
	standing.synced = (struct version){ synced.epoch, synced.sequence };
	standing.empty = stats.position == 0;
	memcpy(standing.store_id, store->files.identity.store_id, 16);
	mutex_lock(&store->lock);
	standing.epoch = history_last_epoch(&store->files.history);
	standing.promise = store->files.standing.promise;
	standing.whole = store->files.standing.whole;
	standing.ahead = store->files.standing.ahead;
	standing.opened = store->files.standing.opened;
	standing.lineage = store->files.history.lineage;
	mutex_unlock(&store->lock);
	*ret_standing = standing;
	return 0;
}

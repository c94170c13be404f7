/* SPDX-License-Identifier: MIT */
/*
 * Syncing the log: for a group, for a flush, and, in a thread of its own, for `memory` writes that
 * nobody waits for. One sync at a time, outside wal_lock, so that whoever only appends does not
 * wait for the disk; who needs a new file, or another sync, waits for the one that is under way.
 *
 * A sync promises what was appended before it began, and nothing that came meanwhile. If it fails
 * the log is broken, and who has the turn (node/commit.c) reopens it: only that one knows whether a
 * group is half way through.
 */
#include "node/commit_private.h"

#include <stdatomic.h>

void commit_tell_synced(struct commit *commit)
{
	struct wal_mark mark = wal_synced(commit->options.wal);
	bool news;

	mutex_lock(&commit->lock);
	news = mark.position != commit->told.position || mark.sequence != commit->told.sequence ||
	       mark.epoch != commit->told.epoch;
	commit->told = mark;
	mutex_unlock(&commit->lock);
	if (news)
		commit->options.synced(commit->options.state);
}

void commit_wait_for_sync(struct commit *commit)
{
	while (commit->syncing)
		condition_wait(&commit->sync_ended, &commit->wal_lock);
}

int commit_append_locked(struct commit *commit, const struct wal_record *record)
{
	if (!wal_fits(commit->options.wal, record->payload_len))
		commit_wait_for_sync(commit);
	return wal_append(commit->options.wal, record);
}

int commit_sync_locked(struct commit *commit)
{
	struct wal_sync sync;
	int r;

	commit_wait_for_sync(commit);
	r = wal_sync_begin(commit->options.wal, &sync);
	if (r != WAL_TO_SYNC)
		return r;
	commit->syncing = true;
	mutex_unlock(&commit->wal_lock);
	r = wal_sync_run(&sync);
	mutex_lock(&commit->lock);
	commit->stats.syncs++;
	mutex_unlock(&commit->lock);
	mutex_lock(&commit->wal_lock);
	commit->syncing = false;
	condition_broadcast(&commit->sync_ended);
	return wal_sync_end(commit->options.wal, &sync, r);
}

int commit_sync_log(struct commit *commit)
{
	bool news;
	int r;

	mutex_lock(&commit->wal_lock);
	r = commit_sync_locked(commit);
	/* Before anybody can reopen it: else it would be wanted for good. */
	news = r < 0 && wal_is_broken(commit->options.wal) && !commit->wants_reopen;
	if (news)
		commit->wants_reopen = true;
	mutex_unlock(&commit->wal_lock);
	if (r == 0)
		commit_tell_synced(commit);
	if (news) {
		mutex_lock(&commit->lock);
		condition_signal(&commit->work);
		mutex_unlock(&commit->lock);
	}
	return r;
}

void commit_want_sync_locked(struct commit *commit)
{
	commit->sync_wanted = true;
	condition_signal(&commit->sync_work);
}

void commit_want_sync(struct commit *commit)
{
	mutex_lock(&commit->wal_lock);
	commit_want_sync_locked(commit);
	mutex_unlock(&commit->wal_lock);
}

static void *run(void *state)
{
	struct commit *commit = state;

	mutex_lock(&commit->wal_lock);
	while (commit->sync_wanted || !commit->sync_stops) {
		if (!commit->sync_wanted) {
			condition_wait(&commit->sync_work, &commit->wal_lock);
			continue;
		}
		commit->sync_wanted = false;
		mutex_unlock(&commit->wal_lock);
		(void)commit_sync_log(commit);
		mutex_lock(&commit->wal_lock);
	}
	mutex_unlock(&commit->wal_lock);
	return NULL;
}

int commit_sync_start(struct commit *commit)
{
	int r = -pthread_create(&commit->sync_thread, NULL, run, commit);

	commit->sync_thread_runs = r == 0;
	return r;
}

void commit_sync_stop(struct commit *commit)
{
	if (!commit->sync_thread_runs)
		return;
	mutex_lock(&commit->wal_lock);
	commit->sync_stops = true;
	condition_signal(&commit->sync_work);
	mutex_unlock(&commit->wal_lock);
	pthread_join(commit->sync_thread, NULL);
	commit->sync_thread_runs = false;
}

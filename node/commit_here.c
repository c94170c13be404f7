/* SPDX-License-Identifier: MIT */
/*
 * A thread that has to wait for its write anyway commits it itself, if nobody else is at it: that
 * takes less time than to wake the commit thread and to be woken by it. What comes meanwhile waits
 * for the commit thread, which has precedence, so none of it waits for more than one such write.
 */
#include "node/commit_private.h"

#include <stdatomic.h>

struct waiter {
	struct mutex lock;
	struct condition answered;
	bool done;
};

static void note_done(struct store_write *write)
{
	struct waiter *waiter = write->state;

	mutex_lock(&waiter->lock);
	waiter->done = true;
	condition_signal(&waiter->answered);
	mutex_unlock(&waiter->lock);
}

static void wait(struct waiter *waiter)
{
	mutex_lock(&waiter->lock);
	while (!waiter->done)
		condition_wait(&waiter->answered, &waiter->lock);
	mutex_unlock(&waiter->lock);
	condition_deinit(&waiter->answered);
	mutex_deinit(&waiter->lock);
}

/* Nobody is at it, and there is nothing that time or another thread brought the commit thread to
 * do first. */
static bool is_idle(const struct commit *commit) REQUIRES(&commit->lock)
{
	return !commit->taken && !commit->wants_turn && !commit->head && !commit->batches &&
	       !commit_cold_is_back(commit) && !commit_role_has_work(commit) && !commit->closing &&
	       commit->role == STORE_LEADING && !atomic_load(&commit->wants_room) &&
	       !atomic_load(&commit->wants_reopen) && commit_now_ms(commit) < commit->retry_at_ms;
}

/* The commit thread is woken only for what it would otherwise come to too late. */
static bool thread_is_due(const struct commit *commit) REQUIRES(&commit->lock)
{
	uint64_t at = commit_next_tick(commit);

	if (commit->wants_turn || commit->head || commit->batches || commit->closing ||
	    commit_cold_is_back(commit) || commit_role_has_work(commit))
		return true;
	return at > 0 && (commit->wakes_at_ms == 0 || at < commit->wakes_at_ms);
}

static void commit_mine(struct commit *commit, struct store_write *write)
{
	/* The store led when this began, so the write counts, whatever the role is by now: who
	 * changes it waits for this turn to end before it relies on the change. */
	commit_some(commit, &write);
	mutex_lock(&commit->lock);
	commit_end_turn(commit);
	if (thread_is_due(commit))
		condition_signal(&commit->work);
	mutex_unlock(&commit->lock);
}

void commit_here(struct commit *commit, struct store_write *write)
{
	struct waiter waiter = { 0 };
	bool mine;

	mutex_init(&waiter.lock);
	condition_init(&waiter.answered);
	write->done = note_done;
	write->state = &waiter;
	commit_prepare(write);
	mutex_lock(&commit->lock);
	mine = commit->options.threads && is_idle(commit);
	if (mine)
		commit_take_turn(commit);
	mutex_unlock(&commit->lock);
	if (mine)
		commit_mine(commit, write);
	else
		commit_queue(commit, write, write);
	/* Also if it was mine: it may have been set aside. */
	wait(&waiter);
}

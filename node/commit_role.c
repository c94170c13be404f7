/* SPDX-License-Identifier: MIT */
/*
 * Whether the commit thread takes writes, and what else it is asked to do between two groups. A
 * change of role shows to new writes at once; the writes of a group that is under way are committed
 * as what they were when it began.
 */
#include "node/commit_private.h"

#include <errno.h>

enum store_role commit_role(struct commit *commit)
{
	enum store_role role;

	mutex_lock(&commit->lock);
	role = commit->role;
	mutex_unlock(&commit->lock);
	return role;
}

/* They wait at the head of the queue again. */
static void put_back(struct commit *commit, struct store_write *list) REQUIRES(&commit->lock)
{
	struct store_write **link;

	list = commit_keep_cold(commit, list);
	link = &list;
	while (*link)
		link = &(*link)->next;
	if (!commit->head)
		commit->tail = link;
	*link = commit->head;
	commit->head = list;
}

bool commit_may_write(struct commit *commit, struct store_write **list)
{
	enum outcome refusal = OUTCOME_MISDIRECTED;
	bool waits;

	mutex_lock(&commit->lock);
	if (commit->role == STORE_LEADING) {
		mutex_unlock(&commit->lock);
		commit_refuse_stale(commit, list);
		return *list != NULL;
	}
	waits = commit->role == STORE_PAUSED && !commit->closing;
	if (waits)
		put_back(commit, *list);
	else if (commit->role == STORE_PAUSED)
		refusal = OUTCOME_UNAVAILABLE;
	mutex_unlock(&commit->lock);
	if (!waits)
		commit_refuse(commit, *list, refusal);
	*list = NULL;
	return false;
}

bool commit_role_has_work(const struct commit *commit)
{
	return commit->calls || commit->pause;
}

static void run_calls(struct commit *commit)
{
	struct commit_call *call;

	mutex_lock(&commit->lock);
	while ((call = commit->calls)) {
		commit->calls = call->next;
		mutex_unlock(&commit->lock);
		call->result = call->task(commit, call->state);
		mutex_lock(&commit->lock);
		call->done = true;
		condition_broadcast(&commit->called);
	}
	mutex_unlock(&commit->lock);
}

void commit_role_work(struct commit *commit)
{
	struct store_pause *pause;
	bool paused;

	run_calls(commit);
	mutex_lock(&commit->lock);
	pause = commit->pause;
	commit->pause = NULL;
	paused = commit->role == STORE_PAUSED;
	mutex_unlock(&commit->lock);
	if (!pause)
		return;
	pause->result = paused ? commit_settle(commit) : -ECANCELED;
	pause->done(pause);
}

static bool is_inside(const struct commit *commit)
{
	return commit->options.threads
		       ? commit->taken && pthread_equal(commit->taker, pthread_self())
		       : commit->busy;
}

int commit_call(struct commit *commit, commit_task_fn task, void *state)
{
	struct commit_call call = { .task = task, .state = state, .result = -ESHUTDOWN };
	struct commit_call **link;

	mutex_lock(&commit->lock);
	if (is_inside(commit)) {
		mutex_unlock(&commit->lock);
		return task(commit, state);
	}
	if (commit->closing) {
		mutex_unlock(&commit->lock);
		return -ESHUTDOWN;
	}
	for (link = &commit->calls; *link;)
		link = &(*link)->next;
	*link = &call;
	condition_signal(&commit->work);
	mutex_unlock(&commit->lock);
	commit_run_inline(commit);
	mutex_lock(&commit->lock);
	while (!call.done)
		condition_wait(&commit->called, &commit->lock);
	mutex_unlock(&commit->lock);
	return call.result;
}

int commit_settle(struct commit *commit)
{
	int r;

	/* Not later, as it would be for writes: somebody waits for it. */
	commit->retry_at_ms = 0;
	r = commit_make_ready(commit);
	if (r == 0)
		r = commit_sync_log(commit);
	if (r == 0)
		commit->sync_at_ms = 0;
	return r;
}

struct wal_mark commit_end(const struct commit *commit)
{
	return wal_last(commit->options.wal);
}

int commit_rotate_log(struct commit *commit)
{
	int r;

	mutex_lock(&commit->wal_lock);
	commit_wait_for_sync(commit);
	r = wal_rotate(commit->options.wal, commit->options.realtime_ns());
	commit->wants_reopen |= wal_is_broken(commit->options.wal);
	mutex_unlock(&commit->wal_lock);
	return r;
}

int commit_restart_log(struct commit *commit, uint64_t epoch)
{
	struct wal *wal = commit->options.wal;
	int r;

	mutex_lock(&commit->wal_lock);
	commit_wait_for_sync(commit);
	r = wal_restart(wal, epoch, commit->options.realtime_ns());
	mutex_unlock(&commit->wal_lock);
	if (r < 0) {
		commit_make_ready(commit);
		return r;
	}
	commit->next.sequence = wal_last(wal).sequence + 1;
	commit_note_stats(commit, 0);
	commit_tell_synced(commit);
	return 0;
}

static void set_role(struct commit *commit, enum store_role role)
{
	mutex_lock(&commit->lock);
	commit->role = role;
	condition_signal(&commit->work);
	mutex_unlock(&commit->lock);
}

void commit_lead(struct commit *commit, uint64_t epoch)
{
	commit->next.epoch = epoch;
	commit->leads++;
	set_role(commit, STORE_LEADING);
}

static int make_room(struct commit *commit, void *state)
{
	(void)state;
	commit_set_full(commit, true);
	return 0;
}

int commit_make_room(struct commit *commit)
{
	return commit_call(commit, make_room, NULL);
}

static int do_nothing(struct commit *commit, void *state)
{
	(void)commit;
	(void)state;
	return 0;
}

void commit_follow(struct commit *commit)
{
	set_role(commit, STORE_FOLLOWING);
	/* Behind whatever is under way. When it is stopped nothing is. */
	(void)commit_call(commit, do_nothing, NULL);
}

void commit_pause(struct commit *commit, struct store_pause *pause)
{
	bool leads;

	mutex_lock(&commit->lock);
	leads = commit->role == STORE_LEADING && !commit->closing;
	if (leads) {
		commit->role = STORE_PAUSED;
		commit->pause = pause;
		condition_signal(&commit->work);
	}
	mutex_unlock(&commit->lock);
	if (leads) {
		commit_run_inline(commit);
	} else {
		pause->result = -EPERM;
		pause->done(pause);
	}
}

void commit_resume(struct commit *commit)
{
	mutex_lock(&commit->lock);
	if (commit->role == STORE_PAUSED) {
		commit->role = STORE_LEADING;
		condition_signal(&commit->work);
	}
	mutex_unlock(&commit->lock);
	commit_run_inline(commit);
}

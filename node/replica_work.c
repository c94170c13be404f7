/* SPDX-License-Identifier: MIT */
/*
 * What takes long, a checkpoint of many files or the verification of a copy, is done beside the
 * replication thread: its peers go on being answered. A work touches nothing of the core while it
 * runs; what it has found is acted on by its done(), by which time the world may be another one.
 */
#include "node/replica_private.h"

/* In another thread, or inside replica_work(). */
static void run(void *argument)
{
	struct replica_work *work = argument;
	struct replica *replica = work->replica;

	work->run(work);
	mutex_lock(&replica->lock);
	work->next = replica->works_done;
	replica->works_done = work;
	replica->works_out--;
	replica->transport->wake(replica->options.state);
	condition_broadcast(&replica->idle);
	mutex_unlock(&replica->lock);
}

void replica_work(struct replica *replica, struct replica_work *work)
{
	work->replica = replica;
	mutex_lock(&replica->lock);
	replica->works_out++;
	mutex_unlock(&replica->lock);
	if (replica->transport->work) {
		replica->transport->work(replica->options.state, run, work);
		return;
	}
	run(work);
	replica_work_tick(replica);
}

void replica_work_tick(struct replica *replica)
{
	struct replica_work *work, *next;

	mutex_lock(&replica->lock);
	work = replica->works_done;
	replica->works_done = NULL;
	mutex_unlock(&replica->lock);
	for (; work; work = next) {
		next = work->next;
		work->done(work);
	}
}

void replica_work_drain(struct replica *replica)
{
	mutex_lock(&replica->lock);
	while (replica->works_out > 0)
		condition_wait(&replica->idle, &replica->lock);
	mutex_unlock(&replica->lock);
	replica_work_tick(replica);
}

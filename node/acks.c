/* SPDX-License-Identifier: MIT */
/*
 * For each number of followers there is a list of waits, ordered by sequence, and the sequence that
 * so many followers have passed. News of a follower moves these marks and takes from each list what
 * lies at or below its own. Marks never go back within an epoch: what a follower has once had on
 * stable storage as part of this epoch's history, it gives up only to a later epoch.
 *
 * done() is called without the lock, so that it may do what it likes. A wait that is about to be
 * done has left its list: acks_cancel() tells its owner so.
 */
#include "node/acks.h"

#include "lib/mutex.h"

#include <stdlib.h>

struct waits {
	struct ack_wait *oldest, *newest;
	uint64_t passed; /* by as many followers as the list's waits need */
};

struct acks {
	unsigned nodes; /* immutable */

	struct mutex lock;
	/* protected by lock */
	uint64_t epoch; /* 0: the node does not lead */
	uint64_t *passed; /* by node */
	struct waits *waits; /* by the number of followers */
	unsigned waiting;
	uint64_t waited; /* those that wait, too */
};

unsigned acks_followers(enum ack ack, unsigned nodes)
{
	switch (ack) {
	case ACK_QUORUM:
		return nodes / 2; /* with the leader a majority */
	case ACK_ALL:
		return nodes - 1;
	case ACK_LEADER:
		break;
	}
	return 0;
}

struct acks *acks_new(unsigned nodes)
{
	struct acks *acks = calloc(1, sizeof(*acks));

	if (!acks)
		return NULL;
	acks->nodes = nodes;
	mutex_init(&acks->lock);
	acks->passed = calloc(nodes, sizeof(*acks->passed));
	acks->waits = calloc(nodes, sizeof(*acks->waits));
	if (acks->passed && acks->waits)
		return acks;
	return acks_free(acks);
}

struct acks *acks_free(struct acks *acks)
{
	if (!acks)
		return NULL;
	assert(acks->waiting == 0);
	mutex_deinit(&acks->lock);
	free(acks->passed);
	free(acks->waits);
	free(acks);
	return NULL;
}

/* Nearly always behind the newest. */
static void add_locked(struct acks *acks, struct ack_wait *wait) REQUIRES(acks->lock)
{
	struct waits *waits = &acks->waits[wait->followers];
	struct ack_wait *older = waits->newest;

	while (older && older->point.sequence > wait->point.sequence)
		older = older->older;
	wait->older = older;
	wait->newer = older ? older->newer : waits->oldest;
	if (older)
		older->newer = wait;
	else
		waits->oldest = wait;
	if (wait->newer)
		wait->newer->older = wait;
	else
		waits->newest = wait;
	wait->waiting = true;
	acks->waiting++;
	acks->waited++;
}

static void remove_locked(struct acks *acks, struct ack_wait *wait) REQUIRES(acks->lock)
{
	struct waits *waits = &acks->waits[wait->followers];

	if (wait->older)
		wait->older->newer = wait->newer;
	else
		waits->oldest = wait->newer;
	if (wait->newer)
		wait->newer->older = wait->older;
	else
		waits->newest = wait->older;
	wait->waiting = false;
	acks->waiting--;
}

enum acks_result acks_wait(struct acks *acks, struct ack_wait *wait)
{
	enum acks_result result = ACKS_WAITING;

	assert(wait->followers < acks->nodes);
	wait->waiting = false;
	if (wait->followers == 0)
		return ACKS_HELD;
	mutex_lock(&acks->lock);
	if (acks->epoch == 0 || wait->point.epoch != acks->epoch)
		result = ACKS_LOST;
	else if (wait->point.sequence <= acks->waits[wait->followers].passed)
		result = ACKS_HELD;
	else
		add_locked(acks, wait);
	mutex_unlock(&acks->lock);
	return result;
}

bool acks_cancel(struct acks *acks, struct ack_wait *wait)
{
	bool waiting;

	mutex_lock(&acks->lock);
	waiting = wait->waiting;
	if (waiting)
		remove_locked(acks, wait);
	mutex_unlock(&acks->lock);
	return waiting;
}

unsigned acks_waiting(struct acks *acks)
{
	unsigned waiting;

	mutex_lock(&acks->lock);
	waiting = acks->waiting;
	mutex_unlock(&acks->lock);
	return waiting;
}

uint64_t acks_waited(struct acks *acks)
{
	uint64_t waited;

	mutex_lock(&acks->lock);
	waited = acks->waited;
	mutex_unlock(&acks->lock);
	return waited;
}

/* Moves what lies at or below @sequence from the list to the chain *taken, linked by newer. */
static void take_locked(struct acks *acks, struct waits *waits, uint64_t sequence,
			struct ack_wait **taken) REQUIRES(acks->lock)
{
	while (waits->oldest && waits->oldest->point.sequence <= sequence) {
		struct ack_wait *wait = waits->oldest;

		remove_locked(acks, wait);
		wait->newer = *taken;
		*taken = wait;
	}
}

static void tell(struct ack_wait *taken, enum acks_result result)
{
	while (taken) {
		struct ack_wait *wait = taken;

		taken = wait->newer;
		wait->done(wait, result);
	}
}

/* The node's role changes: 0 if it leads no longer. */
static void change(struct acks *acks, uint64_t epoch)
{
	struct ack_wait *taken = NULL;

	mutex_lock(&acks->lock);
	acks->epoch = epoch;
	for (unsigned i = 0; i < acks->nodes; i++) {
		acks->passed[i] = acks->waits[i].passed = 0;
		take_locked(acks, &acks->waits[i], UINT64_MAX, &taken);
	}
	mutex_unlock(&acks->lock);
	tell(taken, ACKS_LOST);
}

void acks_lead(struct acks *acks, uint64_t epoch)
{
	change(acks, epoch);
}

void acks_stop(struct acks *acks)
{
	change(acks, 0);
}

static unsigned count_passed_locked(const struct acks *acks, uint64_t sequence) REQUIRES(acks->lock)
{
	unsigned count = 0;

	for (unsigned i = 0; i < acks->nodes; i++)
		count += acks->passed[i] >= sequence;
	return count;
}

/* A node's mark has risen: it is the mark of each list whose number of followers is there now. */
static void raise_locked(struct acks *acks, struct ack_wait **taken) REQUIRES(acks->lock)
{
	for (unsigned i = 0; i < acks->nodes; i++) {
		unsigned count = count_passed_locked(acks, acks->passed[i]);

		for (unsigned needed = 1; needed <= count && needed < acks->nodes; needed++) {
			struct waits *waits = &acks->waits[needed];

			if (acks->passed[i] <= waits->passed)
				continue;
			waits->passed = acks->passed[i];
			take_locked(acks, waits, waits->passed, taken);
		}
	}
}

void acks_passed(struct acks *acks, unsigned node, uint64_t epoch, uint64_t sequence)
{
	struct ack_wait *taken = NULL;

	assert(node < acks->nodes);
	mutex_lock(&acks->lock);
	if (epoch == acks->epoch && epoch != 0 && sequence > acks->passed[node]) {
		acks->passed[node] = sequence;
		raise_locked(acks, &taken);
	}
	mutex_unlock(&acks->lock);
	tell(taken, ACKS_HELD);
}

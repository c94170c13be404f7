/* SPDX-License-Identifier: MIT */
/*
 * The applier is slowed down before it has to wait: from half the bound of sealed memory, and from
 * LSM_RUNS_SLOW runs on, each megabyte costs a delay that grows with the square of how far things
 * have gone. At the bound it waits for progress; if flushes fail it is told their error, and if
 * compactions fail it goes on.
 */
#include "lib/clock.h"
#include "node/lsm_private.h"

/* At the bound itself. */
#define DELAY_NS_PER_MB 100000000.0
/* Delays are taken in one piece once they add up to this. */
#define DELAY_MIN_NS 1000000u
#define DELAY_MAX_NS 50000000u

enum room { ROOM, FULL_MEMORY, FULL_RUNS };

static enum room look_for_room(struct lsm *lsm) REQUIRES(lsm->lock)
{
	if (lsm->sealed_bytes >= lsm->sealed_max)
		return FULL_MEMORY;
	/* If no compaction is due, or they fail (a full disk has room for deletes, not for a large
	 * merge), none can help: better more runs than no writes. */
	if (lsm->view->run_count < LSM_RUNS_HARD || !lsm->compacting || lsm->compact_error < 0)
		return ROOM;
	return FULL_RUNS;
}

int lsm_wait_for_room(struct lsm *lsm)
{
	enum room room;
	int error = 0;

	mutex_lock(&lsm->lock);
	room = look_for_room(lsm);
	if (room != ROOM && !lsm->options.threads) {
		mutex_unlock(&lsm->lock);
		lsm_work_inline(lsm);
		mutex_lock(&lsm->lock);
		room = look_for_room(lsm);
		/* Runs are bounded by the work just done, unless that fails. */
		error = room == FULL_MEMORY ? lsm->flush_error : 0;
		mutex_unlock(&lsm->lock);
		return error;
	}
	while (room != ROOM && error == 0 && !atomic_load(&lsm->stop)) {
		error = room == FULL_MEMORY ? lsm->flush_error : 0;
		if (error == 0)
			condition_wait(&lsm->progress, &lsm->lock);
		room = look_for_room(lsm);
	}
	mutex_unlock(&lsm->lock);
	/* There may be room again since the error was seen. */
	return room == ROOM ? 0 : error;
}

static double over(uint64_t value, uint64_t soft, uint64_t hard)
{
	return value > soft ? (double)(value - soft) / (double)(hard - soft) : 0;
}

void lsm_slow_down(struct lsm *lsm, uint64_t bytes)
{
	double runs, memory, worst;
	uint64_t wait_ns;

	if (!lsm->options.threads)
		return;
	mutex_lock(&lsm->lock);
	runs = over(lsm->view->run_count, LSM_RUNS_SLOW, LSM_RUNS_HARD);
	memory = over(lsm->sealed_bytes, lsm->sealed_max / 2, lsm->sealed_max);
	worst = runs > memory ? runs : memory;
	if (worst == 0)
		lsm->owed_ns = 0;
	lsm->owed_ns += (uint64_t)(worst * worst * DELAY_NS_PER_MB * (double)bytes / (1 << 20));
	if (lsm->owed_ns >= DELAY_MIN_NS) {
		wait_ns = lsm->owed_ns < DELAY_MAX_NS ? lsm->owed_ns : DELAY_MAX_NS;
		lsm->owed_ns = 0;
		/* Progress ends the delay early. */
		condition_wait_until(&lsm->progress, &lsm->lock,
				     clock_monotonic_ms() + (wait_ns + 999999) / 1000000);
	}
	mutex_unlock(&lsm->lock);
}

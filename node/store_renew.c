/* SPDX-License-Identifier: MIT */
/*
 * A store that is ahead of its log, or was caught while its suffix was being replaced, holds
 * records that nobody comes to have who goes on from any point of that log. If it is to lead all
 * the same, the log is given up: it begins anew at a version that nobody had, the first of the new
 * epoch, which no entry gets. Whoever is not there yet finds the log trimmed, and takes a copy of
 * the records as they are.
 *
 *	1. the request ids, which the log has held, are saved, but for those in doubt;
 *	2. segments hold all records, so that every copy made from now on has them;
 *	3. the log begins anew;
 *	4. the old one is gone;
 *	5. nothing is ahead of the log any more, and the store may lead (node/store_role.c).
 *
 * Until 5 is on stable storage all of it happens again under a later epoch.
 */
#include "node/log_read.h"
#include "node/lsm.h"
#include "node/request_ids_file.h"
#include "node/store_private.h"

#include "lib/log.h"

#include <errno.h>
#include <inttypes.h>

static int flush(struct store *store, struct wal_mark end)
{
	int r = lsm_flush(store->lsm);

	return r == 0 && store->flushed_position < end.position ? -EIO : r;
}

/* Not while somebody reads the old one: he would take the new one for what follows it. */
static int drop_old(struct store *store, struct wal_mark begin)
{
	struct store_standing standing;
	int r;

	store_trim_log(store, true);
	r = store_standing(store, &standing);
	if (r < 0)
		return r;
	return standing.log_begin.sequence < begin.sequence ? -EBUSY : 0;
}

/* Nobody knows which records were replaced: of a write that was set aside, and is sent again, must
 * not be said that it is done. */
static int forget_doubtful(struct store *store)
{
	struct store_standing standing;
	int r = store_standing(store, &standing);

	if (r == 0 && standing.ahead.sequence == UINT64_MAX)
		store_forget_ids(store, standing.log_begin);
	return r;
}

int store_renew(struct store *store, struct commit *commit, uint64_t epoch)
{
	struct wal_mark end = commit_end(commit);
	int r;

	r = forget_doubtful(store);
	if (r == 0)
		r = request_ids_save(store->ids, store->options.vfs, store->dir, end.sequence);
	if (r == 0)
		r = flush(store, end);
	if (r == 0)
		r = commit_restart_log(commit, epoch);
	if (r == 0)
		r = drop_old(store, commit_end(commit));
	if (r < 0)
		return r;
	log_warn("log begins anew, as the records were ahead of it",
		 "epoch=%" PRIx64 " sequence=%" PRIu64, epoch, end.sequence + 1);
	return 0;
}

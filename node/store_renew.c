/* SPDX-License-Identifier: MIT */
/*
 * A store that is ahead of its log, or was caught while its suffix was being replaced, holds
 * records that nobody comes to have who goes on from any point of that log. If it is to lead all
 * the same, the log is given up: it begins anew at a version that nobody had, the first of the new
 * epoch, which no entry gets. Whoever is not there yet finds the log trimmed, and takes a copy of
 * the records as they are.
 *
 *	1. segments hold all records, so that every copy made from now on has them;
 *	2. the request ids, which the log has held, are saved, but for those in doubt;
 *	3. the log begins anew, and only now those in doubt are forgotten: if it does not come to
 *	   this the store goes on with what it has, and their writes may not be applied again;
 *	4. the old log is gone;
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
 * not be said that it is done. *ret_known: what lies behind is in doubt. */
static int find_doubt(struct store *store, struct version *ret_known)
{
	struct store_standing standing;
	int r = store_standing(store, &standing);

	*ret_known = (struct version){ UINT64_MAX, UINT64_MAX };
	if (r == 0 && standing.ahead.sequence == UINT64_MAX)
		*ret_known = standing.log_begin;
	return r;
}

static int copy_one(const struct request_id *id, int64_t time_ns,
		    const struct request_answer *answer, void *state)
{
	return request_ids_add(state, id, answer, time_ns);
}

/* Those that store_forget_ids() would leave. */
static int save_ids(struct store *store, struct version known, uint64_t last_sequence)
{
	struct request_ids *ids = request_ids_new();
	int r = ids ? request_ids_each(store->ids, copy_one, ids) : -ENOMEM;

	if (r == 0 && known.sequence < UINT64_MAX)
		store_forget_ids_of(store, ids, known);
	if (r == 0)
		r = request_ids_save(ids, store->options.vfs, store->dir, last_sequence);
	request_ids_free(ids);
	return r;
}

int store_renew(struct store *store, struct commit *commit, uint64_t epoch)
{
	struct wal_mark end = commit_end(commit);
	struct version known;
	int r;

	r = find_doubt(store, &known);
	if (r == 0)
		r = flush(store, end);
	if (r == 0)
		r = save_ids(store, known, end.sequence);
	if (r == 0)
		r = commit_restart_log(commit, epoch);
	if (r == 0 && known.sequence < UINT64_MAX)
		store_forget_ids(store, known);
	if (r == 0)
		r = drop_old(store, commit_end(commit));
	if (r < 0)
		return r;
	log_warn("log begins anew, as the records were ahead of it",
		 "epoch=%" PRIx64 " sequence=%" PRIu64, epoch, end.sequence + 1);
	return 0;
}

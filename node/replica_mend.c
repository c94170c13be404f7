/* SPDX-License-Identifier: MIT */
/*
 * A log that can't be read on brings nobody on. It is given up as far as it is damaged, beside this
 * thread: from then on those who need what it held find it trimmed, and fetch a copy. Until then
 * they are told to ask again.
 */
#include "node/replica_private.h"

#include "lib/container_of.h"
#include "lib/log.h"
#include "node/log_mend.h"

#include <stdlib.h>

#define MEND_AGAIN_MS 1000

struct replica_mending {
	struct replica_work work;
	struct store *store;
	int result;
};

static struct replica_mending *mending_of(struct replica_work *work)
{
	return container_of(work, struct replica_mending, work);
}

static void run(struct replica_work *work)
{
	struct replica_mending *mending = mending_of(work);

	mending->result = store_log_mend(mending->store);
}

static void done(struct replica_work *work)
{
	struct replica_mending *mending = mending_of(work);
	struct replica *replica = work->replica;

	replica->mending = NULL;
	replica->mend_at_ms = replica_now(replica) + MEND_AGAIN_MS;
	if (mending->result < 0)
		log_warn("damaged log can't be given up yet", "error=%d", -mending->result);
	free(mending);
}

void replica_log_failed(struct replica *replica)
{
	struct store *store = replica->options.store;
	struct replica_mending *mending;

	if (replica->mending || replica->closing || replica_now(replica) < replica->mend_at_ms ||
	    store_log_damage(store).file_id == 0)
		return;
	/* Without memory the next one who asks brings it here again. */
	mending = calloc(1, sizeof(*mending));
	if (!mending)
		return;
	mending->work = (struct replica_work){ .run = run, .done = done };
	mending->store = store;
	replica->mending = mending;
	replica_work(replica, &mending->work);
}

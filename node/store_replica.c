/* SPDX-License-Identifier: MIT */
/* The store as a follower's: batches, and what the commit thread asks of the history for them. */
#include "node/store_batch.h"
#include "node/store_private.h"

#include <errno.h>

void store_apply_batch(struct store *store, struct store_batch *batch)
{
	commit_apply_batch(store->commit, batch);
}

void store_tick(struct store *store)
{
	commit_tick(store->commit);
}

void store_on_synced(struct store *store, void (*synced)(void *state), void *state)
{
	mutex_lock(&store->synced_lock);
	store->synced = synced;
	store->synced_state = state;
	mutex_unlock(&store->synced_lock);
	commit_set_eager(store->commit, synced != NULL);
}

void store_synced(void *state)
{
	struct store *store = state;

	/* Held, so that nobody is called any more once store_on_synced() has taken it back. */
	mutex_lock(&store->synced_lock);
	if (store->synced)
		store->synced(store->synced_state);
	mutex_unlock(&store->synced_lock);
}

bool store_in_history(void *state, struct version version)
{
	struct store *store = state;
	bool found;

	mutex_lock(&store->lock);
	found = history_contains(&store->files.history, version);
	mutex_unlock(&store->lock);
	return found;
}

struct known {
	struct store *store;
	uint64_t last_sequence;
};

static bool is_known(void *state, struct version version)
{
	const struct known *known = state;

	return version.sequence <= known->last_sequence && store_in_history(known->store, version);
}

void store_forget_ids_of(struct store *store, struct request_ids *ids, struct version end)
{
	struct known known = { store, end.sequence };

	request_ids_sweep(ids, is_known, &known);
}

void store_forget_ids(struct store *store, struct version end)
{
	store_forget_ids_of(store, store->ids, end);
}

void store_set_resetting(void *state, bool resetting)
{
	struct store *store = state;

	mutex_lock(&store->lock);
	store->resetting = resetting;
	mutex_unlock(&store->lock);
}

/* On a copy: it is read while the disk is waited for. */
int store_finish_reset(void *state, struct version point)
{
	struct store *store = state;
	struct history next, old;
	int r;

	mutex_lock(&store->lock);
	r = history_copy(&store->files.history, &next);
	mutex_unlock(&store->lock);
	if (r < 0)
		return r;
	r = history_cut(&next, store->options.vfs, store->dir, store->files.identity.store_id,
			point);
	if (r < 0) {
		history_deinit(&next);
		return r;
	}
	mutex_lock(&store->lock);
	old = store->files.history;
	store->files.history = next;
	store->resetting = false;
	mutex_unlock(&store->lock);
	history_deinit(&old);
	store_forget_ids(store, point);
	return 0;
}

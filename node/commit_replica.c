/* SPDX-License-Identifier: MIT */
/*
 * Batches in the commit thread. The order inside one is that of a group (node/commit.c): append one
 * record, sync, apply; a failure is handled as there. A reset is different: there is nothing to
 * apply, but once it is on stable storage history and request ids forget what it took back. Should
 * that fail, it is tried again before anything else is committed; recovery does it, too.
 */
#include "node/commit_private.h"

#include "lib/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool in_history(struct commit *commit, uint64_t epoch, uint64_t sequence)
{
	return commit->options.in_history(commit->options.state,
					  (struct version){ epoch, sequence });
}

static int check_replicated(struct commit *commit, const struct store_batch *batch,
			    const struct wal_mark *end)
{
	uint64_t last = batch->first_sequence + batch->count - 1;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].version.epoch != batch->epoch ||
		    batch->entries[i].version.sequence != batch->first_sequence + i)
			return -EINVAL;
	if (batch->first_sequence != end->sequence + 1 || batch->epoch < end->epoch ||
	    !in_history(commit, end->epoch, end->sequence) ||
	    !in_history(commit, batch->epoch, batch->first_sequence) ||
	    !in_history(commit, batch->epoch, last))
		return -ESTALE;
	return 0;
}

/* Whether the log may go on with @batch where it stands. */
static int check_batch(struct commit *commit, const struct store_batch *batch)
{
	struct wal_mark end = wal_last(commit->options.wal);

	if ((batch->count == 0) != (batch->kind == BATCH_RESET) || batch->count > UINT32_MAX)
		return -EINVAL;
	switch (batch->kind) {
	case BATCH_REPLICATED:
		return check_replicated(commit, batch, &end);
	case BATCH_REPAIR:
		return 0;
	case BATCH_RESET:
		if (batch->first_sequence > end.sequence || batch->epoch > end.epoch ||
		    !in_history(commit, batch->epoch, batch->first_sequence))
			return -ESTALE;
		return 0;
	}
	return -EINVAL;
}

static bool takes_room(const struct store_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->entries[i].kind != ENTRY_TOMBSTONE)
			return true;
	return false;
}

/* Batches come in their order, so on a full disk a delete that would give room waits behind puts:
 * half of what was set aside is theirs. The other half must do for flushes and openings. */
static bool has_room(struct commit *commit, const struct store_batch *batch)
{
	return !commit->full || !takes_room(batch) ||
	       commit_space_free(commit) > commit->options.ballast_bytes / 2;
}

static int encode(struct commit *commit, struct store_batch *batch, struct buf *payload)
{
	size_t bytes = 0;
	int r;

	for (size_t i = 0; i < batch->count; i++)
		bytes += entry_encoded_size(&batch->entries[i]);
	r = buf_reserve_exact(payload, bytes < WAL_RECORD_BYTES_MAX ? bytes : 0);
	for (size_t i = 0; i < batch->count && r == 0; i++) {
		batch->entries[i].position = commit->next_position + i;
		if (entry_encoded_size(&batch->entries[i]) > WAL_RECORD_BYTES_MAX - payload->len)
			return -EFBIG;
		r = entry_encode(&batch->entries[i], payload);
	}
	return r;
}

static struct wal_record record_of(const struct commit *commit, const struct store_batch *batch,
				   const struct buf *payload)
{
	struct wal_mark end = wal_last(commit->options.wal);
	struct wal_record record = {
		.epoch = batch->epoch,
		.first_sequence = batch->first_sequence,
		.first_position = commit->next_position,
		.count = (uint32_t)batch->count,
		.time_ns = batch->time_ns,
		.payload = payload->data,
		.payload_len = payload->len,
	};

	if (batch->kind == BATCH_RESET) {
		record.flags = WAL_RESET;
		record.first_sequence++;
	} else if (batch->kind == BATCH_REPAIR) {
		record.flags = WAL_REPAIR;
		record.epoch = end.epoch;
		record.first_sequence = end.sequence + 1;
	}
	return record;
}

/* *ret_maybe: it may be found after a crash though this failed. */
static int log_batch(struct commit *commit, const struct store_batch *batch,
		     const struct buf *payload, bool *ret_maybe)
{
	struct wal_record record = record_of(commit, batch, payload);
	struct wal *wal = commit->options.wal;
	struct value_refs *refs = commit->options.refs;
	size_t ref_count;
	uint64_t bytes;
	int r;

	*ret_maybe = false;
	r = value_refs_add_entries(refs, commit->options.values, batch->entries, batch->count,
				   &ref_count, &bytes);
	if (r == 0) {
		mutex_lock(&commit->wal_lock);
		r = commit_append_locked(commit, &record);
		if (r == 0 && bytes > 0)
			wal_add_weight(wal, wal_current_file(wal), bytes);
		if (r == 0)
			r = commit_sync_locked(commit);
		*ret_maybe = r < 0 && wal_is_broken(wal);
		mutex_unlock(&commit->wal_lock);
	}
	if (r < 0 && !*ret_maybe)
		value_refs_cancel(refs, ref_count);
	return r;
}

/* It is on stable storage: whatever happens here, it counts. */
static int apply_batch(struct commit *commit, const struct store_batch *batch, struct buf *payload,
		       const struct dead_values *dead)
{
	struct wal_mark end = wal_last(commit->options.wal);
	int r;

	commit->sync_at_ms = 0;
	commit->next.sequence = end.sequence + 1;
	commit->next_position = end.position + 1;
	if (batch->kind == BATCH_REPLICATED)
		request_ids_add_entries(commit->options.ids, batch->entries, batch->count,
					batch->time_ns);
	commit_note_dead(commit, dead);
	r = lsm_apply(commit->options.lsm, batch->entries, batch->count);
	if (r < 0) {
		commit->unapplied = buf_take(payload);
		if (commit_is_no_room(r))
			commit_set_full(commit, true);
		log_error("batch waits to be applied", "error=%d", -r);
	}
	return r;
}

int commit_finish_reset(struct commit *commit)
{
	int r;

	if (!commit->reset_pending)
		return 0;
	r = commit->options.finish_reset(commit->options.state, commit->reset_point);
	if (commit_is_no_room(r) && !commit->full) {
		commit_set_full(commit, true);
		r = commit->options.finish_reset(commit->options.state, commit->reset_point);
	}
	if (r < 0) {
		commit->retry_at_ms = commit_now_ms(commit) + COMMIT_RETRY_MS;
		log_error("history waits to be cut", "error=%d", -r);
		return r;
	}
	commit->reset_pending = false;
	log_info("log was reset", "epoch=%" PRIx64 " sequence=%" PRIu64, commit->reset_point.epoch,
		 commit->reset_point.sequence);
	return 0;
}

static int reset_behind(struct commit *commit, const struct store_batch *batch)
{
	commit->sync_at_ms = 0;
	commit->next.sequence = batch->first_sequence + 1;
	commit->reset_pending = true;
	commit->reset_point = (struct version){ batch->epoch, batch->first_sequence };
	return commit_finish_reset(commit);
}

static int commit_batch(struct commit *commit, struct store_batch *batch, struct buf *payload,
			struct dead_values *dead)
{
	bool is_reset = batch->kind == BATCH_RESET, maybe = false;
	int r;

	r = encode(commit, batch, payload);
	if (r == 0)
		r = request_ids_reserve(commit->options.ids, batch->count);
	if (r < 0)
		return r;
	dead_values_find(dead, commit->options.lsm, batch->entries, batch->count);
	/* Readers of the log take dead entries for live ones until the history is cut. */
	if (is_reset)
		commit->options.set_resetting(commit->options.state, true);
	r = log_batch(commit, batch, payload, &maybe);
	if (commit_is_no_room(r) && !maybe && !commit->full) {
		commit_set_full(commit, true);
		if (has_room(commit, batch))
			r = log_batch(commit, batch, payload, &maybe);
	}
	if (maybe)
		commit_reopen(commit);
	if (r < 0 && is_reset)
		commit->options.set_resetting(commit->options.state, false);
	commit_tell_synced(commit);
	if (r < 0)
		return r;
	return is_reset ? reset_behind(commit, batch) : apply_batch(commit, batch, payload, dead);
}

static int run_batch(struct commit *commit, struct store_batch *batch)
{
	struct dead_values dead = { 0 };
	struct buf payload = { 0 };
	int r;

	if (commit_role(commit) == STORE_LEADING || commit_role(commit) == STORE_PAUSED)
		return -EPERM;
	r = commit_make_ready(commit);
	if (r == 0)
		r = check_batch(commit, batch);
	if (r == 0 && !has_room(commit, batch))
		r = -ENOSPC;
	if (r == 0)
		r = commit_batch(commit, batch, &payload, &dead);
	dead_values_deinit(&dead);
	buf_deinit(&payload);
	return r;
}

void commit_run_batches(struct commit *commit, struct store_batch *list)
{
	while (list) {
		struct store_batch *batch = list;
		uint64_t dead_before = commit->dead_bytes;
		uint64_t position = commit->next_position;

		list = batch->next;
		batch->next = NULL;
		batch->result = run_batch(commit, batch);
		commit_note_stats(commit, commit->next_position - position);
		batch->done(batch);
		commit_after_group(commit, commit->dead_bytes > dead_before);
	}
}

void commit_apply_batch(struct commit *commit, struct store_batch *batch)
{
	bool closing;

	batch->next = NULL;
	mutex_lock(&commit->lock);
	closing = commit->closing;
	if (!closing) {
		*commit->batch_tail = batch;
		commit->batch_tail = &batch->next;
		condition_signal(&commit->work);
	}
	mutex_unlock(&commit->lock);
	if (closing) {
		batch->result = -ESHUTDOWN;
		batch->done(batch);
	} else {
		commit_run_inline(commit);
	}
}

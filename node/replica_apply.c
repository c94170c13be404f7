/* SPDX-License-Identifier: MIT */
/*
 * Shipped entries on their way into the store. Records that follow each other in one epoch become
 * one batch, so that the log here is synced once for many of the leader's groups; a record is never
 * split, as the two entries of a MOVE stand in one.
 *
 * One batch after the other: decode, have the value files that it names here, see that the history
 * knows its epoch, and give it to the store. The store has one at a time; while it is busy with
 * that the values of the next are fetched. What the entries point to, the answer and the references
 * to the files, stays until the store is done with it.
 */
#include "node/replica_private.h"

#include "node/store_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct replica_batch {
	struct store_batch batch;
	struct replica *replica;
	struct replica_batch *next;
	size_t cap;
	size_t prepared; /* entries whose value is here, and that of all before them */
	size_t bytes;
	uint64_t value_bytes; /* in files */
	struct value_file **files; /* one for each entry, NULL for most */
};

struct replica_batch *replica_batch_new(struct replica *replica, enum store_batch_kind kind)
{
	struct replica_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->replica = replica;
	batch->batch.kind = kind;
	return batch;
}

struct replica_batch *replica_batch_free(struct replica_batch *batch)
{
	if (!batch)
		return NULL;
	for (size_t i = 0; i < batch->cap; i++)
		value_file_unref(batch->files[i]);
	free(batch->files);
	free(batch->batch.entries);
	free(batch);
	return NULL;
}

static int reserve(struct replica_batch *batch, size_t count)
{
	size_t cap = batch->cap > 0 ? batch->cap : 16;
	struct entry *entries;
	struct value_file **files;

	while (cap < count)
		cap *= 2;
	if (cap == batch->cap)
		return 0;
	entries = realloc(batch->batch.entries, cap * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	batch->batch.entries = entries;
	files = realloc(batch->files, cap * sizeof(struct value_file *));
	if (!files)
		return -ENOMEM;
	batch->files = files;
	memset(files + batch->cap, 0, (cap - batch->cap) * sizeof(struct value_file *));
	batch->cap = cap;
	return 0;
}

int replica_batch_add(struct replica_batch *batch, const struct entry *entry)
{
	int r = reserve(batch, batch->batch.count + 1);

	if (r < 0)
		return r;
	batch->batch.entries[batch->batch.count++] = *entry;
	batch->bytes += entry_encoded_size(entry);
	if (entry->kind == ENTRY_FILE)
		batch->value_bytes += entry->size_bytes;
	return 0;
}

void replica_batch_set_point(struct replica_batch *batch, struct version point, int64_t time_ns)
{
	batch->batch.epoch = point.epoch;
	batch->batch.first_sequence = point.sequence;
	batch->batch.time_ns = time_ns;
}

static int add_record(struct replica_batch *batch, const struct shipped_record *record)
{
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	int r = 0;

	for (uint32_t i = 0; i < record->count && r == 0; i++) {
		struct entry entry;

		r = entry_decode(&reader, &entry);
		if (r == 0)
			r = replica_batch_add(batch, &entry);
	}
	return r == 0 && bytes_left(&reader) > 0 ? -EBADMSG : r;
}

static bool continues(const struct replica_batch *batch, const struct shipped_record *record)
{
	const struct store_batch *to = &batch->batch;

	return to->count == 0 || (record->epoch == to->epoch &&
				  record->first_sequence == to->first_sequence + to->count &&
				  batch->bytes + record->payload_len <= PULL_BYTES &&
				  batch->value_bytes < BATCH_VALUE_BYTES);
}

/* The next batch of what a PULL brought. */
static int gather(struct replica *replica, struct replica_batch **ret_batch)
{
	struct replica_batch *batch = replica_batch_new(replica, BATCH_REPLICATED);
	struct replica_items left = replica->job.items;
	struct shipped_record record;
	int r = batch ? 0 : -ENOMEM;

	while (r == 0 && replica_next_record(&left, &record) && continues(batch, &record)) {
		if (batch->batch.count == 0)
			replica_batch_set_point(
				batch, (struct version){ record.epoch, record.first_sequence },
				record.time_ns);
		r = add_record(batch, &record);
		if (r == 0)
			replica->job.items = left;
	}
	if (r == 0 && batch->batch.count == 0)
		r = -EBADMSG;
	if (r < 0) {
		replica_batch_free(batch);
		return r;
	}
	replica->job.value_bytes += batch->value_bytes;
	*ret_batch = batch;
	return 0;
}

/* 0: all its values are here; 1: it waits for some. */
static int prepare(struct replica *replica, struct replica_batch *batch)
{
	struct store_batch *to = &batch->batch;
	bool are_here = true;

	for (size_t i = batch->prepared; i < to->count; i++) {
		struct value_file *file;
		int r = 0;

		if (to->entries[i].kind == ENTRY_FILE && !batch->files[i]) {
			r = replica_value(replica, to->entries, to->count, i, &file);
			if (r < 0)
				return r;
			if (r == VALUE_WAITS)
				return 1;
			if (r == 0) {
				batch->files[i] = file;
				to->entries[i].file_id = value_file_id(file);
			}
		}
		are_here = are_here && r == 0;
		if (are_here)
			batch->prepared = i + 1;
	}
	return are_here ? 0 : 1;
}

/* In the commit thread, or inside store_apply_batch(). */
static void batch_done(struct store_batch *done)
{
	struct replica_batch *batch = done->state;
	struct replica *replica = batch->replica;

	mutex_lock(&replica->lock);
	batch->next = NULL;
	*replica->finished_tail = batch;
	replica->finished_tail = &batch->next;
	replica->out--;
	replica->transport->wake(replica->options.state);
	condition_broadcast(&replica->idle);
	mutex_unlock(&replica->lock);
}

static int add_epoch(struct history *history, uint64_t epoch, uint64_t first_sequence)
{
	struct history_epoch *epochs =
		realloc(history->epochs, (history->count + 1) * sizeof(*epochs));

	if (!epochs)
		return -ENOMEM;
	history->epochs = epochs;
	while (history->count > 0 && epochs[history->count - 1].first_sequence >= first_sequence)
		history->count--;
	/* This node led behind here, or followed one that did, and nothing came of it: the epoch
	 * before goes on. */
	if (history->count > 0 && epochs[history->count - 1].epoch == epoch)
		return 0;
	epochs[history->count++] = (struct history_epoch){ epoch, first_sequence };
	return 0;
}

/* Its versions are in the history before they are in the log. */
static int begin_epoch(struct replica *replica, const struct store_batch *batch)
{
	struct store *store = replica->options.store;
	struct store_standing standing;
	struct history history;
	int r;

	if (batch->kind != BATCH_REPLICATED)
		return 0;
	standing = replica_standing(replica);
	if (standing.epoch == batch->epoch)
		return 0;
	r = store_history(store, &history);
	if (r < 0)
		return r;
	r = add_epoch(&history, batch->epoch, batch->first_sequence);
	if (r == 0)
		r = store_adopt_history(store, &replica->lineage, history.epochs, history.count);
	history_deinit(&history);
	return r;
}

static int submit(struct replica *replica, struct replica_batch *batch)
{
	int r = begin_epoch(replica, &batch->batch);

	if (r < 0) {
		replica_batch_free(batch);
		return r;
	}
	replica->counters.entries_received += batch->batch.count;
	replica->counters.bytes_received += batch->bytes;
	batch->batch.done = batch_done;
	batch->batch.state = batch;
	mutex_lock(&replica->lock);
	replica->out++;
	mutex_unlock(&replica->lock);
	store_apply_batch(replica->options.store, &batch->batch);
	return 0;
}

/* The first error of what the store is done with. */
static int collect(struct replica *replica)
{
	struct replica_batch *batch, *next;
	int r = 0;

	mutex_lock(&replica->lock);
	batch = replica->finished;
	replica->finished = NULL;
	replica->finished_tail = &replica->finished;
	mutex_unlock(&replica->lock);
	for (; batch; batch = next) {
		next = batch->next;
		if (r == 0)
			r = batch->batch.result;
		replica_batch_free(batch);
	}
	return r;
}

static bool is_out(struct replica *replica)
{
	bool out;

	mutex_lock(&replica->lock);
	out = replica->out > 0;
	mutex_unlock(&replica->lock);
	return out;
}

int replica_apply(struct replica *replica)
{
	struct replica_job *job = &replica->job;

	for (;;) {
		/* In this order: what is not out any more is collected. */
		bool out = is_out(replica);
		struct replica_batch *batch;
		int r = collect(replica);

		if (r == 0 && !job->preparing) {
			if (job->items.count == 0)
				return out ? 0 : 1;
			r = gather(replica, &job->preparing);
		}
		if (r == 0)
			r = prepare(replica, job->preparing);
		if (r < 0)
			return r;
		if (r > 0 || out)
			return 0;
		batch = job->preparing;
		job->preparing = NULL;
		r = submit(replica, batch);
		if (r < 0)
			return r;
	}
}

void replica_drain(struct replica *replica)
{
	mutex_lock(&replica->lock);
	while (replica->out > 0 || replica->pause_is_out)
		condition_wait(&replica->idle, &replica->lock);
	mutex_unlock(&replica->lock);
	collect(replica);
}

/* What the store has is freed when it is done: the bytes that it points to must not go before. */
void replica_apply_drop(struct replica *replica)
{
	struct replica_job *job = &replica->job;

	replica_drain(replica);
	job->preparing = replica_batch_free(job->preparing);
	job->items = (struct replica_items){ 0 };
	buf_deinit(&job->answer);
}

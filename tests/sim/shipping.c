/* SPDX-License-Identifier: MIT */
#include "tests/sim/shipping.h"

#include "node/store_private.h"

#include <errno.h>
#include <stdlib.h>

struct version shipping_end(struct store *store)
{
	struct wal_mark mark = wal_synced(store->wal);

	return (struct version){ mark.epoch, mark.sequence };
}

int shipping_adopt(struct store *leader, struct store *follower)
{
	struct history history;
	int r = store_history(leader, &history);

	if (r < 0)
		return r;
	r = store_adopt_history(follower, &history.lineage, history.epochs, history.count);
	history_deinit(&history);
	return r;
}

struct waiting {
	struct mutex lock;
	struct condition answered;
	bool is_answered;
};

static void on_done(struct store_batch *batch)
{
	struct waiting *waiting = batch->state;

	mutex_lock(&waiting->lock);
	waiting->is_answered = true;
	condition_signal(&waiting->answered);
	mutex_unlock(&waiting->lock);
}

int shipping_apply(struct store *store, struct store_batch *batch)
{
	struct waiting waiting = { 0 };

	mutex_init(&waiting.lock);
	condition_init(&waiting.answered);
	batch->done = on_done;
	batch->state = &waiting;
	store_apply_batch(store, batch);
	mutex_lock(&waiting.lock);
	while (!waiting.is_answered)
		condition_wait(&waiting.answered, &waiting.lock);
	mutex_unlock(&waiting.lock);
	condition_deinit(&waiting.answered);
	mutex_deinit(&waiting.lock);
	return batch->result;
}

int shipping_reset(struct store *leader, struct store *follower)
{
	const struct history *theirs = &leader->files.history;
	struct version end = shipping_end(follower);
	struct version common = history_common(&follower->files.history, end, theirs->epochs,
					       theirs->count, shipping_end(leader));
	struct store_batch batch = {
		.kind = BATCH_RESET,
		.epoch = common.epoch,
		.first_sequence = common.sequence,
	};

	return version_compare(common, end) == 0 ? 0 : shipping_apply(follower, &batch);
}

int shipping_copy_value(struct store *from, struct store *to, struct entry *entry,
			struct value_file **ret_file)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct value_writer *writer = NULL;
	struct value_file *file;
	struct hash128 hash;
	uint64_t size;
	bool utf8;
	ssize_t n = 0;
	int r;

	r = value_file_get(store_values(from), entry->file_id, &file);
	if (r == 0)
		r = value_writer_new(store_values(to), &writer);
	for (uint64_t i = 0; i * VALUE_CHUNK_BYTES < entry->size_bytes && r == 0; i++) {
		n = value_file_read_chunk(file, entry->size_bytes, i, chunk, 0);
		r = n < 0 ? (int)n : value_writer_append(writer, chunk, (size_t)n);
	}
	value_file_unref(file);
	if (r < 0) {
		value_writer_abort(writer);
		return r;
	}
	r = value_writer_finish(writer, ret_file, &size, &hash, &utf8);
	if (r == 0)
		entry->file_id = value_file_id(*ret_file);
	return r;
}

struct pull {
	struct store *leader, *follower;
	unsigned records, records_max;
};

static int take(const struct shipped_record *shipped, void *state)
{
	struct bytes_reader reader = bytes_reader(shipped->payload, shipped->payload_len);
	struct pull *pull = state;
	struct entry *entries = calloc(shipped->count, sizeof(*entries));
	struct value_file **files = calloc(shipped->count, sizeof(struct value_file *));
	struct store_batch batch = {
		.entries = entries,
		.count = shipped->count,
		.epoch = shipped->epoch,
		.first_sequence = shipped->first_sequence,
		.time_ns = shipped->time_ns,
	};
	int r = entries && files ? 0 : -ENOMEM;

	if (pull->records == pull->records_max)
		r = 1;

	for (uint32_t i = 0; i < shipped->count && r == 0; i++) {
		r = entry_decode(&reader, &entries[i]);
		if (r == 0 && entries[i].kind == ENTRY_FILE)
			r = shipping_copy_value(pull->leader, pull->follower, &entries[i],
						&files[i]);
	}
	if (r == 0 && bytes_left(&reader) > 0)
		r = -EBADMSG;
	if (r == 0)
		r = shipping_apply(pull->follower, &batch);
	for (uint32_t i = 0; i < shipped->count && files; i++)
		value_file_unref(files[i]);
	free(files);
	free(entries);
	if (r == 0)
		r = shipping_adopt(pull->leader, pull->follower);
	pull->records += r == 0;
	return r;
}

int shipping_pull(struct store *leader, struct store *follower, unsigned records_max)
{
	struct pull pull = { leader, follower, 0, records_max };
	int r;

	r = shipping_adopt(leader, follower);
	if (r == 0)
		r = store_log_read(leader, shipping_end(follower), SIZE_MAX, take, &pull);
	if (r > 0)
		return -1000 - r;
	return r < 0 ? r : (int)pull.records;
}

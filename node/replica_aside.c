/* SPDX-License-Identifier: MIT */
/*
 * Before a copy replaces a store: what it has and the shard has not is saved in a diverged log.
 * That is each record whose version is not in the leader's history, then each entry of the log that
 * is not: so the last one of a key in the file is the newest, as far back as anybody knows.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "node/diverged.h"
#include "node/log_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES   256 /* looked at in one step */
#define STEP_MS 20 /* peers wait no longer for an answer, nor for more than a chunk of a value */

struct replica_aside {
	struct buf epochs; /* the leader's */
	uint32_t count;
	struct diverged_writer *writer; /* NULL: not begun yet */
	uint64_t entries, uncounted;
	struct key after; /* of the records that were looked at */
	bool more; /* records behind that */
	struct key names[NAMES]; /* of lost ones among them */
	size_t name_count, next_name;
	bool in_log;
	struct version at; /* of the log */
};

struct replica_aside *replica_aside_free(struct replica_aside *aside)
{
	if (!aside)
		return NULL;
	diverged_writer_abort(aside->writer);
	buf_deinit(&aside->epochs);
	free(aside);
	return NULL;
}

struct replica_aside *replica_aside_new(struct replica_items epochs)
{
	struct replica_aside *aside = calloc(1, sizeof(*aside));

	if (!aside)
		return NULL;
	aside->count = epochs.count;
	if (epochs.len > 0 && buf_append(&aside->epochs, epochs.data, epochs.len) < 0)
		return replica_aside_free(aside);
	return aside;
}

static void count(struct replica *replica, struct version version)
{
	replica->aside->entries++;
	if (!replica_diverged_is_counted(replica, version))
		replica->aside->uncounted++;
}

static bool is_lost(const struct replica_aside *aside, struct version version)
{
	struct replica_items epochs = { aside->epochs.data, aside->epochs.len, aside->count };

	return !replica_epochs_contain(epochs, version);
}

static int look(const struct entry *entry, void *state)
{
	struct replica_aside *aside = state;

	if (!is_lost(aside, entry->version))
		return 0;
	return key_from_bytes(entry->key, entry->key_len, &aside->names[aside->name_count++]);
}

static int look_further(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;

	aside->name_count = aside->next_name = 0;
	return store_scan(replica->options.store, &aside->after, NAMES, look, aside, &aside->more,
			  &aside->after);
}

static int save_record(struct replica *replica, const struct key *key)
{
	struct replica_aside *aside = replica->aside;
	struct lsm_entry held;
	int r = store_get_entry(replica->options.store, key, 0, &held);

	if (r != 0)
		return r == STORE_NOT_FOUND ? 0 : r;
	r = diverged_writer_add(aside->writer, &held.entry, held.file);
	if (r == 0)
		count(replica, held.entry.version);
	lsm_entry_release(&held);
	return r;
}

/* 1: there is more. */
static int save_records(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;
	uint64_t until_ms = replica_now(replica) + STEP_MS;
	int r = 0;

	if (aside->next_name == aside->name_count)
		r = look_further(replica);
	while (r == 0 && aside->next_name < aside->name_count &&
	       !diverged_writer_is_copying(aside->writer) && replica_now(replica) < until_ms)
		r = save_record(replica, &aside->names[aside->next_name++]);
	if (r < 0)
		return r;
	aside->in_log = aside->next_name == aside->name_count && !aside->more;
	return 1;
}

static int save_logged(const struct shipped_record *record, void *state)
{
	struct replica *replica = state;
	struct replica_aside *aside = replica->aside;
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	int r = 0;

	for (uint32_t i = 0; i < record->count && r == 0; i++) {
		struct entry entry;

		if (diverged_writer_is_copying(aside->writer))
			return 1;
		r = entry_decode(&reader, &entry);
		if (r == 0 && is_lost(aside, entry.version)) {
			r = replica_diverged_add(replica, aside->writer, &entry);
			if (r == 0)
				count(replica, entry.version);
		}
		aside->at = (struct version){ record->epoch, record->first_sequence + i };
	}
	return r;
}

static int finish(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;
	int r = replica_diverged_finish(take_ptr(aside->writer), aside->entries);

	if (r < 0)
		return r;
	replica->counters.diverged_entries += aside->uncounted;
	replica_diverged_counted(replica, (struct version){ 0 }, replica_standing(replica).end);
	replica->set_aside = replica->counted_to;
	buf_deinit(&replica->aside_epochs);
	replica->aside_epochs = buf_take(&aside->epochs);
	replica->aside_epoch_count = aside->count;
	replica->aside = replica_aside_free(aside);
	return 0;
}

static int begin(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;
	int r;

	/* What the disk still has to take is lost with the rest. */
	r = store_settle(replica->options.store);
	if (r == 0)
		r = store_log_oldest(replica->options.store, &aside->at);
	if (r < 0)
		return r;
	return replica_diverged_begin(replica, (struct version){ 0 }, &aside->writer);
}

/* It was done already, nothing has come since, and it was for a leader with the same history: what
 * that one had another need not have. */
static bool is_done(const struct replica *replica, struct version end)
{
	const struct replica_aside *aside = replica->aside;
	const struct buf *epochs = &replica->aside_epochs;

	return version_compare(replica->set_aside, end) == 0 && epochs->len == aside->epochs.len &&
	       replica->aside_epoch_count == aside->count &&
	       (epochs->len == 0 || memcmp(epochs->data, aside->epochs.data, epochs->len) == 0);
}

static int step(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;
	struct version end = replica_standing(replica).end, before;
	int r;

	if (end.sequence == 0 || is_done(replica, end)) {
		replica->aside = replica_aside_free(aside);
		return 0;
	}
	r = aside->writer ? diverged_writer_step(aside->writer) : begin(replica);
	if (r != 0)
		return r;
	if (!aside->in_log)
		return save_records(replica);
	before = aside->at;
	r = store_log_read(replica->options.store, aside->at, PULL_BYTES, save_logged, replica);
	if (r != 0)
		return r < 0 ? r : -ESTALE;
	return aside->at.sequence > before.sequence ? 1 : finish(replica);
}

int replica_aside_step(struct replica *replica)
{
	struct replica_aside *aside = replica->aside;
	int r = step(replica);

	/* What was written up to a failure, on a full disk say, can't be gone on with. */
	if (r < 0 && r != -EAGAIN) {
		aside->writer = diverged_writer_abort(aside->writer);
		aside->entries = aside->uncounted = 0;
		aside->after = (struct key){ 0 };
		aside->name_count = aside->next_name = 0;
		aside->in_log = false;
	}
	return r;
}

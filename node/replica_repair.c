/* SPDX-License-Identifier: MIT */
/*
 * A suffix that only this node has: it led, or followed one that did, and the shard went on
 * without. What it costs is proportional to the suffix:
 *
 *	1. the store is not whole any more: nobody reads it, and it is not made the leader;
 *	2. the suffix is saved in a diverged log, values and all;
 *	3. for each key of it the leader's record replaces this store's;
 *	4. it is noted up to which point of the leader's log those records come;
 *	5. the log goes back to the common point, and history and request ids with it;
 *	6. pulling goes on from there, and once it has come to the point of 4 the store is whole.
 *
 * Between 5 and 6 some records are ahead of the log. As long as the leader stays, pulling brings
 * everything else to where they are. Should the shard go on under a leader that does not have the
 * point of 4, they are ahead of it for ever: then only a whole copy helps. The same is true if the
 * leader changes between 3 and 5: what was replaced need not be in the suffix that the next one
 * sees. A node that is ahead of its log and made to lead nevertheless, as there is nothing better,
 * begins its log anew (node/store_renew.c). After a crash before 5 all begins anew; the diverged
 * log has the same name and content.
 */
#include "node/replica_private.h"

#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/diverged.h"
#include "node/log_read.h"
#include "node/store_batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN UINT64_MAX /* the sequence of a point of the leader's log that is not known yet */

enum repair_phase {
	REPAIR_SAVE,
	REPAIR_FETCH,
	REPAIR_RESET,
};

struct replica_repair {
	enum repair_phase phase;
	struct version common;
	struct version at; /* of the own log: saved, or fetched, up to here */
	struct diverged_writer *writer;
	uint64_t entries, uncounted;
	struct buf keys; /* asked for: replica_append_key() */
	struct replica_items left; /* of them, not answered yet */
	struct version ahead; /* the leader's end when it answered last */
	uint64_t at_ms; /* of the next step, after one that failed; 0: at once */
};

void replica_repair_drop(struct replica *replica)
{
	struct replica_repair *repair = take_ptr(replica->repair);

	if (!repair)
		return;
	diverged_writer_abort(repair->writer);
	buf_deinit(&repair->keys);
	free(repair);
}

bool replica_epochs_contain(struct replica_items epochs, struct version point)
{
	struct history_epoch epoch;
	bool inside = point.sequence == 0;

	while (replica_next_epoch(&epochs, &epoch)) {
		if (epoch.first_sequence > point.sequence)
			break;
		inside = epoch.epoch == point.epoch;
	}
	return inside;
}

bool replica_repair_is_in_vain(struct replica *replica, const struct replica_message *message)
{
	struct store_standing standing = replica_standing(replica);

	if (standing.whole || standing.ahead.sequence == 0)
		return false;
	if (standing.ahead.sequence == UNKNOWN)
		return true;
	if (standing.synced.sequence >= standing.ahead.sequence)
		return !replica_has_point(replica, standing.ahead);
	return message->epochs.count > 0 &&
	       !replica_epochs_contain(message->epochs, standing.ahead);
}

bool replica_repair_is_over(struct replica *replica)
{
	struct store_standing standing = replica_standing(replica);

	return standing.ahead.sequence == 0 ||
	       (standing.synced.sequence >= standing.ahead.sequence &&
		replica_has_point(replica, standing.ahead));
}

static void set_about(struct replica *replica, struct version common, struct diverged_about *about)
{
	struct store_standing standing = replica_standing(replica);

	*about = (struct diverged_about){
		.end = standing.end,
		.common = common,
		.leader_epoch = replica->promise,
		.time_ns = replica->options.realtime_ns(),
	};
	snprintf(about->cluster, sizeof(about->cluster), "%s", replica->options.cluster->name);
	snprintf(about->node, sizeof(about->node), "%s",
		 replica->options.shard->nodes[replica->options.self].name);
	memcpy(about->store_id, standing.store_id, 16);
}

int replica_diverged_begin(struct replica *replica, struct version common,
			   struct diverged_writer **ret_writer)
{
	struct diverged_about about;

	set_about(replica, common, &about);
	return diverged_writer_new(replica->options.vfs, replica->dir, &about, ret_writer);
}

int replica_diverged_add(struct replica *replica, struct diverged_writer *writer,
			 const struct entry *entry)
{
	struct value_file *file = NULL;
	int r = 0;

	if (entry->kind == ENTRY_FILE)
		r = value_pins_find(store_values(replica->options.store), entry->file_id,
				    entry->size_bytes, &file);
	if (r < 0)
		return r;
	r = diverged_writer_add(writer, entry, file);
	value_file_unref(file);
	return r;
}

static struct version common_point(struct replica *replica, struct replica_items epochs,
				   struct version their_end, int *ret_error)
{
	_cleanup_(freep) struct history_epoch *theirs =
		calloc((size_t)epochs.count + 1, sizeof(*theirs));
	struct version common = { 0 };
	struct history mine;
	size_t count = 0;

	*ret_error = theirs ? store_history(replica->options.store, &mine) : -ENOMEM;
	if (*ret_error < 0)
		return common;
	while (replica_next_epoch(&epochs, &theirs[count]))
		count++;
	common = history_common(&mine, replica_standing(replica).end, theirs, count, their_end);
	history_deinit(&mine);
	return common;
}

/* A repair of this store that another leader's records were for was left unfinished. */
static bool is_of_another(const struct replica *replica, const struct store_standing *standing)
{
	if (standing->ahead.sequence == 0)
		return false;
	return standing->ahead.sequence != UNKNOWN || standing->ahead.epoch != replica->promise;
}

void replica_repair_begin(struct replica *replica, const struct replica_message *message)
{
	struct store_standing standing;
	struct replica_repair *repair;
	struct version common;
	int r;

	/* What the disk still has to take belongs to the suffix, too. */
	r = store_settle(replica->options.store);
	if (r < 0) {
		replica_job_fail(replica, "can't repair", r);
		return;
	}
	standing = replica_standing(replica);
	common = common_point(replica, message->epochs, message->end, &r);
	if (r < 0) {
		replica_job_fail(replica, "can't compare histories", r);
		return;
	}
	if (common.sequence < standing.log_begin.sequence || is_of_another(replica, &standing)) {
		replica_bootstrap_diverged(replica, message->epochs, common);
		return;
	}
	repair = calloc(1, sizeof(*repair));
	if (!repair) {
		replica_job_fail(replica, "can't repair", -ENOMEM);
		return;
	}
	replica_repair_drop(replica);
	repair->common = repair->at = common;
	replica->repair = repair;
	r = store_set_ahead(replica->options.store, (struct version){ replica->promise, UNKNOWN });
	if (r == 0)
		r = replica_diverged_begin(replica, common, &repair->writer);
	if (r < 0) {
		replica_job_fail(replica, "can't repair", r);
		return;
	}
	log_warn("history has diverged", "end=%" PRIx64 "-%" PRIu64 " common=%" PRIx64 "-%" PRIu64,
		 standing.end.epoch, standing.end.sequence, common.epoch, common.sequence);
	replica->job.step = STEP_REPAIR;
	replica_set_role(replica, REPLICA_REPAIRING);
	replica_repair_tick(replica);
}

/* 2. */

struct saving {
	struct replica *replica;
	struct replica_repair *repair;
};

static int save_record(const struct shipped_record *record, void *state)
{
	struct saving *saving = state;
	struct replica_repair *repair = saving->repair;
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);
	int r = 0;

	for (uint32_t i = 0; i < record->count && r == 0; i++) {
		struct entry entry;

		if (diverged_writer_is_copying(repair->writer))
			return 1;
		r = entry_decode(&reader, &entry);
		if (r == 0)
			r = replica_diverged_add(saving->replica, repair->writer, &entry);
		repair->entries += r == 0;
		repair->uncounted +=
			r == 0 && !replica_diverged_is_counted(saving->replica, entry.version);
		repair->at = (struct version){ record->epoch, record->first_sequence + i };
	}
	return r;
}

static void log_saved(const char *name, uint64_t entries)
{
	log_warn("entries that the shard went on without were set aside",
		 "file=%s entries=%" PRIu64, name ? name : "none", entries);
}

int replica_diverged_finish(struct diverged_writer *writer, uint64_t entries)
{
	_cleanup_(freep) char *name = NULL;
	int r = diverged_writer_finish(writer, &name);

	if (r == 0 && entries > 0)
		log_saved(name, entries);
	return r;
}

bool replica_diverged_is_counted(const struct replica *replica, struct version version)
{
	struct replica_items epochs = { replica->aside_epochs.data, replica->aside_epochs.len,
					replica->aside_epoch_count };

	return version_compare(version, replica->counted_after) > 0 &&
	       version_compare(version, replica->counted_to) <= 0 &&
	       !replica_epochs_contain(epochs, version);
}

void replica_diverged_counted(struct replica *replica, struct version after, struct version to)
{
	replica->counted_after = after;
	replica->counted_to = to;
	replica->set_aside = (struct version){ 0 };
	buf_clear(&replica->aside_epochs);
	replica->aside_epoch_count = 0;
}

/* 1: there is more. */
static int save(struct replica *replica, struct replica_repair *repair)
{
	struct saving saving = { replica, repair };
	struct version before = repair->at;
	int r = diverged_writer_step(repair->writer);

	if (r != 0)
		return r;
	r = store_log_read(replica->options.store, repair->at, PULL_BYTES, save_record, &saving);
	if (r != 0)
		return r < 0 ? r : -ESTALE;
	if (repair->at.sequence > before.sequence)
		return 1;
	r = replica_diverged_finish(take_ptr(repair->writer), repair->entries);
	if (r < 0)
		return r;
	replica->counters.diverged_entries += repair->uncounted;
	replica_diverged_counted(replica, repair->common, repair->at);
	repair->phase = REPAIR_FETCH;
	repair->at = repair->common;
	return 1;
}

/* 3. */

static bool is_asked(struct replica_items keys, const struct entry *entry)
{
	struct key key;

	while (replica_next_key(&keys, &key))
		if (key.len == entry->key_len && memcmp(key.bytes, entry->key, key.len) == 0)
			return true;
	return false;
}

static int take_keys(const struct shipped_record *record, void *state)
{
	struct replica_repair *repair = state;
	struct bytes_reader reader = bytes_reader(record->payload, record->payload_len);

	for (uint32_t i = 0; i < record->count; i++) {
		struct entry entry;
		int r = entry_decode(&reader, &entry);

		if (r < 0)
			return r;
		if (repair->left.count == REPLICA_KEYS_MAX)
			return 1;
		if (!is_asked(repair->left, &entry)) {
			r = replica_append_key(&repair->keys, entry.key, entry.key_len);
			if (r < 0)
				return r;
			repair->left.data = repair->keys.data;
			repair->left.len = repair->keys.len;
			repair->left.count++;
		}
		repair->at = (struct version){ record->epoch, record->first_sequence + i };
	}
	return 0;
}

static void ask_records(struct replica *replica, struct replica_repair *repair)
{
	struct replica_message message = replica_request(replica, REPLICA_RECORDS);

	message.items = repair->left;
	replica->job.call =
		replica_send(replica, (unsigned)replica->source, &message, 2 * ASK_TIMEOUT_MS);
	if (replica->job.call == 0)
		replica_job_fail(replica, "can't ask for records", -ENOMEM);
}

static int reset(struct replica *replica, struct replica_repair *repair)
{
	struct replica_batch *batch = replica_batch_new(replica, BATCH_RESET);
	struct version ahead = repair->ahead;
	int r;

	if (!batch)
		return -ENOMEM;
	if (ahead.sequence == 0)
		ahead = repair->common;
	r = store_set_ahead(replica->options.store, ahead);
	if (r < 0) {
		replica_batch_free(batch);
		return r;
	}
	replica_batch_set_point(batch, repair->common, replica->options.realtime_ns());
	repair->phase = REPAIR_RESET;
	replica->job.preparing = batch;
	return 1;
}

/* 1: there is more to do at once. */
static int fetch(struct replica *replica, struct replica_repair *repair)
{
	int r;

	if (replica->job.call > 0)
		return 0;
	if (repair->left.count == 0) {
		buf_clear(&repair->keys);
		repair->left = (struct replica_items){ 0 };
		r = store_log_read(replica->options.store, repair->at, PULL_BYTES, take_keys,
				   repair);
		if (r != 0)
			return r < 0 ? r : -ESTALE;
		if (repair->left.count == 0)
			return reset(replica, repair);
	}
	ask_records(replica, repair);
	return 0;
}

/* Where the leader has nothing, not even a deletion, nobody need have asked for one: a tombstone of
 * no version at all is in every history, and nothing that would have to be set aside. */
static int add_found(struct replica_batch *batch, const uint8_t *key, uint8_t key_len,
		     const uint8_t *bytes, size_t len)
{
	struct bytes_reader reader = bytes_reader(bytes, len);
	struct entry entry;
	int r;

	if (!bytes) {
		entry = (struct entry){
			.kind = ENTRY_TOMBSTONE,
			.key = key,
			.key_len = key_len,
		};
		return replica_batch_add(batch, &entry);
	}
	r = entry_decode(&reader, &entry);
	if (r < 0 || bytes_left(&reader) > 0 || entry.key_len != key_len ||
	    memcmp(entry.key, key, key_len) != 0)
		return r < 0 ? r : -EBADMSG;
	/* Who wrote it asked the leader, not this node. */
	memset(&entry.request_id, 0, sizeof(entry.request_id));
	return replica_batch_add(batch, &entry);
}

/* A tombstone's key lies in repair->keys, everything else in the job's answer. */
static int take_found(struct replica *replica, const struct replica_message *message)
{
	struct replica_repair *repair = replica->repair;
	struct replica_batch *batch = replica_batch_new(replica, BATCH_REPAIR);
	struct replica_items items = replica->job.items;
	int r = batch ? 0 : -ENOMEM;

	while (r == 0 && items.count > 0) {
		const uint8_t *bytes, *item = repair->left.data;
		struct key key;
		size_t len;

		if (!replica_next_key(&repair->left, &key) ||
		    !replica_next_found(&items, &bytes, &len)) {
			r = -EBADMSG;
			break;
		}
		r = add_found(batch, item + 1, key.len, bytes, len);
	}
	if (r < 0) {
		replica_batch_free(batch);
		return r;
	}
	if (version_compare(message->end, repair->ahead) > 0)
		repair->ahead = message->end;
	replica_batch_set_point(batch, message->end, replica->options.realtime_ns());
	replica->job.items = (struct replica_items){ 0 };
	replica->job.preparing = batch;
	return 0;
}

void replica_repair_answered(struct replica *replica, const struct replica_message *message,
			     const void *bytes, size_t len)
{
	int r;

	if (message->status != REPLICA_OK || message->items.count == 0 ||
	    message->items.count > replica->repair->left.count ||
	    (message->head.promise != replica->promise && !replica->recovering)) {
		replica_job_fail(replica, "the leader gives no records", -EAGAIN);
		return;
	}
	r = replica_job_keep(replica, bytes, len);
	if (r == 0)
		r = take_found(replica, message);
	if (r < 0)
		replica_job_fail(replica, "records can't be taken over", r);
	else
		replica_repair_tick(replica);
}

static void finish(struct replica *replica)
{
	struct replica_repair *repair = replica->repair;

	replica->counters.repairs++;
	replica_diverged_counted(replica, (struct version){ 0 }, (struct version){ 0 });
	log_info("repaired", "entries=%" PRIu64 " sequence=%" PRIu64, repair->entries,
		 repair->common.sequence);
	replica_repair_drop(replica);
	replica_job_succeed(replica);
	replica_job_rest(replica, 0);
}

/* 1: there is more to do at once; 0: something has to come first; 2: that was all. */
static int step(struct replica *replica, struct replica_repair *repair)
{
	int r;

	if (repair->phase == REPAIR_SAVE)
		return save(replica, repair);
	r = replica_apply(replica);
	if (r != 1)
		return r;
	return repair->phase == REPAIR_RESET ? 2 : fetch(replica, repair);
}

uint64_t replica_repair_next(const struct replica *replica)
{
	return replica->repair ? replica->repair->at_ms : 0;
}

void replica_repair_tick(struct replica *replica)
{
	int r;

	/* A piece at a time: peers are answered in between. */
	if (!replica->repair || replica_now(replica) < replica->repair->at_ms)
		return;
	replica->repair->at_ms = 0;
	r = step(replica, replica->repair);
	if (r == 2)
		finish(replica);
	else if (r == -EAGAIN && replica->repair->phase == REPAIR_SAVE)
		replica->repair->at_ms =
			replica_job_back_off(replica, "data can't be set aside", r);
	else if (r < 0)
		replica_job_fail(replica, "repair failed", r);
	else if (r == 1)
		replica->transport->wake(replica->options.state);
}

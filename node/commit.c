/* SPDX-License-Identifier: MIT */
/*
 * The order inside one group is what keeps the promises:
 *   1. evaluate every write against the store and the group's own earlier writes;
 *   2. append all entries as one log record (so that the log holds all of the group or nothing);
 *   3. sync, if a write of the group wants the disk;
 *   4. apply to the merge tree: from here on readers see it;
 *   5. answer.
 * A group that only has `memory` writes skips 3 and is synced at most SYNC_DELAY_MS later. As
 * groups follow each other, a `memory` write never shows before a `disk` write that came earlier.
 *
 * When 2 or 3 fail half way nobody knows what reached the disk: the writes are answered "unknown",
 * and the log goes on in a new file that holds what has been applied and nothing else, so the log
 * and the tree agree again. Until that succeeds nothing is accepted (failed).
 *
 * When 4 fails (the tree's memory is at its bound because it can't flush) the group is in the log:
 * it is kept and applied before anything else is.
 *
 * A write whose old version is on a disk is set aside until it was read (node/commit_cold.c).
 *
 * Lock order: wal_lock, lock. The log is synced outside of both (node/commit_sync.c).
 */
#include "node/commit_private.h"

#include "lib/bytes.h"
#include "lib/log.h"
#include "lib/mutex.h"
#include "lib/utf8.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SYNC_DELAY_MS  500 /* of memory writes: on disk within a second */
#define SYNC_SOON_MS   40 /* while somebody waits for them to be there */
#define GATHER_NS      50000
#define UNSYNCED_BYTES (8 * 1024 * 1024) /* of memory writes: then a sync */
/* Of memory writes: those that come wait for it. */
#define UNSYNCED_BYTES_MAX (2 * UNSYNCED_BYTES)

int commit_reopen(struct commit *commit)
{
	int r;

	mutex_lock(&commit->wal_lock);
	commit_wait_for_sync(commit);
	r = wal_reopen(commit->options.wal, commit->next_position - 1,
		       commit->options.realtime_ns());
	commit->wants_reopen = r < 0;
	mutex_unlock(&commit->wal_lock);
	if (r < 0 && commit->log_error == 0)
		log_error("log can't be written", "error=%d", -r);
	if (r == 0 && commit->log_error < 0)
		log_info("log is written again", "%s", "");
	commit->log_error = r;
	if (r == 0) {
		commit->sync_at_ms = 0;
		mutex_lock(&commit->lock);
		buf_clear(&commit->doubtful);
		mutex_unlock(&commit->lock);
		commit_note_stats(commit, 0);
		commit_tell_synced(commit);
	} else {
		commit->retry_at_ms = commit_now_ms(commit) + COMMIT_RETRY_MS;
	}
	if (commit_is_no_room(r))
		commit_set_full(commit, true);
	return r;
}

static bool is_broken(struct commit *commit)
{
	bool broken;

	mutex_lock(&commit->wal_lock);
	broken = wal_is_broken(commit->options.wal);
	mutex_unlock(&commit->wal_lock);
	return broken;
}

static int apply_payload(struct commit *commit, const struct buf *payload)
{
	struct bytes_reader reader = bytes_reader(payload->data, payload->len);
	int r = 0;

	while (r == 0 && bytes_left(&reader) > 0) {
		struct entry entry;

		r = entry_decode(&reader, &entry);
		if (r == 0)
			r = lsm_apply(commit->options.lsm, &entry, 1);
	}
	return r;
}

int commit_make_ready(struct commit *commit)
{
	int r;

	if (is_broken(commit)) {
		if (commit->log_error < 0 && commit_now_ms(commit) < commit->retry_at_ms)
			return commit->log_error;
		r = commit_reopen(commit);
		if (r < 0)
			return r;
	}
	r = commit_finish_reset(commit);
	if (r < 0 || commit->unapplied.len == 0)
		return r;
	r = apply_payload(commit, &commit->unapplied);
	if (commit_is_no_room(r))
		commit_set_full(commit, true);
	if (r == 0)
		buf_deinit(&commit->unapplied);
	return r;
}

static void sync_now(struct commit *commit)
{
	commit->sync_at_ms = 0;
	if (commit->options.threads)
		commit_want_sync(commit);
	else if (commit_sync_log(commit) < 0)
		commit_reopen(commit);
}

/* Others refuse large values by it, so it must not wait for a write to come through. */
static void note_state_locked(struct commit *commit) REQUIRES(&commit->lock)
{
	commit->stats.full = commit->full;
	commit->stats.failed = commit->log_error < 0;
}

/* At once, unless it was tried: what only memory holds should not wait there. */
static bool reopens_now(const struct commit *commit)
{
	return commit->wants_reopen && commit->log_error == 0;
}

/* What time brings. */
static void tick(struct commit *commit)
{
	uint64_t now = commit_now_ms(commit);

	if (commit->sync_at_ms > 0 && now >= commit->sync_at_ms)
		sync_now(commit);
	if (atomic_exchange(&commit->wants_room, false)) {
		commit_press(commit);
		commit->retry_at_ms = 0;
	} else if (now >= commit->pressed_until_ms) {
		commit->pressed_until_ms = 0;
	}
	commit_tidy_up(commit, now);
	commit_tell_synced(commit);
	if (now >= commit->retry_at_ms || reopens_now(commit)) {
		/* In this order: what is due is not tried before its time. */
		commit_make_ready(commit);
		commit->retry_at_ms = now + COMMIT_RETRY_MS;
		commit_look_for_room(commit);
	}
	mutex_lock(&commit->lock);
	note_state_locked(commit);
	mutex_unlock(&commit->lock);
}

/* 0: never. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a > 0 && (a < b || b == 0) ? a : b;
}

/* When tick() has something to do though no write comes; 0: never. */
uint64_t commit_next_tick(const struct commit *commit)
{
	uint64_t next =
		sooner(commit->sync_at_ms, sooner(commit->let_go_at_ms, commit->trim_at_ms));

	if (commit->wants_room || reopens_now(commit))
		return 1;
	if (!commit_is_pressed(commit) && !commit->wants_reopen && commit->unapplied.len == 0 &&
	    !commit->reset_pending)
		return next;
	return sooner(next, commit->retry_at_ms > 0 ? commit->retry_at_ms : 1);
}

static void reset_group(struct commit *commit)
{
	struct group_base base = {
		.lsm = commit->options.lsm,
		.ids = commit->options.ids,
		.next = commit->next,
		.next_position = commit->next_position,
		.now_ns = commit->options.realtime_ns(),
		.full = commit->full,
		.waits = !commit->options.threads,
	};

	group_reset(&commit->group, &base);
}

static int append_locked(struct commit *commit) REQUIRES(&commit->wal_lock)
{
	struct group *group = &commit->group;
	struct wal_record record = {
		.epoch = commit->next.epoch,
		.first_sequence = commit->next.sequence,
		.first_position = commit->next_position,
		.count = (uint32_t)group->entry_count,
		.time_ns = group->base.now_ns,
		.payload = group->payload.data,
		.payload_len = group->payload.len,
	};

	return group->entry_count > 0 ? commit_append_locked(commit, &record) : 0;
}

/* Whether so much is not on stable storage that it becomes so now, or soon. */
static bool has_much_unsynced(struct commit *commit) REQUIRES(&commit->wal_lock)
{
	size_t bytes = wal_unsynced(commit->options.wal);

	if (!commit->options.threads || bytes > UNSYNCED_BYTES_MAX)
		return bytes > UNSYNCED_BYTES;
	if (bytes > UNSYNCED_BYTES)
		commit_want_sync_locked(commit);
	return false;
}

/* Whoever sends a write of the group again must not be told that it was not applied, nor must it be
 * applied again. */
static int make_room_for_ids(struct commit *commit)
{
	size_t count = commit->group.entry_count;
	int r;

	mutex_lock(&commit->lock);
	r = buf_reserve(&commit->doubtful, count * sizeof(struct request_id));
	mutex_unlock(&commit->lock);
	return r == 0 ? request_ids_reserve(commit->options.ids, count) : r;
}

/* Steps 2 and 3. On failure *ret_maybe says whether the record may be found after a crash. */
static int log_group(struct commit *commit, bool *ret_maybe)
{
	struct wal *wal = commit->options.wal;
	bool appended, synced = false, news = false;
	size_t refs;
	uint64_t bytes;
	int r;

	*ret_maybe = false;
	r = make_room_for_ids(commit);
	if (r < 0)
		return r;
	r = value_refs_add_entries(commit->options.refs, commit->options.values,
				   commit->group.entries, commit->group.entry_count, &refs, &bytes);
	if (r == 0) {
		mutex_lock(&commit->wal_lock);
		/* Going on in a new file syncs the old one. */
		news = !wal_fits(wal, commit->group.payload.len);
		r = append_locked(commit);
		appended = r == 0 && commit->group.entry_count > 0;
		if (r == 0 && (commit->group.wants_sync || has_much_unsynced(commit))) {
			synced = true;
			r = commit_sync_locked(commit);
		}
		*ret_maybe = r < 0 && wal_is_broken(wal);
		if (appended && bytes > 0)
			wal_add_weight(wal, wal_current_file(wal), bytes);
		mutex_unlock(&commit->wal_lock);
	}
	if (r < 0 && !*ret_maybe)
		value_refs_cancel(commit->options.refs, refs);
	if (r == 0 && synced)
		commit->sync_at_ms = 0;
	else if (r == 0 && commit->sync_at_ms == 0 && commit->group.entry_count > 0)
		commit->sync_at_ms =
			commit_now_ms(commit) + (commit->eager ? SYNC_SOON_MS : SYNC_DELAY_MS);
	if (synced || news)
		commit_tell_synced(commit);
	return r;
}

/* Steps 4. The group is in the log: whatever happens here, it counts. */
static int apply_group(struct commit *commit)
{
	struct group *group = &commit->group;
	int r;

	if (group->entry_count == 0)
		return 0;
	group_remember_ids(group);
	commit->next.sequence += group->entry_count;
	commit->next_position += group->entry_count;
	commit_note_dead(commit, &group->dead);
	r = lsm_apply(commit->options.lsm, group->entries, group->entry_count);
	if (r < 0) {
		commit->unapplied = buf_take(&group->payload);
		if (commit_is_no_room(r))
			commit_set_full(commit, true);
		log_error("write waits to be applied", "error=%d", -r);
	}
	return r;
}

static enum outcome failure_of(int r)
{
	if (commit_is_no_room(r))
		return OUTCOME_NO_SPACE;
	return r == -ENOMEM || r == -EIO ? OUTCOME_UNAVAILABLE : outcome_from_error(r);
}

/* After this the write is no longer ours. */
static void answer(struct store_write *write)
{
	write->file = value_file_unref(write->file);
	write->next = NULL;
	write->done(write);
}

static bool is_doubtful(struct commit *commit, const struct request_id *id)
{
	bool found = false;

	mutex_lock(&commit->lock);
	for (size_t at = 0; at < commit->doubtful.len && !found; at += sizeof(*id))
		found = memcmp(commit->doubtful.data + at, id, sizeof(*id)) == 0;
	mutex_unlock(&commit->lock);
	return found;
}

/* Whether @write repeats one that was applied, is in the log, or may be found there. */
static bool may_be_applied(struct commit *commit, const struct store_write *write)
{
	const struct request_id *id = &write->request.request_id;
	const struct key *key = &write->key;

	if (write->kind == WRITE_BARRIER || !request_id_is_set(id))
		return false;
	return is_doubtful(commit, id) ||
	       request_ids_contains(commit->options.ids, id,
				    request_key_hash(key->bytes, key->len));
}

/* Room was made before anything was written. */
static void note_doubtful(struct commit *commit)
{
	const struct group *group = &commit->group;

	mutex_lock(&commit->lock);
	for (size_t i = 0; i < group->entry_count; i++) {
		int r = buf_append(&commit->doubtful, &group->entries[i].request_id,
				   sizeof(struct request_id));

		assert(r == 0);
		(void)r;
	}
	mutex_unlock(&commit->lock);
}

void commit_refuse(struct commit *commit, struct store_write *writes, enum outcome outcome)
{
	while (writes) {
		struct store_write *next = writes->next;

		writes->outcome = outcome;
		writes->maybe_applied = may_be_applied(commit, writes);
		answer(writes);
		writes = next;
	}
}

/* Step 1, from *list on as far as a group goes. *ret_rest is what follows it; those that would have
 * to wait for a disk are taken out of the list. */
static void build_group(struct commit *commit, struct store_write **list,
			struct store_write **ret_rest)
{
	struct store_write **link = list;

	reset_group(commit);
	while (*link && group_has_room(&commit->group)) {
		struct store_write *write = *link;
		int r = -EAGAIN;

		if (!commit_is_behind_cold(commit, write))
			r = group_add(&commit->group, write);
		if (r == -EAGAIN) {
			*link = write->next;
			commit_set_aside(commit, write);
		} else if (r == 0) {
			link = &write->next;
		} else {
			break;
		}
	}
	*ret_rest = *link;
}

void commit_note_stats(struct commit *commit, size_t entries)
{
	struct wal_mark last = wal_last(commit->options.wal);

	mutex_lock(&commit->lock);
	commit->stats.last = (struct version){ last.epoch, last.sequence };
	commit->stats.position = commit->next_position - 1;
	commit->stats.records += entries > 0;
	commit->stats.entries += entries;
	note_state_locked(commit);
	mutex_unlock(&commit->lock);
}

/* Once more, as the disk is full now. What was in the group already does not wait behind writes
 * that were set aside meanwhile: they came later. */
static void build_again(struct commit *commit, struct store_write **list,
			struct store_write **ret_rest)
{
	for (size_t i = 0; i < commit->group.write_count; i++)
		commit_mark_back(commit, commit->group.writes[i].write);
	build_group(commit, list, ret_rest);
}

static void commit_group(struct commit *commit, struct store_write **list)
{
	struct store_write *rest;
	bool maybe = false;
	int r;

	build_group(commit, list, &rest);
	r = log_group(commit, &maybe);
	if (commit_is_no_room(r) && !maybe && !commit->full) {
		/* With the ballast gone there may be room for the deletes among them. */
		commit_set_full(commit, true);
		build_again(commit, list, &rest);
		r = log_group(commit, &maybe);
	}
	if (r == 0) {
		r = apply_group(commit);
		maybe = r < 0;
	} else if (maybe) {
		note_doubtful(commit);
		commit_reopen(commit);
	}
	if (r < 0)
		group_fail(&commit->group, failure_of(r), maybe);
	group_answer_repeats(&commit->group);
	commit_note_stats(commit, commit->group.entry_count);
	commit->returning = commit->group.wants_sync ? commit->group.write_count : 0;
	for (size_t i = 0; i < commit->group.write_count; i++)
		answer(commit->group.writes[i].write);
	group_reset(&commit->group, NULL);
	*list = rest;
}

void commit_after_group(struct commit *commit, bool died)
{
	if (died && commit_room_is_short(commit))
		commit_look_for_room(commit);
	else if (commit->dead_bytes > commit->options.dead_bytes_max)
		commit_let_go(commit);
}

bool commit_some(struct commit *commit, struct store_write **list)
{
	struct store_write *before = *list;
	uint64_t dead_before = commit->dead_bytes;
	int r = commit_make_ready(commit);

	if (r == 0) {
		commit_group(commit, list);
		commit_after_group(commit, commit->dead_bytes > dead_before);
		if (*list != before)
			return true;
		r = -ENOMEM; /* not even one write could be taken in */
	}
	commit_note_stats(commit, 0);
	commit_refuse(commit, *list, failure_of(r));
	return false;
}

static void commit_list(struct commit *commit, struct store_write *list)
{
	while (list && commit_may_write(commit, &list))
		if (!commit_some(commit, &list))
			return;
}

/* And nothing is aside any more. */
static bool is_closing(const struct commit *commit) REQUIRES(&commit->lock)
{
	return commit->closing && commit->cold.aside == 0;
}

/* That may be taken now. */
static bool has_writes(const struct commit *commit) REQUIRES(&commit->lock)
{
	if (commit->role == STORE_PAUSED && !commit->closing)
		return false;
	return commit->head || commit_cold_is_back(commit);
}

static void wait_for_work(struct commit *commit) REQUIRES(&commit->lock)
{
	int r = 0;

	while (commit->taken || (r == 0 && !is_closing(commit) && !commit->batches &&
				 !commit_role_has_work(commit) && !has_writes(commit))) {
		uint64_t at = commit->taken ? 0 : commit_next_tick(commit);

		commit->wants_turn = commit->taken;
		commit->wakes_at_ms = at;
		if (at == 0)
			condition_wait(&commit->work, &commit->lock);
		else
			r = condition_wait_until(&commit->work, &commit->lock, at);
	}
	commit->wants_turn = false;
}

/*
 * Who was answered after a sync often has the next write ready at once. If the first of them were
 * synced alone the others would wait for two syncs, so all get the chance to be in one group. That
 * takes less than half of what it spares, and is not waited for where it did not help.
 */
static void gather(struct commit *commit)
{
	uint64_t deadline;

	if (commit->returning < 2)
		return;
	deadline = clock_monotonic_ns() + GATHER_NS;
	while (atomic_load(&commit->waiting) < commit->returning && clock_monotonic_ns() < deadline)
		sched_yield();
	commit->returning = 0;
}

void commit_take_turn(struct commit *commit)
{
	commit->taken = true;
	commit->taker = pthread_self();
}

void commit_end_turn(struct commit *commit)
{
	commit->taken = false;
}

static struct store_write *take_list(struct commit *commit) REQUIRES(&commit->lock)
{
	struct store_write *list;

	if (commit->role == STORE_PAUSED && !commit->closing)
		return NULL;
	list = commit_take_cold(commit, commit->head);
	commit->head = NULL;
	commit->tail = &commit->head;
	commit->waiting = 0;
	return list;
}

static struct store_batch *take_batches(struct commit *commit) REQUIRES(&commit->lock)
{
	struct store_batch *batches = commit->batches;

	commit->batches = NULL;
	commit->batch_tail = &commit->batches;
	return batches;
}

static void *run(void *state)
{
	struct commit *commit = state;
	bool more = true;

	while (more) {
		struct store_batch *batches;
		struct store_write *list;

		mutex_lock(&commit->lock);
		wait_for_work(commit);
		commit_take_turn(commit);
		mutex_unlock(&commit->lock);
		gather(commit);
		mutex_lock(&commit->lock);
		list = take_list(commit);
		batches = take_batches(commit);
		more = list || batches || commit_role_has_work(commit) || !is_closing(commit);
		mutex_unlock(&commit->lock);
		tick(commit);
		commit_list(commit, list);
		commit_run_batches(commit, batches);
		commit_role_work(commit);
		mutex_lock(&commit->lock);
		commit_end_turn(commit);
		mutex_unlock(&commit->lock);
	}
	return NULL;
}

/* The submitter does the work; what is submitted meanwhile waits its turn. */
void commit_run_inline(struct commit *commit)
{
	if (commit->options.threads)
		return;
	mutex_lock(&commit->lock);
	if (!commit->busy) {
		commit->busy = true;
		for (;;) {
			struct store_write *list = take_list(commit);
			struct store_batch *batches = take_batches(commit);

			if (!list && !batches && !commit_role_has_work(commit))
				break;
			mutex_unlock(&commit->lock);
			tick(commit);
			commit_list(commit, list);
			commit_run_batches(commit, batches);
			commit_role_work(commit);
			mutex_lock(&commit->lock);
		}
		commit->busy = false;
	}
	mutex_unlock(&commit->lock);
}

void commit_tick(struct commit *commit)
{
	bool busy;

	mutex_lock(&commit->lock);
	busy = commit->busy || commit->options.threads;
	commit->busy = true;
	mutex_unlock(&commit->lock);
	if (busy)
		return;
	tick(commit);
	mutex_lock(&commit->lock);
	commit->busy = false;
	mutex_unlock(&commit->lock);
	commit_run_inline(commit);
}

struct store_write *commit_prepare(struct store_write *writes)
{
	struct store_write *last = writes;

	for (struct store_write *write = writes; write; write = write->next) {
		last = write;
		write->back = false;
		if (write->kind != WRITE_PUT || write->file)
			continue;
		write->file_size = write->value_len;
		write->file_hash = hash128(write->value, write->value_len);
		write->file_utf8 = utf8_is_valid(write->value, write->value_len);
	}
	return last;
}

void commit_queue(struct commit *commit, struct store_write *writes, struct store_write *last)
{
	bool closing, leads;

	mutex_lock(&commit->lock);
	closing = commit->closing;
	leads = commit->role == STORE_LEADING || commit->role == STORE_PAUSED;
	if (!closing && leads) {
		*commit->tail = writes;
		commit->tail = &last->next;
		for (struct store_write *write = writes; write; write = write->next)
			commit->waiting++;
		condition_signal(&commit->work);
	}
	mutex_unlock(&commit->lock);
	if (closing)
		commit_refuse(commit, writes, OUTCOME_UNAVAILABLE);
	else if (!leads)
		commit_refuse(commit, writes, OUTCOME_MISDIRECTED);
	else
		commit_run_inline(commit);
}

void commit_submit(struct commit *commit, struct store_write *writes)
{
	commit_queue(commit, writes, commit_prepare(writes));
}

void commit_set_eager(struct commit *commit, bool eager)
{
	commit->eager = eager;
}

void commit_want_room(struct commit *commit)
{
	mutex_lock(&commit->lock);
	commit->wants_room = true;
	condition_signal(&commit->work);
	mutex_unlock(&commit->lock);
}

void commit_stats(struct commit *commit, struct commit_stats *ret_stats)
{
	mutex_lock(&commit->lock);
	*ret_stats = commit->stats;
	mutex_unlock(&commit->lock);
}

int commit_new(const struct commit_options *options, struct commit **ret_commit)
{
	struct commit *commit = calloc(1, sizeof(*commit));
	struct wal_mark last = wal_last(options->wal);
	int r;

	if (!commit)
		return -ENOMEM;
	commit->options = *options;
	commit->next.sequence = last.sequence + 1;
	commit->next_position = last.position + 1;
	commit->full = options->full;
	commit->dead_bytes = options->dead_bytes;
	if (commit_has_dead(commit))
		commit->let_go_at_ms = commit_now_ms(commit) + COMMIT_LET_GO_MS;
	commit->tail = &commit->head;
	commit->batch_tail = &commit->batches;
	commit->told = wal_synced(options->wal);
	mutex_init(&commit->wal_lock);
	condition_init(&commit->sync_work);
	condition_init(&commit->sync_ended);
	mutex_init(&commit->lock);
	condition_init(&commit->work);
	condition_init(&commit->called);
	r = commit_cold_init(commit);
	commit_note_stats(commit, 0);
	if (r < 0 ||
	    (options->threads && (commit_sync_start(commit) < 0 ||
				  pthread_create(&commit->thread, NULL, run, commit) != 0))) {
		commit->stopped = true;
		commit_free(commit);
		return -ENOMEM;
	}
	*ret_commit = commit;
	return 0;
}

void commit_stop(struct commit *commit)
{
	bool first;

	if (!commit)
		return;
	mutex_lock(&commit->lock);
	first = !commit->stopped;
	commit->closing = commit->stopped = true;
	condition_signal(&commit->work);
	mutex_unlock(&commit->lock);
	if (first && commit->options.threads)
		pthread_join(commit->thread, NULL);
	else
		commit_run_inline(commit); /* what has waited while it was paused */
	commit_cold_stop(commit);
	commit_sync_stop(commit);
	/* What only memory holds ends with it, and nobody else comes to reopen the log. */
	if (first && commit_sync_log(commit) < 0)
		commit_reopen(commit);
}

struct commit *commit_free(struct commit *commit)
{
	if (!commit)
		return NULL;
	commit_stop(commit);
	commit_sync_stop(commit);
	group_deinit(&commit->group);
	buf_deinit(&commit->unapplied);
	buf_deinit(&commit->doubtful);
	commit_cold_deinit(commit);
	condition_deinit(&commit->called);
	condition_deinit(&commit->work);
	condition_deinit(&commit->sync_work);
	condition_deinit(&commit->sync_ended);
	mutex_deinit(&commit->lock);
	mutex_deinit(&commit->wal_lock);
	free(commit);
	return NULL;
}

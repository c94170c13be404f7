/* SPDX-License-Identifier: MIT */
/*
 * Sealed memtables become one segment. The order that makes it safe:
 * 1. the segment and its directory entry are on stable storage,
 * 2. so is the log up to the same position,
 * 3. the manifest's edit is,
 * 4. readers see it, and the memtables go.
 * Whatever fails, the memtables stay and the next attempt begins anew.
 */
#include "lib/clock.h"
#include "lib/log.h"
#include "node/lsm_private.h"
#include "node/segment_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

DEFINE_CLEANUP(struct segment_writer *, segment_writer_abort)

/* Whether what @merge stands at is a tombstone of a version up to @drop. */
static int goes(const struct merge *merge, struct version drop)
{
	struct entry entry;
	int r;

	if (merge_key(merge)->kind != ENTRY_TOMBSTONE || drop.epoch == 0)
		return 0;
	r = merge_head(merge, &entry);
	return r < 0 ? r : version_compare(entry.version, drop) <= 0;
}

static int copy_entries(struct lsm *lsm, struct merge *merge, struct version drop, bool gives_way,
			struct segment_writer *writer)
{
	uint64_t given_way = 0; /* what was passed then; what is dropped takes time, too */
	int r = 0;

	while (r == 0 && !merge_ended(merge)) {
		const uint8_t *data;
		uint64_t passed;
		size_t len;

		if (atomic_load_explicit(&lsm->stop, memory_order_relaxed))
			return -ECANCELED;
		r = goes(merge, drop);
		if (r == 0) {
			r = merge_encoded(merge, &data, &len);
			if (r == 0)
				r = segment_writer_add(writer, data, len);
		}
		if (r >= 0)
			r = merge_next(merge);
		passed = merge_passed(merge) - given_way;
		if (r == 0 && gives_way && passed >= lsm->options.memtable_bytes) {
			r = lsm_give_way(lsm, passed);
			given_way += passed;
		}
	}
	return r;
}

int lsm_write_segment(struct lsm *lsm, struct merge *merge, uint64_t entries_max,
		      struct version drop, bool gives_way, struct segment **ret_segment)
{
	_cleanup_(segment_writer_abortp) struct segment_writer *writer = NULL;
	struct segment_writer_options options = {
		.vfs = lsm->options.vfs,
		.dir = lsm->dir,
		.file_id = atomic_fetch_add(&lsm->next_file_id, 1),
		.entries_max = entries_max,
	};
	int r;

	r = segment_writer_new(&options, &writer);
	if (r == 0)
		r = copy_entries(lsm, merge, drop, gives_way, writer);
	if (r < 0)
		return r;
	*ret_segment = NULL;
	if (segment_writer_entries(writer) == 0)
		return 0;
	r = segment_writer_finish(take_ptr(writer));
	if (r < 0)
		return r;
	r = segment_open(&lsm->context, options.file_id, ret_segment);
	if (r < 0) {
		_cleanup_(freep) char *path = segment_path(lsm->dir, options.file_id);

		if (path)
			vfs_unlink(lsm->options.vfs, path);
	}
	return r;
}

/* The edits that named them can no longer be found. */
static void delete_doubtful(struct lsm *lsm) REQUIRES(lsm->manifest_lock)
{
	for (size_t at = 0; at < lsm->doubtful.len; at += sizeof(uint64_t)) {
		uint64_t id;

		memcpy(&id, lsm->doubtful.data + at, sizeof(id));
		reaper_add(lsm->context.reaper, segment_path(lsm->dir, id), NULL);
	}
	buf_clear(&lsm->doubtful);
}

int lsm_mend_manifest(struct lsm *lsm)
{
	int r = 0;

	mutex_lock(&lsm->manifest_lock);
	if (manifest_is_broken(lsm->manifest))
		r = manifest_rewrite(lsm->manifest);
	if (r == 0)
		delete_doubtful(lsm);
	mutex_unlock(&lsm->manifest_lock);
	return r;
}

int lsm_commit_edit(struct lsm *lsm, struct manifest_edit *edit, struct segment *output)
{
	int r;

	mutex_lock(&lsm->manifest_lock);
	edit->next_file_id = atomic_load(&lsm->next_file_id);
	r = manifest_edit(lsm->manifest, edit);
	if (r < 0 && output) {
		uint64_t id = segment_file_id(output);

		/* Without memory to note it, the next open sweeps it. */
		(void)buf_append(&lsm->doubtful, &id, sizeof(id));
	}
	mutex_unlock(&lsm->manifest_lock);
	return r;
}

static int merge_sealed(struct lsm *lsm, const struct view *view, struct segment **ret_segment)
{
	_cleanup_(merge_freep) struct merge *merge = NULL;
	uint64_t entries = 0;
	int r;

	r = merge_new(view->sealed_count, &merge);
	for (size_t i = 0; i < view->sealed_count && r == 0; i++) {
		entries += memtable_count(view->sealed[i]);
		r = merge_add_memtable(merge, view->sealed[i], NULL, 0);
	}
	if (r < 0)
		return r;
	merge_start(merge);
	return lsm_write_segment(lsm, merge, entries, (struct version){ 0 }, false, ret_segment);
}

static int publish(struct lsm *lsm, size_t count, struct segment *segment, uint64_t position)
{
	struct view_run run = { .segment = segment, .run = segment_file_id(segment) };
	struct view *next;
	int r;

	mutex_lock(&lsm->lock);
	r = view_flush(lsm->view, count, run, &next);
	if (r == 0) {
		lsm_install_locked(lsm, next);
		lsm->flushed = position;
		lsm->counters.flushes++;
		lsm->counters.flushed_bytes += segment_bytes(segment);
	}
	mutex_unlock(&lsm->lock);
	return r;
}

int lsm_flush_sealed(struct lsm *lsm)
{
	_cleanup_(segment_unrefp) struct segment *segment = NULL;
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	struct manifest_segment added;
	struct manifest_edit edit = { .added = &added, .added_count = 1 };
	int r;

	if (view->sealed_count == 0)
		return 0;
	r = lsm_mend_manifest(lsm);
	if (r == 0)
		r = merge_sealed(lsm, view, &segment);
	if (r < 0)
		return r;
	edit.flushed = memtable_position(view->sealed[0]);
	if (lsm->options.sync_log)
		r = lsm->options.sync_log(lsm->options.state, edit.flushed);
	if (r < 0) {
		segment_obsolete(segment);
		return r;
	}
	added.file_id = added.run = segment_file_id(segment);
	r = lsm_commit_edit(lsm, &edit, segment);
	/* Durable, so it must be published: wait until there is memory. */
	while (r == 0 && publish(lsm, view->sealed_count, segment, edit.flushed) < 0)
		usleep(LSM_PUBLISH_RETRY_US);
	if (r < 0)
		return r;
	log_debug("memtables flushed",
		  "memtables=%zu file=%" PRIu64 " bytes=%" PRIu64 " position=%" PRIu64,
		  view->sealed_count, added.file_id, segment_bytes(segment), edit.flushed);
	if (lsm->options.flushed)
		lsm->options.flushed(lsm->options.state, edit.flushed);
	return 0;
}

static void note_result(struct lsm *lsm, int r) REQUIRES(lsm->lock)
{
	if (r < 0 && r != -ECANCELED && r != lsm->flush_error)
		log_error("flush failed", "error=\"%s\" retry_ms=%d", strerror(-r), LSM_RETRY_MS);
	if (r == 0 && lsm->flush_error < 0)
		log_info("flush works again", "%s", "");
	lsm->flush_error = r;
	lsm->flush_failures += r < 0;
	condition_broadcast(&lsm->progress);
	condition_signal(&lsm->compact_work);
}

void *lsm_flush_thread(void *state)
{
	struct lsm *lsm = state;

	mutex_lock(&lsm->lock);
	while (!atomic_load(&lsm->stop)) {
		uint64_t deadline = clock_monotonic_ms() + LSM_RETRY_MS;
		int r;

		if (lsm->sealed_bytes == 0) {
			condition_wait(&lsm->flush_work, &lsm->lock);
			continue;
		}
		lsm->retry_now = false;
		lsm->flushing = true;
		mutex_unlock(&lsm->lock);
		r = lsm_flush_sealed(lsm);
		mutex_lock(&lsm->lock);
		lsm->flushing = false;
		note_result(lsm, r);
		while (r < 0 && !lsm->retry_now && !atomic_load(&lsm->stop) &&
		       condition_wait_until(&lsm->flush_work, &lsm->lock, deadline) == 0)
			;
	}
	mutex_unlock(&lsm->lock);
	return NULL;
}

void lsm_work_inline(struct lsm *lsm)
{
	int r = lsm_flush_sealed(lsm);

	mutex_lock(&lsm->lock);
	note_result(lsm, r);
	mutex_unlock(&lsm->lock);
	do {
		r = lsm_compact(lsm);
	} while (r > 0);
	mutex_lock(&lsm->lock);
	lsm->compact_error = r;
	mutex_unlock(&lsm->lock);
}

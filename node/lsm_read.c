/* SPDX-License-Identifier: MIT */
/* Look-ups and listing: on a view, so that nothing a writer does disturbs them. */
#include "lib/hash.h"
#include "node/lsm_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void lsm_entry_release(struct lsm_entry *entry)
{
	value_file_unref(entry->file);
	pin_release(entry->pin);
	*entry = (struct lsm_entry){ 0 };
}

static bool get_from_memtable(struct memtable *memtable, const void *key, size_t key_len,
			      struct lsm_entry *ret_entry)
{
	const struct memtable_entry *found = memtable_get(memtable, key, key_len);
	struct value_file *file;

	if (!found)
		return false;
	memtable_decode(found, &ret_entry->entry);
	file = memtable_file(found);
	ret_entry->file = file ? value_file_ref(file) : NULL;
	ret_entry->pin = memtable_pin(memtable);
	return true;
}

static int get_from_segment(struct segment *segment, const void *key, size_t key_len, uint64_t hash,
			    unsigned flags, struct lsm_entry *ret_entry)
{
	struct value_file *file = NULL;
	struct block *block;
	struct entry entry;
	int r;

	r = segment_get(segment, key, key_len, hash, flags, &entry, &block);
	if (r != 0)
		return r;
	if (entry.kind == ENTRY_FILE) {
		file = segment_value(segment, entry.file_id);
		if (!file) {
			block_unref(block);
			return -EBADMSG;
		}
	}
	ret_entry->entry = entry;
	ret_entry->pin = &block->pin;
	ret_entry->file = file ? value_file_ref(file) : NULL;
	return 0;
}

int lsm_get(struct lsm *lsm, const void *key, size_t key_len, unsigned flags,
	    struct lsm_entry *ret_entry)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	uint64_t hash = hash64(key, key_len, 0);

	/* Their filters arrive while the memtables are searched. */
	for (size_t i = 0; i < view->run_count; i++)
		segment_prefetch(view->runs[i].segment, hash);
	if (get_from_memtable(view->active, key, key_len, ret_entry))
		return 0;
	for (size_t i = 0; i < view->sealed_count; i++)
		if (get_from_memtable(view->sealed[i], key, key_len, ret_entry))
			return 0;
	for (size_t i = 0; i < view->run_count; i++) {
		int r = get_from_segment(view->runs[i].segment, key, key_len, hash, flags,
					 ret_entry);

		if (r != SEGMENT_NOT_FOUND)
			return r;
	}
	return LSM_NOT_FOUND;
}

static int merge_view(const struct view *view, const struct key *after, struct merge **ret_merge)
{
	_cleanup_(merge_freep) struct merge *merge = NULL;
	const void *key = after ? after->bytes : NULL;
	size_t key_len = after ? after->len : 0;
	int r;

	r = merge_new(1 + view->sealed_count + view->run_count, &merge);
	if (r == 0)
		r = merge_add_memtable(merge, view->active, key, key_len);
	for (size_t i = 0; i < view->sealed_count && r == 0; i++)
		r = merge_add_memtable(merge, view->sealed[i], key, key_len);
	for (size_t i = 0; i < view->run_count && r == 0; i++)
		r = merge_add_segment(merge, view->runs[i].segment, true, key, key_len);
	if (r < 0)
		return r;
	merge_start(merge);
	*ret_merge = take_ptr(merge);
	return 0;
}

static int list(struct lsm *lsm, const struct key *after, size_t limit, bool with_tombstones,
		int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
		struct key *ret_last)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	_cleanup_(merge_freep) struct merge *merge = NULL;
	struct key last = { 0 };
	size_t names = 0, skipped = 0;
	int r;

	if (after)
		last = *after;
	r = merge_view(view, after, &merge);
	while (r == 0 && !merge_ended(merge)) {
		const struct entry *key = merge_key(merge);
		bool tombstone = key->kind == ENTRY_TOMBSTONE && !with_tombstones;
		struct entry entry;

		if (tombstone ? skipped++ >= LSM_TOMBSTONES_SKIP : names++ >= limit)
			break;
		if (!tombstone) {
			r = merge_head(merge, &entry);
			if (r < 0)
				return r;
			entry.value = NULL;
			r = found(&entry, state);
			if (r < 0)
				return r;
			if (r > 0)
				break;
		}
		r = key_from_bytes(key->key, key->key_len, &last);
		if (r == 0)
			r = merge_next(merge);
	}
	if (r < 0)
		return r;
	*ret_more = !merge_ended(merge);
	*ret_last = last;
	return 0;
}

int lsm_list(struct lsm *lsm, const struct key *after, size_t limit,
	     int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	     struct key *ret_last)
{
	return list(lsm, after, limit, false, found, state, ret_more, ret_last);
}

int lsm_scan(struct lsm *lsm, const struct key *after, size_t limit,
	     int (*found)(const struct entry *entry, void *state), void *state, bool *ret_more,
	     struct key *ret_last)
{
	return list(lsm, after, limit, true, found, state, ret_more, ret_last);
}

static int check_segment(struct lsm *lsm, uint64_t file_id,
			 void (*problem)(const char *sentence, void *state), void *state)
{
	_cleanup_(segment_unrefp) struct segment *segment = NULL;
	char sentence[80];
	int r;

	/* A fresh one, so that filter and index are read again too. */
	r = segment_open(&lsm->context, file_id, &segment);
	if (r < 0) {
		snprintf(sentence, sizeof(sentence),
			 "%016" PRIx64 ".seg can't be opened; the log line before this says why",
			 file_id);
		problem(sentence, state);
		return r == -EBADMSG ? 1 : r;
	}
	return segment_check(segment, problem, state);
}

int lsm_check(struct lsm *lsm, void (*problem)(const char *sentence, void *state), void *state)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	int faults = 0;

	for (size_t i = 0; i < view->run_count; i++) {
		int r = check_segment(lsm, segment_file_id(view->runs[i].segment), problem, state);

		if (r < 0)
			return r;
		faults += r;
	}
	return faults > 0 ? 1 : 0;
}

int lsm_each_value(struct lsm *lsm, int (*found)(uint64_t file_id, void *state), void *state)
{
	_cleanup_(view_unrefp) struct view *view = lsm_view(lsm);
	int r = 0;

	for (size_t i = 0; i < view->run_count; i++) {
		struct value_file *const *values;
		size_t count = segment_values(view->runs[i].segment, &values);

		for (size_t j = 0; j < count && r == 0; j++)
			r = found(value_file_id(values[j]), state);
	}
	return r;
}

/* SPDX-License-Identifier: MIT */
/* A binary heap of sources, ordered by key and then by age. */
#include "node/merge.h"

#include "node/key_order.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct merge_source {
	bool is_segment;
	size_t age; /* 0 is the newest */
	uint64_t prefix;
	struct entry peek; /* key, key_len and kind */
	struct memtable_iterator memtable;
	struct segment_iterator segment;
};

struct merge {
	struct merge_source *sources;
	size_t source_count, source_max;
	struct merge_source **heap;
	size_t heap_len;
	uint64_t passed;
};

int merge_new(size_t sources, struct merge **ret_merge)
{
	struct merge *merge = calloc(1, sizeof(*merge));

	if (!merge)
		return -ENOMEM;
	merge->source_max = sources;
	merge->sources = calloc(sources > 0 ? sources : 1, sizeof(*merge->sources));
	merge->heap = calloc(sources > 0 ? sources : 1, sizeof(struct merge_source *));
	if (!merge->sources || !merge->heap) {
		merge_free(merge);
		return -ENOMEM;
	}
	*ret_merge = merge;
	return 0;
}

struct merge *merge_free(struct merge *merge)
{
	if (!merge)
		return NULL;
	for (size_t i = 0; i < merge->source_count; i++)
		if (merge->sources[i].is_segment)
			segment_iterator_deinit(&merge->sources[i].segment);
	free(merge->heap);
	free(merge->sources);
	free(merge);
	return NULL;
}

/* Notes the key that @source stands at. 1 if it does, 0 past its end, or a negative errno. */
static int look(struct merge_source *source)
{
	int r = 0;

	if (source->is_segment) {
		if (segment_iterator_ended(&source->segment))
			return 0;
		r = segment_iterator_peek(&source->segment, &source->peek);
	} else {
		const uint8_t *data;
		size_t len;

		if (!source->memtable.at)
			return 0;
		data = memtable_encoded(source->memtable.at, &len);
		r = entry_peek(data, len, &source->peek) ? 0 : -EBADMSG;
	}
	if (r < 0)
		return r;
	source->prefix = key_prefix(source->peek.key, source->peek.key_len);
	return 1;
}

static int keep(struct merge *merge, struct merge_source *source)
{
	int r = look(source);

	if (r > 0)
		merge->heap[merge->heap_len++] = source;
	return r < 0 ? r : 0;
}

static struct merge_source *next_source(struct merge *merge)
{
	assert(merge->source_count < merge->source_max);
	merge->sources[merge->source_count].age = merge->source_count;
	return &merge->sources[merge->source_count++];
}

int merge_add_memtable(struct merge *merge, struct memtable *memtable, const void *after,
		       size_t after_len)
{
	struct merge_source *source = next_source(merge);

	memtable_iterate(&source->memtable, memtable, after, after_len);
	return keep(merge, source);
}

int merge_add_segment(struct merge *merge, struct segment *segment, bool cached, const void *after,
		      size_t after_len)
{
	struct merge_source *source = next_source(merge);
	int r;

	source->is_segment = true;
	r = segment_iterate(&source->segment, segment, cached, after, after_len);
	return r < 0 ? r : keep(merge, source);
}

static int key_order_of(const struct merge_source *a, const struct merge_source *b)
{
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	return key_order(a->peek.key, a->peek.key_len, b->peek.key, b->peek.key_len);
}

static bool is_before(const struct merge_source *a, const struct merge_source *b)
{
	int order = key_order_of(a, b);

	return order != 0 ? order < 0 : a->age < b->age;
}

static void sift_down(struct merge *merge, size_t at)
{
	struct merge_source **heap = merge->heap;

	for (;;) {
		size_t child = 2 * at + 1;
		struct merge_source *source = heap[at];

		if (child >= merge->heap_len)
			return;
		if (child + 1 < merge->heap_len && is_before(heap[child + 1], heap[child]))
			child++;
		if (!is_before(heap[child], source))
			return;
		heap[at] = heap[child];
		heap[child] = source;
		at = child;
	}
}

void merge_start(struct merge *merge)
{
	for (size_t i = merge->heap_len / 2; i-- > 0;)
		sift_down(merge, i);
}

bool merge_ended(const struct merge *merge)
{
	return merge->heap_len == 0;
}

const struct entry *merge_key(const struct merge *merge)
{
	return &merge->heap[0]->peek;
}

int merge_head(const struct merge *merge, struct entry *ret_entry)
{
	struct merge_source *source = merge->heap[0];

	if (source->is_segment)
		return segment_iterator_head(&source->segment, ret_entry);
	memtable_decode(source->memtable.at, ret_entry);
	return 0;
}

int merge_encoded(struct merge *merge, const uint8_t **ret_data, size_t *ret_len)
{
	struct merge_source *source = merge->heap[0];

	if (source->is_segment)
		return segment_iterator_encoded(&source->segment, ret_data, ret_len);
	*ret_data = memtable_encoded(source->memtable.at, ret_len);
	return 0;
}

uint64_t merge_passed(const struct merge *merge)
{
	return merge->passed;
}

static size_t bytes_at(const struct merge_source *source)
{
	const struct segment_iterator *it = &source->segment;
	size_t len;

	if (source->is_segment)
		return it->apart ? it->apart->len : it->at.len;
	memtable_encoded(source->memtable.at, &len);
	return len;
}

/* Moves the source at the top on and restores the heap. */
static int advance_top(struct merge *merge)
{
	struct merge_source *source = merge->heap[0];
	int r = 0;

	merge->passed += bytes_at(source);
	if (source->is_segment)
		r = segment_next(&source->segment);
	else
		memtable_next(&source->memtable);
	if (r == 0)
		r = look(source);
	if (r == 0)
		merge->heap[0] = merge->heap[--merge->heap_len];
	if (r >= 0 && merge->heap_len > 0)
		sift_down(merge, 0);
	return r < 0 ? r : 0;
}

int merge_next(struct merge *merge)
{
	const struct entry *top = merge_key(merge);
	uint8_t key[KEY_BYTES_MAX];
	uint8_t key_len = top->key_len;
	uint64_t prefix = merge->heap[0]->prefix;
	int r;

	memcpy(key, top->key, key_len);
	/* Older versions of the same key come right behind it. */
	do {
		r = advance_top(merge);
	} while (r == 0 && merge->heap_len > 0 && merge->heap[0]->prefix == prefix &&
		 key_order(merge_key(merge)->key, merge_key(merge)->key_len, key, key_len) == 0);
	return r;
}

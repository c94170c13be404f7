/* SPDX-License-Identifier: MIT */
/*
 * Walking through a segment in key order, for listing, compaction and checks. Blocks that follow
 * each other in the file are read in pieces that double; each is verified when it is come to.
 * Nothing is put into the cache: whoever walks would push out what is asked for by name.
 */
#include "lib/cleanup.h"
#include "lib/log.h"
#include "node/bloom.h"
#include "node/key_order.h"
#include "node/segment_private.h"

#include <errno.h>
#include <stdio.h>

static void drop_apart(struct segment_iterator *it)
{
	it->apart = block_unref(it->apart);
}

/* So much is read at once at most; a page of a list needs little of most segments. */
#define AHEAD_BYTES_MAX      ((size_t)256 * 1024)
#define AHEAD_BYTES_MAX_LIST ((size_t)32 * 1024)

static bool is_ahead(const struct segment_iterator *it, struct segment_range range)
{
	return range.offset >= it->ahead_offset &&
	       range.offset + range.len + SEGMENT_TRAILER_BYTES <= it->ahead_offset + it->ahead.len;
}

/* A block that does not follow what was read is read alone: its neighbours are large entries. */
static size_t choose_size(const struct segment_iterator *it, struct segment_range range)
{
	uint64_t rest = it->segment->blocks_end - range.offset;
	size_t len = (size_t)range.len + SEGMENT_TRAILER_BYTES;
	size_t most = it->cached ? AHEAD_BYTES_MAX_LIST : AHEAD_BYTES_MAX;
	size_t size = 2 * it->ahead.len < most ? 2 * it->ahead.len : most;

	if (range.offset < it->ahead_offset || range.offset > it->ahead_offset + it->ahead.len ||
	    size < len)
		return len;
	return size < rest ? size : (size_t)rest;
}

static int read_ahead(struct segment_iterator *it, struct segment_range range)
{
	struct segment *segment = it->segment;
	size_t len = (size_t)range.len + SEGMENT_TRAILER_BYTES, size = choose_size(it, range);
	ssize_t n;
	int r;

	buf_clear(&it->ahead);
	r = buf_reserve(&it->ahead, size);
	if (r < 0)
		return r;
	n = vfs_pread(segment->file, it->ahead.data, size, range.offset, 0);
	/* What lies behind the block concerns who comes to it. */
	if (n < 0 && size > len)
		n = vfs_pread(segment->file, it->ahead.data, len, range.offset, 0);
	if (n == -EIO)
		segment_damaged(segment, range.offset, "a block can't be read");
	if (n < 0)
		return (int)n;
	if ((size_t)n < len)
		return segment_damaged(segment, range.offset, "it is too short");
	it->ahead_offset = range.offset;
	it->ahead.len = (size_t)n;
	return 0;
}

/* *ret_data is verified, and lives until another block is loaded. */
static int find_block(struct segment_iterator *it, struct segment_range range,
		      const uint8_t **ret_data)
{
	struct segment *segment = it->segment;
	int r;

	if (it->cached)
		it->block =
			block_cache_get(segment->context->cache, segment->file_id, range.offset);
	if (it->block && it->block->len == range.len) {
		*ret_data = it->block->data;
		return 0;
	}
	r = segment_check_range(segment, range);
	if (r == 0 && !is_ahead(it, range))
		r = read_ahead(it, range);
	if (r < 0)
		return r;
	*ret_data = it->ahead.data + (range.offset - it->ahead_offset);
	return segment_trailer_check(segment->file_id, range.offset, *ret_data, (size_t)range.len)
		       ? 0
		       : segment_damaged(segment, range.offset, "a block fails its checksum");
}

static int load_block(struct segment_iterator *it)
{
	struct segment_range range = segment_index_range(it->node);
	const uint8_t *data;
	int r;

	it->block = block_unref(it->block);
	it->block_offset = range.offset;
	it->slot = 0;
	r = find_block(it, range, &data);
	if (r < 0)
		return r;
	return segment_block_init(&it->view, data, (size_t)range.len) < 0
		       ? segment_damaged(it->segment, range.offset, "a block is malformed")
		       : 0;
}

/* Goes on to the next block while the current one has no entry at slot. */
static int settle(struct segment_iterator *it)
{
	int r;

	while (it->slot >= it->view.count) {
		it->node = rbtree_next(it->node);
		if (!it->node)
			return 0;
		r = load_block(it);
		if (r < 0)
			return r;
	}
	return segment_block_slot(&it->view, it->slot, &it->at) < 0
		       ? segment_damaged(it->segment, it->block_offset, "a block is malformed")
		       : 0;
}

int segment_iterate(struct segment_iterator *it, struct segment *segment, bool cached,
		    const void *after, size_t after_len)
{
	bool equal;
	int r;

	*it = (struct segment_iterator){ .segment = segment, .cached = cached };
	it->node = segment_index_find(&segment->index, after, after_len);
	r = load_block(it);
	if (r == 0 && segment_block_seek(&it->view, after, after_len, true, &it->slot, &equal) < 0)
		r = segment_damaged(segment, it->block_offset, "a block is malformed");
	return r < 0 ? r : settle(it);
}

int segment_next(struct segment_iterator *it)
{
	drop_apart(it);
	it->slot++;
	return settle(it);
}

void segment_iterator_deinit(struct segment_iterator *it)
{
	drop_apart(it);
	it->block = block_unref(it->block);
	buf_deinit(&it->ahead);
	it->node = NULL;
}

int segment_iterator_peek(const struct segment_iterator *it, struct entry *ret_entry)
{
	return entry_peek(it->at.encoded, it->at.len, ret_entry)
		       ? 0
		       : segment_damaged(it->segment, it->block_offset, "an entry is malformed");
}

int segment_iterator_head(const struct segment_iterator *it, struct entry *ret_entry)
{
	struct segment_range apart;

	if (segment_slot_decode(&it->at, ret_entry, &apart) < 0)
		return segment_damaged(it->segment, it->block_offset, "an entry is malformed");
	return 0;
}

int segment_iterator_encoded(struct segment_iterator *it, const uint8_t **ret_data, size_t *ret_len)
{
	struct segment_range range;
	struct entry head, entry;
	int r;

	if (it->at.form == SEGMENT_WHOLE) {
		*ret_data = it->at.encoded;
		*ret_len = it->at.len;
		return 0;
	}
	if (!it->apart) {
		if (segment_slot_decode(&it->at, &head, &range) < 0)
			return segment_damaged(it->segment, it->block_offset,
					       "an entry is malformed");
		r = segment_read_apart(it->segment, &head, range, it->cached, 0, &entry,
				       &it->apart);
		if (r < 0)
			return r;
	}
	*ret_data = it->apart->data;
	*ret_len = it->apart->len;
	return 0;
}

struct check {
	struct segment *segment;
	void (*problem)(const char *sentence, void *state);
	void *state;
	int faults;
	struct key last;
	uint64_t entries, tombstones;
};

static void report(struct check *check, const char *why)
{
	_cleanup_(freep) char *sentence = NULL;

	check->faults++;
	if (asprintf(&sentence, "%s: %s", check->segment->path, why) < 0)
		sentence = NULL;
	check->problem(sentence ? sentence : why, check->state);
}

static int check_entry(struct check *check, struct segment_iterator *it)
{
	struct segment *segment = it->segment;
	struct bytes_reader reader;
	const uint8_t *data;
	struct entry entry;
	size_t len;
	int r;

	r = segment_iterator_encoded(it, &data, &len);
	if (r < 0)
		return r;
	reader = bytes_reader(data, len);
	r = entry_decode(&reader, &entry);
	if (r < 0 || bytes_left(&reader) > 0)
		return -EBADMSG;
	if (key_order(check->last.bytes, check->last.len, entry.key, entry.key_len) >= 0)
		report(check, "its keys are out of order");
	if (!bloom_may_contain(segment->filter->data, segment->filter->len,
			       hash64(entry.key, entry.key_len, 0)))
		report(check, "its filter lacks a key");
	if (segment_index_find(&segment->index, entry.key, entry.key_len) != it->node)
		report(check, "its index points to another block");
	if (entry.kind == ENTRY_FILE && !segment_value(segment, entry.file_id))
		report(check, "its value list lacks a file");
	check->entries++;
	check->tombstones += entry.kind == ENTRY_TOMBSTONE;
	return key_from_bytes(entry.key, entry.key_len, &check->last);
}

int segment_check(struct segment *segment, void (*problem)(const char *sentence, void *state),
		  void *state)
{
	struct check check = { .segment = segment, .problem = problem, .state = state };
	struct segment_iterator it;
	int r;

	r = segment_iterate(&it, segment, false, NULL, 0);
	while (r == 0 && !segment_iterator_ended(&it)) {
		r = check_entry(&check, &it);
		if (r == 0)
			r = segment_next(&it);
	}
	segment_iterator_deinit(&it);
	if (r == -EBADMSG)
		report(&check, "a block is damaged; the log names its offset");
	else if (r < 0)
		return r;
	else if (check.entries != segment->properties.entries ||
		 check.tombstones != segment->properties.tombstones)
		report(&check, "its properties count other entries than it holds");
	return check.faults;
}

static void pass_over(const char *sentence, void *state)
{
	(void)sentence;
	(void)state;
}

int segment_recheck(struct segment *segment)
{
	int r;

	if (!segment_is_damaged(segment))
		return 0;
	r = segment_check(segment, pass_over, NULL);
	if (r != 0)
		return r < 0 ? r : -EBADMSG;
	log_info("a file is sound after all", "kind=segment file=%s", segment->path);
	atomic_store(&segment->damaged, false);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Blocks in which everything has been read are given back: the page cache has it, and what is ahead
 * is worth more. A read that finds no block, for whatever reason, asks the router itself for
 * exactly what it wants.
 */
#include "fs/reader.h"

#include "fs/fetch.h"
#include "fs/sequence.h"
#include "fs/stats.h"
#include "lib/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Reads come a little out of order. */
#define BEHIND_BYTES  ((uint64_t)4 * 1024 * 1024)
#define WAIT_SLICE_MS 100

struct reader {
	/* immutable */
	struct remote *remote;
	struct prefetch *prefetch;
	struct block_pool *pool; /* NULL with prefetch */

	/* protected by pool->lock */
	struct version version; /* of all blocks */
	char key[KEY_HEX_MAX + 1]; /* and theirs: versions of two keys may be equal */
	struct sequence sequences[SEQUENCES_MAX];
};

int reader_new(struct remote *remote, struct prefetch *prefetch, struct reader **ret_reader)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->remote = remote;
	reader->prefetch = prefetch;
	reader->pool = prefetch ? prefetch_blocks(prefetch) : NULL;
	for (unsigned i = 0; i < SEQUENCES_MAX; i++)
		reader->sequences[i].blocks.reader = reader;
	*ret_reader = reader;
	return 0;
}

static void forget_locked(struct reader *reader, struct sequence *sequence)
	REQUIRES(&reader->pool->lock)
{
	block_drop_before_locked(reader->pool, &sequence->blocks, UINT64_MAX);
	sequence->reads = 0;
}

struct reader *reader_free(struct reader *reader)
{
	if (reader && reader->pool) {
		mutex_lock(&reader->pool->lock);
		for (unsigned i = 0; i < SEQUENCES_MAX; i++)
			forget_locked(reader, &reader->sequences[i]);
		mutex_unlock(&reader->pool->lock);
	}
	free(reader);
	return NULL;
}

/* What was read */

void *reader_bytes_add(struct reader_bytes *bytes, size_t len)
{
	assert(!bytes->own && bytes->count < READER_PARTS_MAX);
	bytes->own = malloc(len);
	if (!bytes->own)
		return NULL;
	bytes->parts[bytes->count++] = (struct iovec){ .iov_base = bytes->own, .iov_len = len };
	return bytes->own;
}

void reader_bytes_deinit(struct reader_bytes *bytes)
{
	if (bytes->pool) {
		mutex_lock(&bytes->pool->lock);
		for (unsigned i = 0; i < bytes->count; i++)
			if (bytes->blocks[i])
				block_release_locked(bytes->pool, bytes->blocks[i]);
		mutex_unlock(&bytes->pool->lock);
	}
	free(bytes->own);
	*bytes = (struct reader_bytes){ 0 };
}

/* Ahead */

/* The blocks for up to @bytes from where the sequence has been asked for. Only the first may begin
 * inside a chunk of the value's file: nodes read and verify those as a whole. */
static unsigned take_blocks_locked(struct reader *reader, struct sequence *sequence,
				   uint64_t value_bytes, uint64_t bytes,
				   struct block *ret_blocks[FETCH_BLOCKS_MAX])
	REQUIRES(&reader->pool->lock)
{
	unsigned share = block_share_locked(reader->pool, &sequence->blocks);
	uint64_t start = sequence->next, end = start + bytes;
	unsigned count = 0;

	while (start < end && start < value_bytes && count < FETCH_BLOCKS_MAX &&
	       sequence->blocks.blocks < share) {
		struct block *block = block_take_locked(reader->pool, &sequence->blocks);

		if (!block)
			break;
		block->start = start;
		block->len = BLOCK_CAPACITY - (size_t)(start % BLOCK_CAPACITY);
		if (block->len > value_bytes - start)
			block->len = (size_t)(value_bytes - start);
		start += block->len;
		ret_blocks[count++] = block;
	}
	return count;
}

static bool fetch_next_locked(struct reader *reader, struct sequence *sequence,
			      const struct reader_want *want, uint64_t bytes)
	REQUIRES(&reader->pool->lock)
{
	const struct fetch_from from = {
		.remote = reader->remote,
		.key = want->key,
		.version = want->version,
		.pin = want->pin,
	};
	struct block *blocks[FETCH_BLOCKS_MAX];
	unsigned count = take_blocks_locked(reader, sequence, want->value_bytes, bytes, blocks);

	if (count == 0)
		return false;
	if (fetch_start_locked(reader->prefetch, reader->pool, &from, blocks, count)) {
		sequence->next = blocks[count - 1]->start + blocks[count - 1]->len;
		return true;
	}
	for (unsigned i = 0; i < count; i++)
		block_loaded_locked(reader->pool, blocks[i], -EAGAIN);
	return false;
}

/* Asks for half of what is to be ahead at once, so that one part is on its way while the other is
 * read; and for less where the share of blocks is small. */
static void read_ahead_locked(struct reader *reader, struct sequence *sequence,
			      const struct reader_want *want) REQUIRES(&reader->pool->lock)
{
	uint64_t ahead = sequence_ahead_bytes(sequence);
	uint64_t share = block_share_locked(reader->pool, &sequence->blocks) * BLOCK_CAPACITY;
	uint64_t part;

	if (ahead > share * 2 / 3)
		ahead = share * 2 / 3;
	part = ahead / 2 < BLOCK_CAPACITY ? BLOCK_CAPACITY : ahead / 2;
	if (sequence->next < want->offset)
		sequence->next = want->offset;
	while (sequence->next < want->value_bytes && sequence->next < sequence->end + ahead)
		if (!fetch_next_locked(reader, sequence, want, part))
			return;
}

/* Which sequence the read belongs to, with what it needs on its way. */
static void follow_locked(struct reader *reader, const struct reader_want *want)
	REQUIRES(&reader->pool->lock)
{
	struct sequence *sequence = sequence_find(reader->sequences, want->offset, want->len);

	if (version_compare(reader->version, want->version) != 0 ||
	    strcmp(reader->key, want->key) != 0) {
		for (unsigned i = 0; i < SEQUENCES_MAX; i++)
			forget_locked(reader, &reader->sequences[i]);
		reader->version = want->version;
		strncpy(reader->key, want->key, KEY_HEX_MAX);
		sequence = NULL;
	}
	if (!sequence) {
		sequence = sequence_least(reader->sequences);
		forget_locked(reader, sequence);
		sequence_begin(sequence, want->offset, want->len);
		return;
	}
	sequence_go_on(sequence, want->offset, want->len);
	if (!sequence_is_established(sequence))
		return;
	if (want->offset > BEHIND_BYTES)
		block_drop_before_locked(reader->pool, &sequence->blocks,
					 want->offset - BEHIND_BYTES);
	read_ahead_locked(reader, sequence, want);
}

/* Reading */

static int wait_for_locked(struct reader *reader, struct block *block,
			   const struct interrupt *interrupt) REQUIRES(&reader->pool->lock)
{
	while (block->state == BLOCK_LOADING) {
		if (interrupt_raised(interrupt))
			return -EINTR;
		condition_wait_until(&block->loaded, &reader->pool->lock,
				     clock_monotonic_ms() + WAIT_SLICE_MS);
	}
	return block->state == BLOCK_READY ? 0 : block->error;
}

/* Adds what @block has of the range, whose beginning lies in it. */
static size_t add_part_locked(struct reader *reader, struct block *block, uint64_t offset,
			      size_t len, struct reader_bytes *bytes) REQUIRES(&reader->pool->lock)
{
	size_t in_block = (size_t)(offset - block->start);
	struct iovec *part = &bytes->parts[bytes->count];

	if (len > block->len - in_block)
		len = block->len - in_block;
	*part = (struct iovec){ .iov_base = block->data + in_block, .iov_len = len };
	bytes->blocks[bytes->count++] = block;
	block->taken += len;
	if (block->taken >= block->len && block->owner)
		block_drop_locked(reader->pool, block);
	return len;
}

/* As much of the beginning as there are blocks for. */
static int read_blocks(struct reader *reader, const struct reader_want *want,
		       const struct interrupt *interrupt, struct reader_bytes *bytes,
		       size_t *ret_len)
{
	size_t len = 0;
	int r = 0;

	bytes->pool = reader->pool;
	mutex_lock(&reader->pool->lock);
	follow_locked(reader, want);
	/* The last part is for what there is no block for. */
	while (r == 0 && len < want->len && bytes->count < READER_PARTS_MAX - 1) {
		uint64_t offset = want->offset + len;
		struct block *block = block_find_locked(reader->pool, reader, offset);

		if (!block)
			break;
		stats_count(block->state == BLOCK_READY ? STATS_BLOCK_HITS : STATS_BLOCK_MISSES, 1);
		block_hold_locked(reader->pool, block);
		r = wait_for_locked(reader, block, interrupt);
		if (r == 0)
			len += add_part_locked(reader, block, offset, want->len - len, bytes);
		else
			block_release_locked(reader->pool, block);
	}
	mutex_unlock(&reader->pool->lock);
	*ret_len = len;
	return r;
}

struct copy {
	uint8_t *data;
	uint64_t offset; /* of data[0] in the value */
};

static int copy_sink(void *state, uint64_t offset, const void *data, size_t len)
{
	const struct copy *copy = state;

	memcpy(copy->data + (offset - copy->offset), data, len);
	return 0;
}

/* What begins @skip bytes behind where the read does, and no more. */
static int read_rest(struct reader *reader, const struct reader_want *want, size_t skip,
		     const struct interrupt *interrupt, struct reader_bytes *bytes)
{
	struct copy copy = { .offset = want->offset + skip };
	const struct remote_range range = {
		.key = want->key,
		.version = want->version,
		.token = want->pin ? want->pin->token : NULL,
		.offset = copy.offset,
		.len = want->len - skip,
		.sink = copy_sink,
		.state = &copy,
	};

	copy.data = reader_bytes_add(bytes, want->len - skip);
	return copy.data ? remote_read(reader->remote, &range, interrupt) : -ENOMEM;
}

/* What follows has to show again that it is worth reading ahead. */
static void give_up(struct reader *reader)
{
	mutex_lock(&reader->pool->lock);
	for (unsigned i = 0; i < SEQUENCES_MAX; i++)
		forget_locked(reader, &reader->sequences[i]);
	mutex_unlock(&reader->pool->lock);
}

int reader_read(struct reader *reader, const struct reader_want *want,
		const struct interrupt *interrupt, struct reader_bytes *ret_bytes)
{
	struct reader_bytes bytes = { 0 };
	size_t len = 0;
	int r = 0;

	if (reader->pool)
		r = read_blocks(reader, want, interrupt, &bytes, &len);
	if (r == 0 && len < want->len)
		r = read_rest(reader, want, len, interrupt, &bytes);
	if (r == 0) {
		*ret_bytes = bytes;
		return 0;
	}
	reader_bytes_deinit(&bytes);
	if (r != -EINTR && reader->pool)
		give_up(reader);
	return r;
}

int reader_copy(struct reader *reader, const struct reader_want *want, void *data,
		const struct interrupt *interrupt)
{
	struct reader_bytes bytes = { 0 };
	uint8_t *at = data;
	int r = reader_read(reader, want, interrupt, &bytes);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < bytes.count; i++) {
		memcpy(at, bytes.parts[i].iov_base, bytes.parts[i].iov_len);
		at += bytes.parts[i].iov_len;
	}
	reader_bytes_deinit(&bytes);
	return 0;
}

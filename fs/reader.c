/* SPDX-License-Identifier: MIT */
/*
 * A block is EMPTY, LOADING (one thread fetches it without the lock, others wait) or READY. Only
 * blocks of the version that is asked for are used: after a change the old ones are claimed first.
 */
#include "fs/reader.h"

#include "fs/stats.h"
#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES      (1024 * 1024)
#define BLOCKS           4
#define BLOCKS_AHEAD     2
#define SEQUENTIAL_AFTER 2
#define NEAR_BYTES       (2 * BLOCK_BYTES)
#define WAIT_SLICE_MS    100

enum block_state { BLOCK_EMPTY, BLOCK_LOADING, BLOCK_READY };

struct block {
	struct prefetch_job job;
	struct reader *reader;
	enum block_state state;
	uint64_t index;
	struct version version;
	struct pin *pin; /* while LOADING */
	uint64_t used; /* when, in reads */
	size_t len;
	uint8_t *data;
};

struct reader {
	struct remote *remote;
	struct prefetch *prefetch;
	atomic_uint references;
	atomic_bool closed;

	struct mutex lock;
	struct condition loaded;
	struct block blocks[BLOCKS];
	char key[KEY_HEX_MAX + 1]; /* of the blocks on their way */
	uint64_t reads;
	uint64_t last_end;
	unsigned streak;
};

int reader_new(struct remote *remote, struct prefetch *prefetch, struct reader **ret_reader)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	reader->remote = remote;
	reader->prefetch = prefetch;
	atomic_init(&reader->references, 1);
	mutex_init(&reader->lock);
	condition_init(&reader->loaded);
	for (int i = 0; i < BLOCKS; i++)
		reader->blocks[i].reader = reader;
	*ret_reader = reader;
	return 0;
}

static void reader_unref(struct reader *reader)
{
	if (atomic_fetch_sub(&reader->references, 1) != 1)
		return;
	for (int i = 0; i < BLOCKS; i++) {
		if (!reader->blocks[i].data)
			continue;
		free(reader->blocks[i].data);
		prefetch_return_block(reader->prefetch);
	}
	condition_deinit(&reader->loaded);
	mutex_deinit(&reader->lock);
	free(reader);
}

struct reader *reader_free(struct reader *reader)
{
	if (!reader)
		return NULL;
	atomic_store(&reader->closed, true);
	reader_unref(reader);
	return NULL;
}

struct copy {
	uint8_t *data;
	uint64_t offset; /* of data[0] in the value */
};

static int copy_sink(void *state, uint64_t offset, const void *data, size_t len)
{
	struct copy *copy = state;

	memcpy(copy->data + (offset - copy->offset), data, len);
	return 0;
}

/* @range says which version and which bytes. */
static int fetch(struct reader *reader, struct remote_range range, uint8_t *data,
		 const struct interrupt *interrupt)
{
	struct copy copy = { .data = data, .offset = range.offset };

	range.sink = copy_sink;
	range.state = &copy;
	return remote_read(reader->remote, &range, interrupt);
}

/* Fetches a block that was claimed. The key is read without the lock: it does not change while a
 * block is loading. */
static int load(struct block *block, const struct interrupt *interrupt)
{
	struct reader *reader = block->reader;
	const struct remote_range range = {
		.key = reader->key,
		.version = block->version,
		.token = block->pin ? block->pin->token : NULL,
		.offset = block->index * BLOCK_BYTES,
		.len = block->len,
	};
	int r = fetch(reader, range, block->data, interrupt);

	mutex_lock(&reader->lock);
	block->pin = pin_unref(block->pin);
	block->state = r == 0 ? BLOCK_READY : BLOCK_EMPTY;
	condition_broadcast(&reader->loaded);
	mutex_unlock(&reader->lock);
	return r;
}

static bool reader_is_closed(void *state)
{
	return atomic_load(&((struct reader *)state)->closed);
}

static void load_ahead(struct prefetch_job *job)
{
	/* The job is the block's first member. */
	struct block *block = (struct block *)job;
	struct reader *reader = block->reader;
	const struct interrupt closed = { .raised = reader_is_closed, .state = reader };

	load(block, &closed);
	reader_unref(reader);
}

static struct block *find_locked(struct reader *reader, struct version version, uint64_t index)
	REQUIRES(&reader->lock)
{
	for (int i = 0; i < BLOCKS; i++) {
		struct block *block = &reader->blocks[i];

		if (block->state != BLOCK_EMPTY && block->index == index &&
		    version_compare(block->version, version) == 0)
			return block;
	}
	return NULL;
}

static bool loading_locked(const struct reader *reader)
{
	for (int i = 0; i < BLOCKS; i++)
		if (reader->blocks[i].state == BLOCK_LOADING)
			return true;
	return false;
}

/* A block to load @index into, in state LOADING; NULL if there is none to spare. */
static struct block *claim_locked(struct reader *reader, const struct reader_want *want,
				  uint64_t index) REQUIRES(&reader->lock)
{
	struct block *best = NULL;
	uint64_t start = index * BLOCK_BYTES;

	/* A file that was renamed while blocks under its old name are on their way. */
	if (strcmp(reader->key, want->key) != 0) {
		if (loading_locked(reader))
			return NULL;
		strncpy(reader->key, want->key, KEY_HEX_MAX);
	}
	for (int i = 0; i < BLOCKS; i++) {
		struct block *block = &reader->blocks[i];

		if (block->state == BLOCK_LOADING)
			continue;
		if (!best || block->state < best->state ||
		    (block->state == best->state && block->used < best->used))
			best = block;
	}
	if (!best)
		return NULL;
	if (!best->data) {
		if (!prefetch_take_block(reader->prefetch))
			return NULL;
		best->data = malloc(BLOCK_BYTES);
		if (!best->data) {
			prefetch_return_block(reader->prefetch);
			return NULL;
		}
	}
	best->state = BLOCK_LOADING;
	best->index = index;
	best->version = want->version;
	best->pin = pin_ref(want->pin);
	best->used = reader->reads;
	best->len = want->value_bytes - start < BLOCK_BYTES ? (size_t)(want->value_bytes - start)
							    : BLOCK_BYTES;
	return best;
}

static void read_ahead_locked(struct reader *reader, const struct reader_want *want, uint64_t index)
	REQUIRES(&reader->lock)
{
	for (uint64_t next = index + 1; next <= index + BLOCKS_AHEAD; next++) {
		struct block *block;

		if (next * BLOCK_BYTES >= want->value_bytes)
			return;
		if (find_locked(reader, want->version, next))
			continue;
		block = claim_locked(reader, want, next);
		if (!block)
			return;
		atomic_fetch_add(&reader->references, 1);
		block->job.run = load_ahead;
		prefetch_submit(reader->prefetch, &block->job);
	}
}

/* The part of @want that lies in block @index, from the block. -ENOBUFS: no block to spare. */
static int read_block(struct reader *reader, const struct reader_want *want, uint64_t index,
		      size_t in_block, size_t len, uint8_t *data, const struct interrupt *interrupt)
{
	struct block *block;
	int r = 0;

	mutex_lock(&reader->lock);
	block = find_locked(reader, want->version, index);
	stats_count(block && block->state == BLOCK_READY ? STATS_BLOCK_HITS : STATS_BLOCK_MISSES,
		    1);
	for (;;) {
		block = find_locked(reader, want->version, index);
		if (block && block->state == BLOCK_READY)
			break;
		if (!block) {
			block = claim_locked(reader, want, index);
			if (!block) {
				r = -ENOBUFS;
				break;
			}
			read_ahead_locked(reader, want, index);
			mutex_unlock(&reader->lock);
			r = load(block, interrupt);
			if (r < 0)
				return r;
			mutex_lock(&reader->lock);
			continue;
		}
		if (interrupt_raised(interrupt)) {
			r = -EINTR;
			break;
		}
		condition_wait_until(&reader->loaded, &reader->lock,
				     clock_monotonic_ms() + WAIT_SLICE_MS);
	}
	if (r == 0) {
		memcpy(data, block->data + in_block, len);
		block->used = reader->reads;
		read_ahead_locked(reader, want, index);
	}
	mutex_unlock(&reader->lock);
	return r;
}

/* The kernel's read-ahead arrives on several threads, a little out of order. */
static bool note_sequence(struct reader *reader, const struct reader_want *want)
{
	bool sequential;

	mutex_lock(&reader->lock);
	reader->reads++;
	if (want->offset + NEAR_BYTES >= reader->last_end &&
	    want->offset <= reader->last_end + NEAR_BYTES)
		reader->streak++;
	else
		reader->streak = 0;
	reader->last_end = want->offset + want->len;
	sequential = reader->streak > SEQUENTIAL_AFTER;
	mutex_unlock(&reader->lock);
	return sequential;
}

int reader_read(struct reader *reader, const struct reader_want *want, void *data,
		const struct interrupt *interrupt)
{
	uint8_t *at = data;
	uint64_t offset = want->offset, end = want->offset + want->len;
	struct remote_range direct = {
		.key = want->key,
		.version = want->version,
		.token = want->pin ? want->pin->token : NULL,
		.offset = want->offset,
		.len = want->len,
	};
	int r;

	if (!note_sequence(reader, want))
		return fetch(reader, direct, at, interrupt);
	while (offset < end) {
		uint64_t index = offset / BLOCK_BYTES;
		size_t in_block = (size_t)(offset % BLOCK_BYTES);
		size_t len = BLOCK_BYTES - in_block;

		if (len > end - offset)
			len = (size_t)(end - offset);
		r = read_block(reader, want, index, in_block, len, at, interrupt);
		if (r == -ENOBUFS) {
			direct.offset = offset;
			direct.len = len;
			r = fetch(reader, direct, at, interrupt);
		}
		if (r < 0)
			return r;
		at += len;
		offset += len;
	}
	return 0;
}

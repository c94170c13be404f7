/* SPDX-License-Identifier: MIT */
/*
 * The request may be made again from its beginning: blocks that are whole by then belong to their
 * readers, and what comes for them a second time is passed over.
 */
#include "fs/fetch.h"

#include "lib/container_of.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fetch {
	struct prefetch_job job;
	struct block_pool *pool;
	struct remote *remote;
	struct version version;
	struct pin *pin;
	char key[KEY_HEX_MAX + 1];
	struct block *blocks[FETCH_BLOCKS_MAX];
	unsigned count;
	unsigned loaded;
};

/* Nobody waits any more for what is still to come. */
static bool is_unwanted(void *state)
{
	struct fetch *fetch = state;
	bool wanted = false;

	mutex_lock(&fetch->pool->lock);
	for (unsigned i = fetch->loaded; i < fetch->count && !wanted; i++)
		wanted = block_is_wanted_locked(fetch->pool, fetch->blocks[i]);
	mutex_unlock(&fetch->pool->lock);
	return !wanted;
}

static void block_is_whole(struct fetch *fetch)
{
	mutex_lock(&fetch->pool->lock);
	block_loaded_locked(fetch->pool, fetch->blocks[fetch->loaded], 0);
	mutex_unlock(&fetch->pool->lock);
	fetch->loaded++;
}

static int take(void *state, uint64_t offset, const void *data, size_t len)
{
	struct fetch *fetch = state;
	const uint8_t *from = data;

	while (len > 0 && fetch->loaded < fetch->count) {
		struct block *block = fetch->blocks[fetch->loaded];
		size_t n = len, in_block;

		if (offset < block->start) {
			if (n > block->start - offset)
				n = (size_t)(block->start - offset);
		} else {
			in_block = (size_t)(offset - block->start);
			if (n > block->len - in_block)
				n = block->len - in_block;
			memcpy(block->data + in_block, from, n);
			if (in_block + n == block->len) {
				block_is_whole(fetch);
				if (fetch->loaded < fetch->count && is_unwanted(fetch))
					return -EINTR;
			}
		}
		offset += n;
		from += n;
		len -= n;
	}
	return 0;
}

static void run(struct prefetch_job *job)
{
	struct fetch *fetch = container_of(job, struct fetch, job);
	const struct block *last = fetch->blocks[fetch->count - 1];
	const struct interrupt unwanted = { .raised = is_unwanted, .state = fetch };
	const struct remote_range range = {
		.key = fetch->key,
		.version = fetch->version,
		.token = fetch->pin ? fetch->pin->token : NULL,
		.offset = fetch->blocks[0]->start,
		.len = last->start + last->len - fetch->blocks[0]->start,
		.sink = take,
		.state = fetch,
	};
	int r = remote_read(fetch->remote, &range, &unwanted);

	mutex_lock(&fetch->pool->lock);
	while (fetch->loaded < fetch->count)
		block_loaded_locked(fetch->pool, fetch->blocks[fetch->loaded++], r < 0 ? r : -EIO);
	mutex_unlock(&fetch->pool->lock);
	pin_unref(fetch->pin);
	free(fetch);
}

bool fetch_start_locked(struct prefetch *prefetch, struct block_pool *pool,
			const struct fetch_from *from, struct block *const blocks[], unsigned count)
{
	struct fetch *fetch = calloc(1, sizeof(*fetch));

	if (!fetch)
		return false;
	fetch->job.run = run;
	fetch->pool = pool;
	fetch->remote = from->remote;
	fetch->version = from->version;
	fetch->pin = pin_ref(from->pin);
	strncpy(fetch->key, from->key, KEY_HEX_MAX);
	memcpy(fetch->blocks, blocks, count * sizeof(struct block *));
	fetch->count = count;
	if (prefetch_submit_now(prefetch, &fetch->job))
		return true;
	pin_unref(fetch->pin);
	free(fetch);
	return false;
}

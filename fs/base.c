/* SPDX-License-Identifier: MIT */
#include "fs/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define GAPS_MAX    16384
#define GAPS_FEWER  256
#define FETCH_BYTES ((uint64_t)8 * 1024 * 1024)
#define BLOCK_BYTES ((uint64_t)1024 * 1024)

static void set_place(struct base_place *place, const char *key, struct version version,
		      const char *token)
{
	strncpy(place->key, key, NAME_BYTES_MAX);
	place->version = version;
	place->token = token;
}

void base_init(struct base *base, struct mount *mount, struct inode *inode, struct staging *staging,
	       const struct interrupt *interrupt)
{
	const struct pin *pin;
	const char *name;

	*base = (struct base){ .remote = mount->remote, .interrupt = interrupt };
	base->staging = staging_ref(staging);
	mutex_lock(&mount->inodes.lock);
	name = inode->hides ? inode->hides : inode->filename;
	pin = base->pin = pin_ref(inode->pin);
	if (!pin) {
		set_place(&base->place, name, inode->version, NULL);
	} else {
		set_place(&base->place, pin->key, pin->version, pin->token);
		if (version_compare(pin->version, inode->version) != 0 ||
		    strcmp(pin->key, name) != 0)
			set_place(&base->other, name, inode->version, NULL);
	}
	mutex_unlock(&mount->inodes.lock);
}

void base_deinit(struct base *base)
{
	base->staging = staging_unref(base->staging);
	base->pin = pin_unref(base->pin);
	free(base->block);
	base->block = NULL;
}

static int read_range(struct base *base, struct remote_range *range)
{
	int r;

	for (;;) {
		range->key = base->place.key;
		range->version = base->place.version;
		range->token = base->place.token;
		r = remote_read(base->remote, range, base->interrupt);
		if (r != -ESTALE || !*base->other.key)
			return r;
		base->place = base->other;
		base->other.key[0] = '\0';
	}
}

static int fill(void *state, uint64_t offset, const void *data, size_t len)
{
	const struct base *base = state;

	return staging_fill(base->staging, offset, data, len);
}

/* What is not missing in there is fetched for nothing. */
static int fetch_range(struct base *base, uint64_t start, uint64_t end)
{
	struct remote_range range = {
		.sink = fill,
		.state = base,
	};
	int r = 0;

	while (r == 0 && start < end) {
		range.offset = start;
		range.len = end - start < FETCH_BYTES ? end - start : FETCH_BYTES;
		r = read_range(base, &range);
		start += range.len;
	}
	return r;
}

int base_fetch(struct base *base)
{
	uint64_t start, end;
	int r = 0;

	while (r == 0 && staging_gaps(base->staging, 0, FETCH_BYTES, &start, &end))
		r = fetch_range(base, start, end);
	return r;
}

int base_bound(struct base *base)
{
	uint64_t start, end;

	if (staging_gap_count(base->staging) < GAPS_MAX ||
	    !staging_narrowest_gaps(base->staging, GAPS_FEWER, &start, &end))
		return 0;
	return fetch_range(base, start, end);
}

static int take_block(void *state, uint64_t offset, const void *data, size_t len)
{
	struct base *base = state;
	int r = 0;

	memcpy(base->block + (offset - base->block_start), data, len);
	base->block_len = (size_t)(offset - base->block_start) + len;
	if (!base->no_room)
		r = staging_fill(base->staging, offset, data, len);
	/* What is being stored need not wait here as well. */
	if (r == -ENOSPC || r == -EDQUOT || r == -EFBIG) {
		base->no_room = true;
		r = 0;
	}
	return r;
}

/* From @offset, which is missing, to the last that is missing in the same block. */
static int fetch_block(struct base *base, uint64_t offset)
{
	struct remote_range range = {
		.offset = offset,
		.sink = take_block,
		.state = base,
	};
	uint64_t start, end = offset;

	if (!base->block)
		base->block = malloc(BLOCK_BYTES);
	if (!base->block)
		return -ENOMEM;
	staging_gaps(base->staging, offset, BLOCK_BYTES, &start, &end);
	range.len = end - offset;
	base->block_start = offset;
	base->block_len = 0;
	return read_range(base, &range);
}

static bool is_in_block(const struct base *base, uint64_t offset)
{
	return offset >= base->block_start && offset - base->block_start < base->block_len;
}

ssize_t base_read(void *state, uint64_t offset, void *data, size_t len)
{
	struct base *base = state;
	bool missing;
	uint64_t run = staging_run(base->staging, offset, &missing);
	uint64_t in_block;
	int r;

	if (len > run)
		len = (size_t)run;
	if (!missing)
		return staging_read(base->staging, offset, data, len);
	if (!is_in_block(base, offset)) {
		r = fetch_block(base, offset);
		if (r < 0)
			return r;
	}
	in_block = base->block_len - (offset - base->block_start);
	if (len > in_block)
		len = (size_t)in_block;
	memcpy(data, base->block + (offset - base->block_start), len);
	return (ssize_t)len;
}

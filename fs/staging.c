/* SPDX-License-Identifier: MIT */
/*
 * The scratch bytes have the content's size and layout. A sorted list of gaps names the ranges that
 * are still only in the base; all else is here, holes being zeros. Gaps only shrink:
 * writing, truncating and filling take from them.
 */
#include "fs/staging.h"

#include "fs/scratch.h"
#include "fs/stats.h"
#include "lib/cleanup.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct gap {
	uint64_t start;
	uint64_t end;
};

struct staging {
	atomic_uint references;
	struct scratch scratch; /* the bytes */

	struct mutex lock; /* protects what follows */
	atomic_uint_least64_t size; /* written under the lock; read without it while the disk is
				       slow */
	struct gap *gaps;
	size_t gap_count;
	size_t gap_cap;
	bool out_of_order; /* it was not written from start to end */
};

int staging_new(const char *dir, uint64_t base_bytes, struct staging **ret_staging)
{
	struct staging *staging = calloc(1, sizeof(*staging));
	int r;

	if (!staging)
		return -ENOMEM;
	atomic_init(&staging->references, 1);
	mutex_init(&staging->lock);
	scratch_init(&staging->scratch, dir);
	stats_gauge_add(STATS_STAGING_FILES, 1);
	if (base_bytes > 0) {
		staging->gaps = malloc(sizeof(*staging->gaps));
		if (!staging->gaps) {
			r = -ENOMEM;
			goto fail;
		}
		staging->gaps[0] = (struct gap){ .start = 0, .end = base_bytes };
		staging->gap_count = staging->gap_cap = 1;
		r = scratch_truncate(&staging->scratch, base_bytes);
		if (r < 0)
			goto fail;
		staging->size = base_bytes;
		staging->out_of_order = true;
	}
	*ret_staging = staging;
	return 0;
fail:
	staging_unref(staging);
	return r;
}

struct staging *staging_ref(struct staging *staging)
{
	if (staging)
		atomic_fetch_add(&staging->references, 1);
	return staging;
}

struct staging *staging_unref(struct staging *staging)
{
	if (!staging || atomic_fetch_sub(&staging->references, 1) != 1)
		return NULL;
	stats_gauge_add(STATS_STAGING_FILES, -1);
	scratch_deinit(&staging->scratch);
	free(staging->gaps);
	mutex_deinit(&staging->lock);
	free(staging);
	return NULL;
}

uint64_t staging_size(struct staging *staging)
{
	return atomic_load(&staging->size);
}

/* Makes room for one more gap, so that taking from the list can't fail halfway. */
static int reserve_gap_locked(struct staging *staging) REQUIRES(&staging->lock)
{
	size_t cap = staging->gap_cap * 2;
	struct gap *gaps;

	if (staging->gap_count < staging->gap_cap || staging->gap_count == 0)
		return 0;
	gaps = realloc(staging->gaps, cap * sizeof(*gaps));
	if (!gaps)
		return -ENOMEM;
	staging->gaps = gaps;
	staging->gap_cap = cap;
	return 0;
}

/* Index of the first gap that ends after @offset. */
static size_t find_gap_locked(const struct staging *staging, uint64_t offset)
	REQUIRES(&staging->lock)
{
	size_t low = 0, high = staging->gap_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (staging->gaps[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Nothing in [start, end) is a gap any more. Room for one gap must have been reserved. */
static void close_gaps_locked(struct staging *staging, uint64_t start, uint64_t end)
	REQUIRES(&staging->lock)
{
	size_t first = find_gap_locked(staging, start);
	size_t last = first;
	struct gap *gaps = staging->gaps;

	if (first == staging->gap_count || gaps[first].start >= end || start >= end)
		return;
	if (gaps[first].start < start && gaps[first].end > end) {
		memmove(gaps + first + 1, gaps + first,
			(staging->gap_count - first) * sizeof(*gaps));
		staging->gap_count++;
		gaps[first].end = start;
		gaps[first + 1].start = end;
		return;
	}
	if (gaps[first].start < start) {
		gaps[first].end = start;
		first++;
		last++;
	}
	while (last < staging->gap_count && gaps[last].end <= end)
		last++;
	if (last < staging->gap_count && gaps[last].start < end)
		gaps[last].start = end;
	memmove(gaps + first, gaps + last, (staging->gap_count - last) * sizeof(*gaps));
	staging->gap_count -= last - first;
}

/* The disk is written under the lock: what is here and what the gaps say must not come apart. */
int staging_write(struct staging *staging, uint64_t offset, const void *data, size_t len)
{
	int r;

	mutex_lock(&staging->lock);
	if (offset != staging->size)
		staging->out_of_order = true;
	r = reserve_gap_locked(staging);
	if (r == 0)
		r = scratch_write(&staging->scratch, offset, data, len);
	if (r == 0) {
		close_gaps_locked(staging, offset, offset + len);
		if (offset + len > staging->size)
			staging->size = offset + len;
	} else if (offset + len > staging->size &&
		   scratch_truncate(&staging->scratch, staging->size) < 0) {
		/* A part beyond the end that stays would show when the file grows. */
		r = -EIO;
	}
	mutex_unlock(&staging->lock);
	return r;
}

uint64_t staging_in_order(struct staging *staging)
{
	uint64_t in_order;

	mutex_lock(&staging->lock);
	in_order = staging->out_of_order ? 0 : staging->size;
	mutex_unlock(&staging->lock);
	return in_order;
}

int staging_truncate(struct staging *staging, uint64_t size_bytes)
{
	int r;

	mutex_lock(&staging->lock);
	r = reserve_gap_locked(staging);
	if (r == 0)
		r = scratch_truncate(&staging->scratch, size_bytes);
	if (r == 0) {
		close_gaps_locked(staging, size_bytes, UINT64_MAX);
		staging->out_of_order = size_bytes > 0;
		staging->size = size_bytes;
	}
	mutex_unlock(&staging->lock);
	return r;
}

ssize_t staging_read(struct staging *staging, uint64_t offset, void *data, size_t len)
{
	return scratch_read(&staging->scratch, offset, data, len);
}

uint64_t staging_run(struct staging *staging, uint64_t offset, bool *ret_in_base)
{
	uint64_t end;
	size_t i;

	mutex_lock(&staging->lock);
	i = find_gap_locked(staging, offset);
	end = staging->size;
	*ret_in_base = i < staging->gap_count && staging->gaps[i].start <= offset;
	if (*ret_in_base)
		end = staging->gaps[i].end;
	else if (i < staging->gap_count)
		end = staging->gaps[i].start;
	mutex_unlock(&staging->lock);
	return end > offset ? end - offset : 0;
}

bool staging_gaps(struct staging *staging, uint64_t offset, uint64_t max, uint64_t *ret_start,
		  uint64_t *ret_end)
{
	uint64_t start = 0, end = 0;
	size_t i;

	mutex_lock(&staging->lock);
	i = find_gap_locked(staging, offset);
	if (i < staging->gap_count) {
		start = staging->gaps[i].start > offset ? staging->gaps[i].start : offset;
		for (; i < staging->gap_count && staging->gaps[i].start < start + max; i++)
			end = staging->gaps[i].end - start < max ? staging->gaps[i].end
								 : start + max;
	}
	mutex_unlock(&staging->lock);
	if (end == 0)
		return false;
	*ret_start = start;
	*ret_end = end;
	return true;
}

bool staging_narrowest_gaps(struct staging *staging, size_t count, uint64_t *ret_start,
			    uint64_t *ret_end)
{
	uint64_t best = UINT64_MAX;

	mutex_lock(&staging->lock);
	for (size_t i = 0; i + count <= staging->gap_count; i++) {
		uint64_t start = staging->gaps[i].start;
		uint64_t end = staging->gaps[i + count - 1].end;

		if (end - start >= best)
			continue;
		best = end - start;
		*ret_start = start;
		*ret_end = end;
	}
	mutex_unlock(&staging->lock);
	return best < UINT64_MAX;
}

size_t staging_gap_count(struct staging *staging)
{
	size_t count;

	mutex_lock(&staging->lock);
	count = staging->gap_count;
	mutex_unlock(&staging->lock);
	return count;
}

int staging_fill(struct staging *staging, uint64_t offset, const void *data, size_t len)
{
	uint64_t end = offset + len;
	int r;

	mutex_lock(&staging->lock);
	r = reserve_gap_locked(staging);
	while (r == 0 && offset < end) {
		size_t i = find_gap_locked(staging, offset);
		uint64_t from, to;

		if (i == staging->gap_count || staging->gaps[i].start >= end)
			break;
		from = staging->gaps[i].start > offset ? staging->gaps[i].start : offset;
		to = staging->gaps[i].end < end ? staging->gaps[i].end : end;
		r = scratch_write(&staging->scratch, from,
				  (const uint8_t *)data + (from - (end - len)),
				  (size_t)(to - from));
		if (r < 0)
			break;
		close_gaps_locked(staging, from, to);
		r = reserve_gap_locked(staging);
		offset = to;
	}
	mutex_unlock(&staging->lock);
	return r;
}

/* SPDX-License-Identifier: MIT */
/*
 * The changed content of an open file, in scratch bytes: what was written, and which
 * parts of the version it began from (its base) have not been needed yet.
 *
 * Ownership: reference-counted, so that a reader may go on while the file lets go of it.
 * Threads: locks itself. Changing it while it is sent would tear what is stored: the caller
 * (fs/content) keeps writers out meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct staging;

/* @dir, for a temporary file, is borrowed. @base_bytes: size of the version it begins from, none of
 * which is here yet. */
int staging_new(const char *dir, uint64_t base_bytes, struct staging **ret_staging);
struct staging *staging_ref(struct staging *staging);
struct staging *staging_unref(struct staging *staging);

uint64_t staging_size(struct staging *staging);
int staging_write(struct staging *staging, uint64_t offset, const void *data, size_t len);
/* The bytes written from the start on in order, if that is all there ever was in it since it was
 * empty; else 0. */
uint64_t staging_in_order(struct staging *staging);
/* What is beyond the old size reads as zeros. */
int staging_truncate(struct staging *staging, uint64_t size_bytes);
/* Up to @len bytes of what is here; where the base has not been fetched it reads as zeros. Bytes, 0
 * at the end. */
ssize_t staging_read(struct staging *staging, uint64_t offset, void *data, size_t len);
/* How far the bytes from @offset on are all here or all still in the base; at most to the end. */
uint64_t staging_run(struct staging *staging, uint64_t offset, bool *ret_in_base);
/* From the first missing byte of the base at or behind @offset to the last of the @max bytes that
 * begin there; false if none is missing. */
bool staging_gaps(struct staging *staging, uint64_t offset, uint64_t max, uint64_t *ret_start,
		  uint64_t *ret_end);
/* Of all runs of @count missing parts that follow each other the one that spans the fewest bytes;
 * false if there are not so many. */
bool staging_narrowest_gaps(struct staging *staging, size_t count, uint64_t *ret_start,
			    uint64_t *ret_end);
size_t staging_gap_count(struct staging *staging);
/* Bytes of the base: taken where nothing newer has been written. */
int staging_fill(struct staging *staging, uint64_t offset, const void *data, size_t len);

/* SPDX-License-Identifier: MIT */
/*
 * Blocked Bloom filter: lines of 64 bytes, 10 bits a key, 6 probes (docs/FORMAT.md, "Filter"). The
 * hash is XXH3-64 of the key, so one hash serves the filters of all segments.
 *
 * Threads: pure functions over the caller's bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOOM_LINE_BYTES 64

/* Size of a filter for @keys keys: a multiple of the line, at least one. */
size_t bloom_size(uint64_t keys);
/* @filter has @size zeroed bytes from bloom_size(). */
void bloom_add(uint8_t *filter, size_t size, uint64_t hash);
bool bloom_may_contain(const uint8_t *filter, size_t size, uint64_t hash);
/* Begins to load the line that bloom_may_contain() will read. */
void bloom_prefetch(const uint8_t *filter, size_t size, uint64_t hash);

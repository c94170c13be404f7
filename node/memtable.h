/* SPDX-License-Identifier: MIT */
/*
 * Level 0: the newest versions of keys in memory, in a red-black tree by key; one version a key.
 *
 * Ownership: reference-counted. What a get or an iterator yields lives as long as the memtable,
 * also after a newer version has taken its place. It references the value files that its entries
 * name. Threads: one applies; any number read. The lock is held for linking a group, and for a
 * look-up that met too many of those, never longer; a sealed memtable is read without it.
 */
#pragma once

#include "node/entry.h"
#include "node/pin.h"
#include "node/value_file.h"

struct memtable;

/* One version, in the memtable's memory. */
struct memtable_entry;

int memtable_new(struct value_files *values, struct memtable **ret_memtable);
struct memtable *memtable_ref(struct memtable *memtable);
struct memtable *memtable_unref(struct memtable *memtable);
/* What a reader releases instead of memtable_unref(). */
struct pin *memtable_pin(struct memtable *memtable);

/* Inserts all or nothing; a group becomes visible at once. -ENOMEM. */
int memtable_insert(struct memtable *memtable, const struct entry *entries, size_t count);
/* No further insert; from now on it is read without its lock. */
void memtable_seal(struct memtable *memtable);
/* Memory in use. */
size_t memtable_bytes(const struct memtable *memtable);
uint64_t memtable_count(const struct memtable *memtable);
/* The highest apply position inserted, 0 if empty. */
uint64_t memtable_position(const struct memtable *memtable);

/* NULL if the key has no version here. */
const struct memtable_entry *memtable_get(struct memtable *memtable, const void *key,
					  size_t key_len);
void memtable_decode(const struct memtable_entry *entry, struct entry *ret_entry);
/* Borrowed; NULL unless it is an ENTRY_FILE. */
struct value_file *memtable_file(const struct memtable_entry *entry);

struct memtable_iterator {
	struct memtable *memtable;
	const struct memtable_entry *at; /* NULL: past the end */
	bool sealed;
};

/* Stands at the first key > @after (@after_len 0: the first of all). */
void memtable_iterate(struct memtable_iterator *it, struct memtable *memtable, const void *after,
		      size_t after_len);
void memtable_next(struct memtable_iterator *it);
const uint8_t *memtable_encoded(const struct memtable_entry *entry, size_t *ret_len);

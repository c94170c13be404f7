/* SPDX-License-Identifier: MIT */
/* A value file that an entry names lives on, whatever record named it before: patches and moves
 * hand it on. */
#include "node/dead_values.h"

#include "lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void dead_values_add(struct dead_values *dead, const struct entry *old)
{
	if (old->kind != ENTRY_FILE) {
		dead->inline_bytes += entry_encoded_size(old);
		return;
	}
	if (dead->count == dead->cap) {
		size_t cap = dead->cap ? dead->cap * 2 : 64;
		struct dead_value *files = realloc(dead->files, cap * sizeof(*files));

		if (!files)
			return;
		dead->files = files;
		dead->cap = cap;
	}
	dead->files[dead->count++] = (struct dead_value){ old->file_id, old->size_bytes };
}

static bool is_same_key(const struct entry *a, const struct entry *b)
{
	return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

#define BUCKETS 1024

/* Finds entries of one batch by key. */
struct key_table {
	const struct entry *entries;
	uint32_t *older; /* of the same bucket, + 1 */
	uint32_t buckets[BUCKETS]; /* the newest, + 1 */
};

static uint32_t *bucket_of(struct key_table *table, const struct entry *entry)
{
	return &table->buckets[hash64(entry->key, entry->key_len, 0) % BUCKETS];
}

static int key_table_fill(struct key_table *table, const struct entry *entries, size_t count)
{
	memset(table->buckets, 0, sizeof(table->buckets));
	table->entries = entries;
	table->older = calloc(count + 1, sizeof(*table->older));
	if (!table->older)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		uint32_t *bucket = bucket_of(table, &entries[i]);

		table->older[i] = *bucket;
		*bucket = (uint32_t)i + 1;
	}
	return 0;
}

/* From number @at - 1 on back: the first entry of @entry's key; NULL: there is none. */
static const struct entry *find_back(const struct key_table *table, uint32_t at,
				     const struct entry *entry)
{
	for (; at > 0; at = table->older[at - 1])
		if (is_same_key(&table->entries[at - 1], entry))
			return &table->entries[at - 1];
	return NULL;
}

/* Whether an entry names @file_id that no later one replaces. */
static bool is_named(struct key_table *table, size_t count, uint64_t file_id)
{
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &table->entries[i];

		if (entry->kind == ENTRY_FILE && entry->file_id == file_id &&
		    find_back(table, *bucket_of(table, entry), entry) == entry)
			return true;
	}
	return false;
}

static void add_replaced(struct dead_values *dead, struct lsm *lsm, const struct key_table *table,
			 size_t index)
{
	const struct entry *entry = &table->entries[index];
	const struct entry *earlier = find_back(table, table->older[index], entry);
	struct lsm_entry held;

	if (earlier) {
		if (earlier->kind != ENTRY_TOMBSTONE)
			dead_values_add(dead, earlier);
		return;
	}
	if (lsm_get(lsm, entry->key, entry->key_len, 0, &held) != 0)
		return;
	if (held.entry.kind != ENTRY_TOMBSTONE)
		dead_values_add(dead, &held.entry);
	lsm_entry_release(&held);
}

void dead_values_find(struct dead_values *dead, struct lsm *lsm, const struct entry *entries,
		      size_t count)
{
	struct key_table table;
	size_t kept = 0;

	if (key_table_fill(&table, entries, count) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		add_replaced(dead, lsm, &table, i);
	for (size_t i = 0; i < dead->count; i++)
		if (!is_named(&table, count, dead->files[i].file_id))
			dead->files[kept++] = dead->files[i];
	dead->count = kept;
	free(table.older);
}

void dead_values_clear(struct dead_values *dead)
{
	dead->count = 0;
	dead->inline_bytes = 0;
}

void dead_values_deinit(struct dead_values *dead)
{
	free(dead->files);
	*dead = (struct dead_values){ 0 };
}

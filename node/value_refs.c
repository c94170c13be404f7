/* SPDX-License-Identifier: MIT */
#include "node/value_refs.h"

#include "lib/mutex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct value_ref {
	uint64_t position;
	struct value_file *file;
};

struct value_refs {
	struct mutex lock;
	/* protected by lock */
	struct value_ref *items; /* from first on */
	size_t first, count, cap;
};

struct value_refs *value_refs_new(void)
{
	struct value_refs *refs = calloc(1, sizeof(*refs));

	if (refs)
		mutex_init(&refs->lock);
	return refs;
}

struct value_refs *value_refs_free(struct value_refs *refs)
{
	if (!refs)
		return NULL;
	value_refs_release(refs, UINT64_MAX);
	mutex_deinit(&refs->lock);
	free(refs->items);
	free(refs);
	return NULL;
}

/* Room for one more behind the last. */
static int reserve(struct value_refs *refs)
{
	struct value_ref *items;
	size_t cap;

	if (refs->first + refs->count < refs->cap)
		return 0;
	if (refs->first > refs->cap / 2) {
		memmove(refs->items, refs->items + refs->first, refs->count * sizeof(*refs->items));
		refs->first = 0;
		return 0;
	}
	cap = refs->cap ? refs->cap * 2 : 64;
	items = realloc(refs->items, cap * sizeof(*items));
	if (!items)
		return -ENOMEM;
	refs->items = items;
	refs->cap = cap;
	return 0;
}

int value_refs_add(struct value_refs *refs, uint64_t position, struct value_file *file)
{
	int r;

	mutex_lock(&refs->lock);
	r = reserve(refs);
	if (r == 0)
		refs->items[refs->first + refs->count++] = (struct value_ref){ position, file };
	mutex_unlock(&refs->lock);
	return r;
}

int value_refs_add_entries(struct value_refs *refs, struct value_files *values,
			   const struct entry *entries, size_t count, size_t *ret_count,
			   uint64_t *ret_bytes)
{
	*ret_count = 0;
	*ret_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		const struct entry *entry = &entries[i];
		struct value_file *file;
		int r;

		if (entry->kind != ENTRY_FILE)
			continue;
		r = value_file_get(values, entry->file_id, &file);
		if (r < 0)
			return r;
		r = value_refs_add(refs, entry->position, file);
		if (r < 0) {
			value_file_unref(file);
			return r;
		}
		++*ret_count;
		*ret_bytes += entry->size_bytes;
	}
	return 0;
}

void value_refs_cancel(struct value_refs *refs, size_t count)
{
	for (; count > 0; count--) {
		struct value_file *file;

		mutex_lock(&refs->lock);
		file = refs->items[refs->first + --refs->count].file;
		mutex_unlock(&refs->lock);
		value_file_unref(file);
	}
}

void value_refs_release(struct value_refs *refs, uint64_t position)
{
	for (;;) {
		struct value_file *file = NULL;

		mutex_lock(&refs->lock);
		if (refs->count > 0 && refs->items[refs->first].position <= position) {
			file = refs->items[refs->first].file;
			refs->first++;
			refs->count--;
		}
		mutex_unlock(&refs->lock);
		if (!file)
			return;
		/* The last reference deletes the file: not under the lock. */
		value_file_unref(file);
	}
}

/* SPDX-License-Identifier: MIT */
/*
 * Positions, from the top bit down:
 *   0, 1 "local", 61 bits: birth of the last local inode that was seen
 *   0, 0, 22 bits page + 1, 16 bits entry in the page + 1, 24 bits hash of that entry's name
 * Only the page that is being read is in memory; of the others only the cursors they begin at are.
 */
#include "fs/listing.h"

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"
#include "lib/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_BIT  (UINT64_C(1) << 62)
#define PAGE_SHIFT 40
#define ITEM_SHIFT 24
#define HASH_MASK  ((UINT64_C(1) << ITEM_SHIFT) - 1)
#define ITEM_MASK  UINT64_C(0xffff)
#define PAGES_MAX  ((UINT64_C(1) << 22) - 2)

struct item {
	char *key;
	struct version version;
	uint64_t size_bytes;
	int64_t mtime_ns;
};

struct listing {
	struct mount *mount;
	struct opened opened;
	struct mutex lock;

	/* cursors[n] begins page n; cursors[0] is NULL. */
	char **cursors;
	uint64_t cursor_count;

	/* The page that is in memory. */
	bool loaded;
	uint64_t page;
	bool last_page;
	struct item *items;
	size_t item_count;
	size_t item_cap;
	uint64_t fetched_ms;
	uint64_t removals; /* of the table, when it was asked for */

	/* The local names, once the pages are through. */
	struct inode **locals; /* references, in order of birth */
	size_t local_count;
};

static void listing_abandon(struct opened *opened)
{
	listing_free(container_of(opened, struct listing, opened));
}

int listing_new(struct mount *mount, struct listing **ret_listing)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return -ENOMEM;
	listing->cursors = calloc(1, sizeof(*listing->cursors));
	if (!listing->cursors) {
		free(listing);
		return -ENOMEM;
	}
	listing->cursor_count = 1;
	listing->mount = mount;
	mutex_init(&listing->lock);
	listing->opened.free = listing_abandon;
	mutex_lock(&mount->inodes.lock);
	opens_add(&mount->opens, &listing->opened);
	mutex_unlock(&mount->inodes.lock);
	*ret_listing = listing;
	return 0;
}

static void drop_page(struct listing *listing)
{
	for (size_t i = 0; i < listing->item_count; i++)
		free(listing->items[i].key);
	listing->item_count = 0;
	listing->loaded = false;
}

static void drop_locals(struct listing *listing)
{
	mutex_lock(&listing->mount->inodes.lock);
	for (size_t i = 0; i < listing->local_count; i++)
		inode_unref_locked(&listing->mount->inodes, listing->locals[i], 1);
	mutex_unlock(&listing->mount->inodes.lock);
	free(listing->locals);
	listing->locals = NULL;
	listing->local_count = 0;
}

struct listing *listing_free(struct listing *listing)
{
	if (!listing)
		return NULL;
	mutex_lock(&listing->mount->inodes.lock);
	opens_remove(&listing->opened);
	mutex_unlock(&listing->mount->inodes.lock);
	drop_page(listing);
	drop_locals(listing);
	free(listing->items);
	for (uint64_t i = 0; i < listing->cursor_count; i++)
		free(listing->cursors[i]);
	free(listing->cursors);
	mutex_deinit(&listing->lock);
	free(listing);
	return NULL;
}

static int add_item(void *state, const struct remote_name *name)
{
	struct listing *listing = state;
	struct item *item;

	if (listing->item_count == ITEM_MASK - 1)
		return -EIO;
	if (listing->item_count == listing->item_cap) {
		size_t cap = listing->item_cap ? listing->item_cap * 2 : 256;
		struct item *items = realloc(listing->items, cap * sizeof(*items));

		if (!items)
			return -ENOMEM;
		listing->items = items;
		listing->item_cap = cap;
	}
	item = &listing->items[listing->item_count];
	*item = (struct item){
		.key = strdup(name->key),
		.version = name->version,
		.size_bytes = name->size_bytes,
		.mtime_ns = name->mtime_ns,
	};
	if (!item->key)
		return -ENOMEM;
	listing->item_count++;
	return 0;
}

static int keep_cursor(struct listing *listing, uint64_t page, char *cursor)
{
	char **cursors;

	if (page >= PAGES_MAX)
		return -EOVERFLOW;
	if (page < listing->cursor_count) {
		free(listing->cursors[page]);
		listing->cursors[page] = cursor;
		return 0;
	}
	cursors = realloc(listing->cursors, (page + 1) * sizeof(*cursors));
	if (!cursors)
		return -ENOMEM;
	listing->cursors = cursors;
	cursors[page] = cursor;
	listing->cursor_count = page + 1;
	return 0;
}

/* Pages are reached one after the other, so the cursor of any page asked for is known. */
static int load_page(struct listing *listing, uint64_t page, bool anew,
		     const struct interrupt *interrupt)
{
	_cleanup_(freep) char *cursor = NULL;
	int r;

	if (listing->loaded && listing->page == page && !anew)
		return 0;
	if (page >= listing->cursor_count)
		return -EINVAL;
	drop_page(listing);
	mutex_lock(&listing->mount->inodes.lock);
	listing->removals = listing->mount->inodes.removals;
	mutex_unlock(&listing->mount->inodes.lock);
	listing->fetched_ms = clock_monotonic_ms();
	r = remote_list(listing->mount->remote, listing->cursors[page], interrupt, add_item,
			listing, &cursor);
	if (r < 0)
		return r;
	listing->last_page = cursor == NULL;
	if (cursor) {
		r = keep_cursor(listing, page + 1, cursor);
		if (r < 0)
			return r;
		(void)take_ptr(cursor);
	}
	listing->loaded = true;
	listing->page = page;
	return 0;
}

static uint64_t item_hash(const struct item *item)
{
	return hash64(item->key, strlen(item->key), 0) & HASH_MASK;
}

static uint64_t position_behind(uint64_t page, size_t item, uint64_t hash)
{
	return (page + 1) << PAGE_SHIFT | (uint64_t)(item + 1) << ITEM_SHIFT | hash;
}

/* The entry behind the one that @position names, which may have moved, or gone, in a page that was
 * fetched anew. */
static size_t item_behind(const struct listing *listing, uint64_t position)
{
	size_t seen = (size_t)(position >> ITEM_SHIFT & ITEM_MASK); /* item + 1 */
	uint64_t hash = position & HASH_MASK;

	if (seen == 0)
		return 0;
	for (size_t distance = 0; distance < listing->item_count + seen; distance++) {
		size_t up = seen - 1 + distance;

		if (up < listing->item_count && item_hash(&listing->items[up]) == hash)
			return up + 1;
		if (distance < seen && seen - 1 - distance < listing->item_count &&
		    item_hash(&listing->items[seen - 1 - distance]) == hash)
			return seen - distance;
	}
	return seen - 1 < listing->item_count ? seen - 1 : listing->item_count;
}

static bool is_hidden(struct mount *mount, const struct item *item)
{
	bool hidden;

	mutex_lock(&mount->inodes.lock);
	hidden = inode_is_hidden_locked(&mount->inodes, item->key, item->version);
	mutex_unlock(&mount->inodes.lock);
	return hidden;
}

static void give_item(struct listing *listing, size_t i, struct listing_entry *ret_entry)
{
	const struct item *item = &listing->items[i];
	uint64_t age_ms = clock_monotonic_ms() - listing->fetched_ms;

	*ret_entry = (struct listing_entry){
		.record = { .version = item->version,
			    .size_bytes = item->size_bytes,
			    .mtime_ns = item->mtime_ns },
		.listed_ms = listing->fetched_ms,
		.position = position_behind(listing->page, i, item_hash(item)),
	};
	strncpy(ret_entry->name, item->key, NAME_BYTES_MAX);
	mutex_lock(&listing->mount->inodes.lock);
	ret_entry->recent = age_ms < listing->mount->options->attr_timeout_ms &&
			    listing->removals == listing->mount->inodes.removals;
	mutex_unlock(&listing->mount->inodes.lock);
}

static int next_record(struct listing *listing, uint64_t position,
		       const struct interrupt *interrupt, struct listing_entry *ret_entry)
{
	uint64_t page = position == LISTING_START ? 0 : (position >> PAGE_SHIFT) - 1;
	size_t i;
	int r;

	/* rewinddir() sees the directory as it is then. */
	r = load_page(listing, page, position == LISTING_START, interrupt);
	if (r < 0)
		return r;
	i = position == LISTING_START ? 0 : item_behind(listing, position);
	for (;;) {
		for (; i < listing->item_count; i++) {
			if (is_hidden(listing->mount, &listing->items[i]))
				continue;
			give_item(listing, i, ret_entry);
			return 1;
		}
		if (listing->last_page)
			return 0;
		r = load_page(listing, listing->page + 1, true, interrupt);
		if (r < 0)
			return r;
		i = 0;
	}
}

static bool is_local_name(const struct inode *inode)
{
	return inode->linked && !inode->stored;
}

/* All inodes are in the order of their birth. */
static int collect_locals(struct listing *listing)
{
	struct inode_table *table = &listing->mount->inodes;
	struct inode *inode;
	size_t count = 0;
	int r = 0;

	drop_locals(listing);
	mutex_lock(&table->lock);
	for (inode = table->all.next; inode != &table->all; inode = inode->next)
		count += is_local_name(inode);
	listing->locals = calloc(count + 1, sizeof(*listing->locals));
	if (!listing->locals)
		r = -ENOMEM;
	for (inode = table->all.next; r == 0 && inode != &table->all; inode = inode->next)
		if (is_local_name(inode))
			listing->locals[listing->local_count++] = inode_ref_locked(inode);
	mutex_unlock(&table->lock);
	return r;
}

static int next_local(struct listing *listing, uint64_t birth, struct listing_entry *ret_entry)
{
	struct inode_table *table = &listing->mount->inodes;
	bool found = false;
	int r;

	if (birth == 0 || !listing->locals) {
		r = collect_locals(listing);
		if (r < 0)
			return r;
	}
	mutex_lock(&table->lock);
	for (size_t i = 0; !found && i < listing->local_count; i++) {
		struct inode *inode = listing->locals[i];

		if (inode->birth <= birth || !is_local_name(inode))
			continue;
		*ret_entry = (struct listing_entry){
			.local = inode_ref_locked(inode),
			.position = LOCAL_BIT | inode->birth,
		};
		memcpy(ret_entry->name, inode->name, sizeof(inode->name));
		found = true;
	}
	mutex_unlock(&table->lock);
	return found;
}

int listing_next(struct listing *listing, uint64_t position, const struct interrupt *interrupt,
		 struct listing_entry *ret_entry)
{
	int r = 0;

	if (position < LISTING_START)
		return -EINVAL;
	mutex_lock(&listing->lock);
	if (!(position & LOCAL_BIT)) {
		r = next_record(listing, position, interrupt, ret_entry);
		position = LOCAL_BIT;
		if (r != 0)
			goto out;
	}
	r = next_local(listing, position & ~LOCAL_BIT, ret_entry);
out:
	mutex_unlock(&listing->lock);
	if (r == 1)
		ret_entry->record.key = ret_entry->name;
	return r;
}

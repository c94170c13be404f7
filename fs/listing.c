/* SPDX-License-Identifier: MIT */
/*
 * Positions, from the top bit down:
 *   0, 1 "local", 61 bits: birth of the last local inode that was seen
 *   0, 0, 22 bits page + 1, 16 bits entry in the page + 1, 24 bits mark of that entry's name
 *   0, 0, 22 bits page + 1, 40 zeros: before the first entry of the page
 * Only the page that is being read is in memory; of the others the cursors they begin at are, and
 * the marks of their names. When a page is fetched again, after names have come and gone, a
 * position is behind the last name still there of those up to it: whoever removes what he reads
 * misses nothing.
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
#define MARK_MASK  ((UINT32_C(1) << ITEM_SHIFT) - 1)
#define ITEM_MASK  UINT64_C(0xffff)
#define PAGES_MAX  ((UINT64_C(1) << 22) - 2)

struct item {
	char *key;
	uint32_t mark;
	struct version version;
	uint64_t size_bytes;
	int64_t mtime_ns;
};

struct page {
	char *cursor; /* where it begins; NULL: at the first name */
	uint32_t *marks; /* hashes of its names when it was last read */
	size_t mark_count;
};

struct listing {
	struct mount *mount;
	struct opened opened;
	struct mutex lock;

	struct page *pages; /* those that are known to be there */
	uint64_t page_count;

	/* The page that is in memory. */
	bool loaded;
	bool marked; /* the page's marks are those of the items */
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
	listing->pages = calloc(1, sizeof(*listing->pages));
	if (!listing->pages) {
		free(listing);
		return -ENOMEM;
	}
	listing->page_count = 1;
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
	for (uint64_t i = 0; i < listing->page_count; i++) {
		free(listing->pages[i].cursor);
		free(listing->pages[i].marks);
	}
	free(listing->pages);
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
		.mark = (uint32_t)hash64(name->key, strlen(name->key), 0) & MARK_MASK,
		.version = name->version,
		.size_bytes = name->size_bytes,
		.mtime_ns = name->mtime_ns,
	};
	if (!item->key)
		return -ENOMEM;
	listing->item_count++;
	return 0;
}

/* Page @page begins at @cursor, which is taken on success. */
static int keep_cursor(struct listing *listing, uint64_t page, char *cursor)
{
	struct page *pages;

	if (page >= PAGES_MAX)
		return -EOVERFLOW;
	if (page < listing->page_count) {
		free(listing->pages[page].cursor);
		listing->pages[page].cursor = cursor;
		return 0;
	}
	pages = realloc(listing->pages, (page + 1) * sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	listing->pages = pages;
	pages[page] = (struct page){ .cursor = cursor };
	listing->page_count = page + 1;
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
	if (page >= listing->page_count)
		return -EINVAL;
	drop_page(listing);
	mutex_lock(&listing->mount->inodes.lock);
	listing->removals = listing->mount->inodes.removals;
	mutex_unlock(&listing->mount->inodes.lock);
	listing->fetched_ms = clock_monotonic_ms();
	r = remote_list(listing->mount->remote, listing->pages[page].cursor, interrupt, add_item,
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
	listing->marked = false;
	listing->page = page;
	return 0;
}

/* Once the old marks of a page that was read have been used. */
static int mark_page(struct listing *listing)
{
	struct page *page = &listing->pages[listing->page];
	uint32_t *marks;

	if (listing->marked)
		return 0;
	marks = malloc((listing->item_count + 1) * sizeof(*marks));
	if (!marks)
		return -ENOMEM;
	for (size_t i = 0; i < listing->item_count; i++)
		marks[i] = listing->items[i].mark;
	free(page->marks);
	page->marks = marks;
	page->mark_count = listing->item_count;
	listing->marked = true;
	return 0;
}

/* The end of a page is the beginning of the next, so that it need not be fetched again. */
static uint64_t position_behind(const struct listing *listing, size_t item)
{
	if (item + 1 == listing->item_count && !listing->last_page)
		return (listing->page + 2) << PAGE_SHIFT;
	return (listing->page + 1) << PAGE_SHIFT | (uint64_t)(item + 1) << ITEM_SHIFT |
	       listing->items[item].mark;
}

/* Index of the name marked @mark, nearest to @near; @count if there is none. */
static size_t find_mark(const uint32_t *marks, size_t count, uint32_t mark, size_t near)
{
	for (size_t distance = 0; distance < count + near; distance++) {
		if (near + distance < count && marks[near + distance] == mark)
			return near + distance;
		if (distance <= near && near - distance < count && marks[near - distance] == mark)
			return near - distance;
	}
	return count;
}

static size_t find_item(const struct listing *listing, uint32_t mark)
{
	size_t i = 0;

	while (i < listing->item_count && listing->items[i].mark != mark)
		i++;
	return i;
}

/* The entry behind the one that @position names. The page's marks are those of its last reading,
 * the items may be newer. A page that has been read twice since tells nothing: all of it comes
 * again. */
static size_t item_behind(const struct listing *listing, uint64_t position)
{
	const struct page *page = &listing->pages[listing->page];
	size_t seen = (size_t)(position >> ITEM_SHIFT & ITEM_MASK); /* item + 1 */
	size_t at, item;

	if (seen == 0)
		return 0;
	at = find_mark(page->marks, page->mark_count, (uint32_t)position & MARK_MASK, seen - 1);
	if (at == page->mark_count)
		return 0;
	for (; at != SIZE_MAX; at--) {
		if (at < listing->item_count && listing->items[at].mark == page->marks[at])
			return at + 1;
		item = find_item(listing, page->marks[at]);
		if (item < listing->item_count)
			return item + 1;
	}
	return 0;
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
		.position = position_behind(listing, i),
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
		r = mark_page(listing);
		if (r < 0)
			return r;
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

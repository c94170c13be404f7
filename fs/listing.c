/* SPDX-License-Identifier: MIT */
/*
 * Positions, from the top bit down:
 *   0, 1 "local", 62 bits: birth of the last local inode that was seen
 *   0, 0, 46 bits number of a page that was read, 16 bits entry in it + 1
 * Two pages are in memory, the one that is read and the one that was read before it, since the
 * kernel comes back for what did not fit its buffer; a third is on its way. What was read before
 * them is in the trail.
 */
#include "fs/listing.h"

#include "fs/list_ahead.h"
#include "fs/listed.h"
#include "fs/local_names.h"
#include "fs/resolve.h"
#include "fs/trail.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/container_of.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOCAL_BIT  (UINT64_C(1) << 62)
#define PAGE_SHIFT 16
#define ITEM_MASK  UINT64_C(0xffff)

/* A page as it was read. */
struct reading {
	struct listed_page *page; /* NULL: none */
	uint64_t number; /* in the trail; 0: it has no names */
	uint64_t turn; /* rises with each page that is read, also without names */
};

/* A router whose cursors come round again would be read for ever. The one that is remembered is
 * replaced at every power of two, so any round is noticed before it was made three times. */
struct loop_watch {
	char cursor[NAME_PAGE_CURSOR_MAX + 1];
	uint64_t pages;
};

struct listing {
	struct mount *mount;
	struct opened opened;
	struct mutex lock;

	struct trail *trail;
	struct loop_watch watch;
	uint64_t turns;
	struct reading now, before;
	struct list_ahead *ahead;
	struct local_names local;
};

static void listing_abandon(struct opened *opened)
{
	listing_free(container_of(opened, struct listing, opened));
}

int listing_new(struct mount *mount, struct listing **ret_listing)
{
	struct listing *listing = calloc(1, sizeof(*listing));
	int r;

	if (!listing)
		return -ENOMEM;
	r = trail_new(mount->options->staging, &listing->trail);
	if (r < 0) {
		free(listing);
		return r;
	}
	listing->mount = mount;
	mutex_init(&listing->lock);
	listing->opened.free = listing_abandon;
	mutex_lock(&mount->inodes.lock);
	opens_add(&mount->opens, &listing->opened);
	mutex_unlock(&mount->inodes.lock);
	*ret_listing = listing;
	return 0;
}

struct listing *listing_free(struct listing *listing)
{
	if (!listing)
		return NULL;
	mutex_lock(&listing->mount->inodes.lock);
	opens_remove(&listing->opened);
	mutex_unlock(&listing->mount->inodes.lock);
	list_ahead_drop(listing->ahead);
	listed_page_unref(listing->now.page);
	listed_page_unref(listing->before.page);
	local_names_deinit(&listing->local, listing->mount);
	trail_free(listing->trail);
	mutex_deinit(&listing->lock);
	free(listing);
	return NULL;
}

/* By whoever has begun with it, or here. */
static int fetch(struct listing *listing, const char *from, const struct interrupt *interrupt,
		 struct listed_page **ret_page)
{
	struct list_ahead *ahead = listing->ahead;
	int r = -EAGAIN;

	if (ahead && from && strcmp(list_ahead_from(ahead), from) == 0) {
		r = list_ahead_take(ahead, interrupt, ret_page);
		if (r == -EINTR)
			return r;
	}
	listing->ahead = list_ahead_drop(ahead);
	return r == -EAGAIN ? listed_page_fetch(listing->mount->remote, from, interrupt, ret_page)
			    : r;
}

/* The page from @from on becomes the one that is read. */
static int turn_to(struct listing *listing, const char *from, const struct interrupt *interrupt)
{
	struct mount *mount = listing->mount;
	struct listed_page *page;
	uint64_t number = 0;
	int r;

	r = fetch(listing, from, interrupt, &page);
	if (r < 0)
		return r;
	if (page->count > 0)
		r = trail_add(listing->trail, page, &number);
	if (r < 0) {
		listed_page_unref(page);
		return r;
	}
	if (*page->lines.cursor && mount->prefetch)
		listing->ahead =
			list_ahead_start(mount->prefetch, mount->remote, page->lines.cursor);
	if (mount->listed)
		listed_add(mount->listed, page);
	listed_page_unref(listing->before.page);
	listing->before = listing->now;
	listing->now = (struct reading){ .page = page, .number = number, .turn = ++listing->turns };
	return 0;
}

static bool was_there(const struct loop_watch *watch, const char *cursor)
{
	return watch->pages > 0 && strcmp(watch->cursor, cursor) == 0;
}

static void went_there(struct loop_watch *watch, const char *cursor)
{
	watch->pages++;
	if ((watch->pages & (watch->pages - 1)) == 0)
		strcpy(watch->cursor, cursor);
}

/* The page behind the one that is read; -ENOENT at the end. */
static int turn_on(struct listing *listing, const struct interrupt *interrupt)
{
	const char *from = listing->now.page->lines.cursor;
	struct reading swap = listing->before;
	int r;

	if (!*from)
		return -ENOENT;
	/* After a step back it may be the one that was read last. */
	if (swap.turn > listing->now.turn && swap.page->from &&
	    strcmp(swap.page->from, from) == 0) {
		listing->before = listing->now;
		listing->now = swap;
		return 0;
	}
	r = was_there(&listing->watch, from) ? -EIO : turn_to(listing, from, interrupt);
	/* It is still held, by the page that was read before. */
	if (r == 0)
		went_there(&listing->watch, from);
	return r;
}

/* Makes the page with the entry at @position the one that is read. */
static int turn_to_position(struct listing *listing, uint64_t position,
			    const struct interrupt *interrupt, size_t *ret_item)
{
	uint64_t number = position >> PAGE_SHIFT;
	size_t seen = position & ITEM_MASK;
	char cursor[NAME_PAGE_CURSOR_MAX + NAME_BYTES_MAX + 1];
	struct reading swap = listing->now;
	int r;

	*ret_item = seen;
	if (number == 0 || seen == 0)
		return -EINVAL;
	if (number == listing->now.number)
		return seen <= listing->now.page->count ? 0 : -EINVAL;
	if (number == listing->before.number) {
		listing->now = listing->before;
		listing->before = swap;
		return seen <= listing->now.page->count ? 0 : -EINVAL;
	}
	*ret_item = 0;
	listing->watch = (struct loop_watch){ 0 };
	r = trail_cursor(listing->trail, number, seen - 1, cursor);
	return r < 0 ? r : turn_to(listing, cursor, interrupt);
}

/* Something newer is known of the name than the page: perhaps that it was removed. */
static bool is_still_there(struct mount *mount, const char *name, const struct interrupt *interrupt)
{
	struct inode *inode = inode_find(&mount->inodes, name);
	int r = inode ? 0 : resolve_name(mount, name, RESOLVE_RECENT, interrupt, &inode);

	if (r == 0)
		inode_unref(&mount->inodes, inode);
	return r != -ENOENT;
}

static bool is_shown(struct listing *listing, const struct listed_name *name,
		     const struct interrupt *interrupt)
{
	struct mount *mount = listing->mount;
	bool hidden;

	if (local_names_contain(&listing->local, name->name))
		return false;
	mutex_lock(&mount->inodes.lock);
	hidden = inode_is_hidden_locked(&mount->inodes, name->name, name->record.version);
	mutex_unlock(&mount->inodes.lock);
	if (hidden)
		return false;
	return !listed_page_is_behind(listing->now.page, mount->remote, name->name,
				      &name->record.version) ||
	       is_still_there(mount, name->name, interrupt);
}

static void give(struct listing *listing, size_t i, const struct listed_name *name,
		 struct listing_entry *ret_entry)
{
	const struct listed_page *page = listing->now.page;
	uint64_t age_ms = clock_monotonic_ms() - page->asked_ms;

	strcpy(ret_entry->name, name->name);
	ret_entry->record = name->record;
	ret_entry->record.key = ret_entry->name;
	ret_entry->local = NULL;
	ret_entry->listed_ms = page->asked_ms;
	ret_entry->position = listing->now.number << PAGE_SHIFT | (i + 1);
	ret_entry->recent = age_ms < listing->mount->options->attr_timeout_ms &&
			    !listed_page_is_behind(page, listing->mount->remote, name->name,
						   &name->record.version);
}

static void forget_reading(struct reading *reading)
{
	listed_page_unref(reading->page);
	*reading = (struct reading){ 0 };
}

/* rewinddir() sees the directory as it is then. */
static int begin(struct listing *listing, const struct interrupt *interrupt)
{
	int r = local_names_collect(&listing->local, listing->mount);

	if (r < 0)
		return r;
	forget_reading(&listing->now);
	forget_reading(&listing->before);
	listing->watch = (struct loop_watch){ 0 };
	listing->ahead = list_ahead_drop(listing->ahead);
	return turn_to(listing, NULL, interrupt);
}

static int next_record(struct listing *listing, uint64_t position,
		       const struct interrupt *interrupt, struct listing_entry *ret_entry)
{
	struct listed_name name;
	size_t i = 0;
	int r;

	if (position == LISTING_START)
		r = begin(listing, interrupt);
	else
		r = turn_to_position(listing, position, interrupt, &i);
	while (r == 0) {
		for (; i < listing->now.page->count; i++) {
			listed_page_get(listing->now.page, i, &name);
			if (!is_shown(listing, &name, interrupt))
				continue;
			give(listing, i, &name, ret_entry);
			return 1;
		}
		i = 0;
		r = turn_on(listing, interrupt);
	}
	return r == -ENOENT ? 0 : r;
}

static int next_local(struct listing *listing, uint64_t birth, const struct interrupt *interrupt,
		      struct listing_entry *ret_entry)
{
	struct mount *mount = listing->mount;
	struct inode *inode;
	int r;

	r = local_names_next(&listing->local, mount, birth, interrupt, &inode, &birth);
	if (r <= 0)
		return r;
	*ret_entry = (struct listing_entry){ .local = inode, .position = LOCAL_BIT | birth };
	mutex_lock(&mount->inodes.lock);
	inode_name_locked(inode, ret_entry->name);
	mutex_unlock(&mount->inodes.lock);
	ret_entry->record.key = ret_entry->name;
	return 1;
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
	}
	if (r == 0)
		r = next_local(listing, position & ~LOCAL_BIT, interrupt, ret_entry);
	mutex_unlock(&listing->lock);
	return r;
}

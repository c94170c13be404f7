/* SPDX-License-Identifier: MIT */
#include "fs/listed.h"

#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 160
#define BYTES_MAX (16 * 1024 * 1024)
/* So many that are too old, each so soon after the one before. */
#define ROW_LEN    8
#define ROW_GAP_MS 50

struct listed {
	struct mutex lock; /* protects what follows */
	struct listed_page *pages[PAGES_MAX]; /* a ring */
	size_t oldest, count;
	size_t bytes;
	unsigned row; /* names in a row whose pages were too old */
	uint64_t row_at_ms;
};

int listed_new(struct listed **ret_listed)
{
	struct listed *listed = calloc(1, sizeof(*listed));

	if (!listed)
		return -ENOMEM;
	mutex_init(&listed->lock);
	*ret_listed = listed;
	return 0;
}

static size_t size_of(const struct listed_page *page)
{
	return sizeof(*page) + page->text.cap + (page->count + 1) * sizeof(*page->starts);
}

static struct listed_page *nth(const struct listed *listed, size_t i)
{
	return listed->pages[(listed->oldest + i) % PAGES_MAX];
}

static void drop_oldest(struct listed *listed)
{
	struct listed_page *page = nth(listed, 0);

	listed->bytes -= size_of(page);
	listed->oldest = (listed->oldest + 1) % PAGES_MAX;
	listed->count--;
	listed_page_unref(page);
}

struct listed *listed_free(struct listed *listed)
{
	if (!listed)
		return NULL;
	while (listed->count > 0)
		drop_oldest(listed);
	mutex_deinit(&listed->lock);
	free(listed);
	return NULL;
}

static bool begin_alike(const struct listed_page *a, const struct listed_page *b)
{
	return a->from && b->from ? strcmp(a->from, b->from) == 0 : a->from == b->from;
}

/* So that listing the same names again does not drive out others. */
static bool replace(struct listed *listed, struct listed_page *page)
{
	for (size_t i = 0; i < listed->count; i++) {
		struct listed_page **slot = &listed->pages[(listed->oldest + i) % PAGES_MAX];

		if (!begin_alike(*slot, page))
			continue;
		listed->bytes += size_of(page) - size_of(*slot);
		listed_page_unref(*slot);
		*slot = listed_page_ref(page);
		return true;
	}
	return false;
}

void listed_add(struct listed *listed, struct listed_page *page)
{
	if (page->count == 0)
		return;
	mutex_lock(&listed->lock);
	if (!replace(listed, page)) {
		if (listed->count == PAGES_MAX)
			drop_oldest(listed);
		listed->pages[(listed->oldest + listed->count++) % PAGES_MAX] =
			listed_page_ref(page);
		listed->bytes += size_of(page);
	}
	while (listed->count > 1 && listed->bytes > BYTES_MAX)
		drop_oldest(listed);
	mutex_unlock(&listed->lock);
}

static int order(const char *name, size_t name_len, const struct listed_page *page, size_t i)
{
	size_t len;
	const char *key = listed_page_key(page, i, &len);
	int r = memcmp(name, key, name_len < len ? name_len : len);

	return r ? r : (name_len > len) - (name_len < len);
}

bool listed_find(struct listed *listed, const char *name, struct listed_name *ret_name,
		 struct listed_page **ret_page)
{
	size_t name_len = strlen(name);
	ssize_t at = -ENOENT;

	mutex_lock(&listed->lock);
	for (size_t i = listed->count; at < 0 && i-- > 0;) {
		struct listed_page *page = nth(listed, i);

		if (order(name, name_len, page, 0) < 0 ||
		    order(name, name_len, page, page->count - 1) > 0)
			continue;
		at = listed_page_find(page, name);
		if (at < 0)
			continue;
		listed_page_get(page, (size_t)at, ret_name);
		*ret_page = listed_page_ref(page);
	}
	mutex_unlock(&listed->lock);
	return at >= 0;
}

bool listed_too_old(struct listed *listed)
{
	uint64_t now = clock_monotonic_ms();
	bool often;

	mutex_lock(&listed->lock);
	if (now - listed->row_at_ms > ROW_GAP_MS)
		listed->row = 0;
	listed->row_at_ms = now;
	often = ++listed->row > ROW_LEN;
	mutex_unlock(&listed->lock);
	return often;
}

void listed_opened(struct listed *listed)
{
	mutex_lock(&listed->lock);
	listed->row = 0;
	mutex_unlock(&listed->lock);
}

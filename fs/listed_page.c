/* SPDX-License-Identifier: MIT */
#include "fs/listed_page.h"

#include "lib/cleanup.h"
#include "lib/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct listed_page *, listed_page_unref)

struct listed_page *listed_page_ref(struct listed_page *page)
{
	atomic_fetch_add(&page->references, 1);
	return page;
}

struct listed_page *listed_page_unref(struct listed_page *page)
{
	if (!page || atomic_fetch_sub(&page->references, 1) != 1)
		return NULL;
	free(page->from);
	free(page->starts);
	buf_deinit(&page->text);
	free(page);
	return NULL;
}

static size_t count_lines(const struct name_page *page)
{
	size_t count = 0;

	for (const char *at = page->at; at < page->end; count++)
		at = (const char *)memchr(at, '\n', (size_t)(page->end - at)) + 1;
	return count;
}

/* Every line is looked at once, so that it can be believed later. Names in order are found again
 * by halves. */
static int index_lines(struct listed_page *page)
{
	const char *text = (const char *)page->text.data;
	struct name_page at = page->lines;
	struct name_line line, before = { 0 };
	int r;

	page->starts = malloc((count_lines(&at) + 1) * sizeof(*page->starts));
	if (!page->starts)
		return -ENOMEM;
	for (;;) {
		page->starts[page->count] = (uint32_t)(at.at - text);
		r = name_page_next(&at, &line);
		if (r <= 0)
			return r;
		if (before.key) {
			size_t len = line.key_len < before.key_len ? line.key_len : before.key_len;
			int order = memcmp(before.key, line.key, len);

			if (order > 0 || (order == 0 && before.key_len >= line.key_len))
				return -EBADMSG;
		}
		before = line;
		page->count++;
	}
}

int listed_page_fetch(struct remote *remote, const char *from, const struct interrupt *interrupt,
		      struct listed_page **ret_page)
{
	_cleanup_(listed_page_unrefp) struct listed_page *page = calloc(1, sizeof(*page));
	int r;

	if (!page)
		return -ENOMEM;
	atomic_init(&page->references, 1);
	page->from = from ? strdup(from) : NULL;
	if (from && !page->from)
		return -ENOMEM;
	page->asked_at = changes_now(remote_changes(remote));
	page->asked_ms = clock_monotonic_ms();
	r = remote_list(remote, from, interrupt, &page->text, &page->age);
	if (r < 0)
		return r == -ENOENT ? -EIO : r;
	r = name_page_open(page->text.data, page->text.len, &page->lines);
	if (r == 0)
		r = index_lines(page);
	if (r < 0)
		return r == -EBADMSG ? -EIO : r;
	*ret_page = take_ptr(page);
	return 0;
}

bool listed_page_is_behind(const struct listed_page *page, struct remote *remote, const char *name,
			   const struct version *version)
{
	return changes_since(remote_changes(remote), name, page->asked_at) ||
	       remote_lacks(remote, name, &page->age, version);
}

const char *listed_page_key(const struct listed_page *page, size_t i, size_t *ret_len)
{
	const char *key = (const char *)page->text.data + page->starts[i];

	assert(i < page->count);
	*ret_len = (size_t)((const char *)memchr(key, ' ', NAME_BYTES_MAX) - key);
	return key;
}

void listed_page_get(const struct listed_page *page, size_t i, struct listed_name *ret_name)
{
	const char *text = (const char *)page->text.data;
	struct name_page at = { .at = text + page->starts[i], .end = text + page->starts[i + 1] };
	struct name_line line = { 0 };
	int r = name_page_next(&at, &line);

	assert(r == 1);
	(void)r;
	memcpy(ret_name->name, line.key, line.key_len);
	ret_name->name[line.key_len] = '\0';
	ret_name->record = (struct remote_name){
		.key = ret_name->name,
		.version = line.version,
		.size_bytes = line.size_bytes,
		.mtime_ns = line.mtime_ns,
	};
}

ssize_t listed_page_find(const struct listed_page *page, const char *name)
{
	size_t name_len = strlen(name), low = 0, high = page->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2, len;
		const char *key = listed_page_key(page, middle, &len);
		int order = memcmp(name, key, name_len < len ? name_len : len);

		if (order == 0 && name_len == len)
			return (ssize_t)middle;
		if (order < 0 || (order == 0 && name_len < len))
			high = middle;
		else
			low = middle + 1;
	}
	return -ENOENT;
}

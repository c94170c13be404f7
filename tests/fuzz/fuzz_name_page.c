/* SPDX-License-Identifier: MIT */
/* Pages of names. What is taken, and written again, is taken to mean the same. */
#include "lib/name_page.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_again(const struct name_line *line)
{
	struct buf text = { 0 };
	struct name_page page;
	struct name_line again;

	if (name_page_begin(&text, "") < 0 || name_page_add(&text, line) < 0 ||
	    name_page_end(&text, NULL) < 0)
		abort();
	assert(name_page_open(text.data, text.len, &page) == 0);
	assert(name_page_next(&page, &again) == 1);
	assert(again.key_len == line->key_len && memcmp(again.key, line->key, line->key_len) == 0);
	assert(again.size_bytes == line->size_bytes && again.mtime_ns == line->mtime_ns);
	assert(version_compare(again.version, line->version) == 0);
	assert(name_page_next(&page, &again) == 0);
	buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct name_page page;
	struct name_line line;

	if (name_page_open(data, len, &page) < 0)
		return 0;
	while (name_page_next(&page, &line) == 1)
		check_again(&line);
	return 0;
}

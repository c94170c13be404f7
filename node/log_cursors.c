/* SPDX-License-Identifier: MIT */
/* A cursor stays right whatever happens to the log: bytes that were synced never change, and a file
 * that was trimmed is not found again. */
#include "node/log_cursors.h"

void log_cursors_init(struct log_cursors *cursors)
{
	mutex_init(&cursors->lock);
}

void log_cursors_deinit(struct log_cursors *cursors)
{
	mutex_deinit(&cursors->lock);
}

static size_t find_locked(const struct log_cursors *cursors, struct version after)
{
	size_t i = 0;

	while (i < LOG_CURSORS &&
	       (cursors->used[i] == 0 || version_compare(cursors->items[i].after, after) != 0))
		i++;
	return i;
}

void log_cursors_put(struct log_cursors *cursors, const struct log_cursor *cursor)
{
	size_t at;

	mutex_lock(&cursors->lock);
	at = find_locked(cursors, cursor->after);
	if (at == LOG_CURSORS) {
		at = 0;
		for (size_t i = 1; i < LOG_CURSORS; i++)
			if (cursors->used[i] < cursors->used[at])
				at = i;
	}
	cursors->items[at] = *cursor;
	cursors->used[at] = ++cursors->now;
	mutex_unlock(&cursors->lock);
}

bool log_cursors_find(struct log_cursors *cursors, struct version after,
		      struct log_cursor *ret_cursor)
{
	size_t at;

	mutex_lock(&cursors->lock);
	at = find_locked(cursors, after);
	if (at < LOG_CURSORS) {
		*ret_cursor = cursors->items[at];
		cursors->used[at] = ++cursors->now;
	}
	mutex_unlock(&cursors->lock);
	return at < LOG_CURSORS;
}

/* SPDX-License-Identifier: MIT */
#include "node/wal_window.h"

#include <errno.h>
#include <stdlib.h>

struct wal_window_slot {
	struct wal_record record; /* without its payload */
	size_t payload_offset;
};

int wal_window_add(struct wal_window *window, const struct wal_record *record)
{
	struct wal_window_slot *slot;
	int r;

	if (window->count == window->cap) {
		size_t cap = window->cap ? window->cap * 2 : 64;
		struct wal_window_slot *slots = realloc(window->slots, cap * sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		window->slots = slots;
		window->cap = cap;
	}
	slot = &window->slots[window->count];
	slot->record = *record;
	slot->record.payload = NULL;
	slot->payload_offset = window->bytes.len;
	r = buf_append(&window->bytes, record->payload, record->payload_len);
	if (r == 0)
		window->count++;
	return r;
}

struct wal_record wal_window_get(const struct wal_window *window, size_t index)
{
	struct wal_record record = window->slots[index].record;

	if (record.payload_len > 0)
		record.payload = window->bytes.data + window->slots[index].payload_offset;
	return record;
}

void wal_window_clear(struct wal_window *window)
{
	window->count = 0;
	buf_clear(&window->bytes);
}

void wal_window_cut(struct wal_window *window, uint64_t position)
{
	while (window->count > 0) {
		const struct wal_window_slot *last = &window->slots[window->count - 1];

		if (last->record.first_position <= position)
			break;
		window->bytes.len = last->payload_offset;
		window->count--;
	}
}

void wal_window_deinit(struct wal_window *window)
{
	free(window->slots);
	buf_deinit(&window->bytes);
	*window = (struct wal_window){ 0 };
}

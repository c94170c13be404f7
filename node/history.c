/* SPDX-License-Identifier: MIT */
#include "node/history.h"

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/hash.h"
#include "node/atomic_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_NAME "HISTORY"
#define MAX_BYTES    (64 * 1024 * 1024)
#define HEADER_BYTES 48
#define EPOCH_BYTES  16

static const uint8_t magic[8] = { 'H', 'E', 'X', 'K', 'V', 'H', 'I', 'S' };

static int decode(const struct buf *in, const uint8_t store_id[16], struct history *history)
{
	struct bytes_reader reader;
	uint64_t count, last = 0;

	if (in->len < HEADER_BYTES + 8 || memcmp(in->data, magic, 8) != 0 ||
	    get_u64(in->data + in->len - 8) != hash64(in->data, in->len - 8, 0))
		return -EBADMSG;
	if (get_u32(in->data + 8) != 1 || get_u64(in->data + 16) != 0)
		return -EPROTONOSUPPORT;
	if (memcmp(in->data + 24, store_id, 16) != 0)
		return -EBADMSG;
	count = get_u64(in->data + 40);
	if (count != (in->len - HEADER_BYTES - 8) / EPOCH_BYTES ||
	    in->len != HEADER_BYTES + count * EPOCH_BYTES + 8)
		return -EBADMSG;
	history->epochs = calloc(count + 1, sizeof(*history->epochs));
	if (!history->epochs)
		return -ENOMEM;
	reader = bytes_reader(in->data + HEADER_BYTES, count * EPOCH_BYTES);
	for (uint64_t i = 0; i < count; i++) {
		history->epochs[i].epoch = bytes_read_u64(&reader);
		history->epochs[i].first_sequence = bytes_read_u64(&reader);
		if (history->epochs[i].epoch <= last)
			return -EBADMSG;
		last = history->epochs[i].epoch;
	}
	history->count = count;
	return 0;
}

int history_read(struct vfs *vfs, const char *dir, const uint8_t store_id[16],
		 struct history *ret_history)
{
	struct history history = { 0 };
	struct buf in = { 0 };
	int r;

	r = atomic_file_read(vfs, dir, HISTORY_NAME, MAX_BYTES, &in);
	if (r == 0)
		r = decode(&in, store_id, &history);
	else if (r == -ENOENT)
		r = 0;
	buf_deinit(&in);
	if (r < 0) {
		history_deinit(&history);
		return r == -EFBIG ? -EBADMSG : r;
	}
	*ret_history = history;
	return 0;
}

static int encode(const struct history *history, const uint8_t store_id[16], struct buf *out)
{
	int r = buf_append(out, magic, 8);

	if (r == 0)
		r = buf_append_u64(out, 1); /* format version, reserved */
	if (r == 0)
		r = buf_append_u64(out, 0); /* required features */
	if (r == 0)
		r = buf_append(out, store_id, 16);
	if (r == 0)
		r = buf_append_u64(out, history->count);
	for (size_t i = 0; i < history->count && r == 0; i++) {
		r = buf_append_u64(out, history->epochs[i].epoch);
		if (r == 0)
			r = buf_append_u64(out, history->epochs[i].first_sequence);
	}
	if (r == 0)
		r = buf_append_u64(out, hash64(out->data, out->len, 0));
	return r;
}

int history_begin(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], uint64_t epoch, uint64_t first_sequence)
{
	struct history next = { .count = history->count };
	struct buf out = { 0 };
	int r;

	next.epochs = calloc(history->count + 1, sizeof(*next.epochs));
	if (!next.epochs)
		return -ENOMEM;
	if (history->count > 0)
		memcpy(next.epochs, history->epochs, history->count * sizeof(*next.epochs));
	while (next.count > 0 && next.epochs[next.count - 1].first_sequence >= first_sequence)
		next.count--;
	next.epochs[next.count++] = (struct history_epoch){ epoch, first_sequence };
	r = encode(&next, store_id, &out);
	if (r == 0)
		r = atomic_file_write(vfs, dir, HISTORY_NAME, out.data, out.len);
	buf_deinit(&out);
	if (r < 0) {
		history_deinit(&next);
		return r;
	}
	history_deinit(history);
	*history = next;
	return 0;
}

uint64_t history_last_epoch(const struct history *history)
{
	return history->count > 0 ? history->epochs[history->count - 1].epoch : 0;
}

void history_deinit(struct history *history)
{
	free(history->epochs);
	*history = (struct history){ 0 };
}

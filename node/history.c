/* SPDX-License-Identifier: MIT */
#include "node/history.h"

#include "lib/buf.h"
#include "lib/bytes.h"
#include "lib/cleanup.h"
#include "lib/hash.h"
#include "node/atomic_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_NAME      "HISTORY"
#define MAX_BYTES         (64 * 1024 * 1024)
#define FORMAT            2
#define FORMAT_NO_LINEAGE 1
#define HEADER_BYTES      40
#define LINEAGE_BYTES     24
#define EPOCH_BYTES       16
#define HASH_BYTES        8

static const uint8_t magic[8] = { 'H', 'E', 'X', 'K', 'V', 'H', 'I', 'S' };

static bool is_sound(const struct history_epoch *epochs, size_t count)
{
	struct history_epoch last = { 0 };

	for (size_t i = 0; i < count; i++) {
		if (epochs[i].epoch <= last.epoch ||
		    epochs[i].first_sequence <= last.first_sequence)
			return false;
		last = epochs[i];
	}
	return true;
}

static int decode_epochs(struct bytes_reader *reader, struct history *history)
{
	uint64_t count = bytes_read_u64(reader);

	if (count != bytes_left(reader) / EPOCH_BYTES || bytes_left(reader) % EPOCH_BYTES != 0)
		return -EBADMSG;
	history->epochs = calloc(count + 1, sizeof(*history->epochs));
	if (!history->epochs)
		return -ENOMEM;
	history->count = count;
	for (uint64_t i = 0; i < count; i++) {
		history->epochs[i].epoch = bytes_read_u64(reader);
		history->epochs[i].first_sequence = bytes_read_u64(reader);
	}
	return is_sound(history->epochs, count) ? 0 : -EBADMSG;
}

static int decode(const struct buf *in, const uint8_t store_id[16], struct history *history)
{
	struct bytes_reader reader;
	uint32_t format;
	size_t hashed;

	if (in->len < HEADER_BYTES + 8 + HASH_BYTES || memcmp(in->data, magic, 8) != 0)
		return -EBADMSG;
	hashed = in->len - HASH_BYTES;
	if (get_u64(in->data + hashed) != hash64(in->data, hashed, 0))
		return -EBADMSG;
	format = get_u32(in->data + 8);
	if ((format != FORMAT && format != FORMAT_NO_LINEAGE) || get_u64(in->data + 16) != 0)
		return -EPROTONOSUPPORT;
	if (memcmp(in->data + 24, store_id, 16) != 0)
		return -EBADMSG;
	reader = bytes_reader(in->data + HEADER_BYTES, hashed - HEADER_BYTES);
	if (format == FORMAT) {
		if (bytes_left(&reader) < LINEAGE_BYTES + 8)
			return -EBADMSG;
		memcpy(history->lineage.id, in->data + HEADER_BYTES, 16);
		history->lineage.created_ns = (int64_t)get_u64(in->data + HEADER_BYTES + 16);
		reader = bytes_reader(in->data + HEADER_BYTES + LINEAGE_BYTES,
				      hashed - HEADER_BYTES - LINEAGE_BYTES);
	}
	return decode_epochs(&reader, history);
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
		r = buf_append_u64(out, FORMAT); /* and 4 reserved bytes */
	if (r == 0)
		r = buf_append_u64(out, 0); /* required features */
	if (r == 0)
		r = buf_append(out, store_id, 16);
	if (r == 0)
		r = buf_append(out, history->lineage.id, 16);
	if (r == 0)
		r = buf_append_u64(out, (uint64_t)history->lineage.created_ns);
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

/* Makes *next durable; then it is the history, and on failure it is freed. */
static int install(struct history *history, struct vfs *vfs, const char *dir,
		   const uint8_t store_id[16], struct history *next)
{
	_cleanup_(buf_deinit) struct buf out = { 0 };
	int r;

	r = encode(next, store_id, &out);
	if (r == 0)
		r = atomic_file_write(vfs, dir, HISTORY_NAME, out.data, out.len);
	if (r < 0) {
		history_deinit(next);
		return r;
	}
	history_deinit(history);
	*history = *next;
	return 0;
}

/* With room for one more. */
static int make(const struct lineage *lineage, const struct history_epoch *epochs, size_t count,
		struct history *ret_history)
{
	struct history history = { .lineage = *lineage, .count = count };

	history.epochs = calloc(count + 1, sizeof(*history.epochs));
	if (!history.epochs)
		return -ENOMEM;
	if (count > 0)
		memcpy(history.epochs, epochs, count * sizeof(*epochs));
	*ret_history = history;
	return 0;
}

int history_copy(const struct history *history, struct history *ret_copy)
{
	return make(&history->lineage, history->epochs, history->count, ret_copy);
}

int history_begin(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], const struct lineage *if_none, uint64_t epoch,
		  uint64_t first_sequence)
{
	struct history next;
	int r;

	if (epoch <= history_last_epoch(history) || first_sequence == 0)
		return -EINVAL;
	r = history_copy(history, &next);
	if (r < 0)
		return r;
	if (if_none && !lineage_is_set(&next.lineage))
		next.lineage = *if_none;
	while (next.count > 0 && next.epochs[next.count - 1].first_sequence >= first_sequence)
		next.count--;
	next.epochs[next.count++] = (struct history_epoch){ epoch, first_sequence };
	return install(history, vfs, dir, store_id, &next);
}

int history_adopt(struct history *history, struct vfs *vfs, const char *dir,
		  const uint8_t store_id[16], const struct lineage *lineage,
		  const struct history_epoch *epochs, size_t count)
{
	struct history next;
	int r;

	if (!is_sound(epochs, count))
		return -EBADMSG;
	r = make(lineage, epochs, count, &next);
	return r < 0 ? r : install(history, vfs, dir, store_id, &next);
}

int history_cut(struct history *history, struct vfs *vfs, const char *dir,
		const uint8_t store_id[16], struct version point)
{
	size_t count = history->count;
	struct history next;
	int r;

	if (!history_contains(history, point))
		return -EINVAL;
	while (count > 0 && history->epochs[count - 1].epoch > point.epoch)
		count--;
	r = make(&history->lineage, history->epochs, count, &next);
	return r < 0 ? r : install(history, vfs, dir, store_id, &next);
}

uint64_t history_last_epoch(const struct history *history)
{
	return history->count > 0 ? history->epochs[history->count - 1].epoch : 0;
}

/* The last sequence of epoch @i, if all together end at @end. */
static uint64_t last_of(const struct history_epoch *epochs, size_t count, size_t i, uint64_t end)
{
	return i + 1 < count && epochs[i + 1].first_sequence - 1 < end
		       ? epochs[i + 1].first_sequence - 1
		       : end;
}

bool history_contains(const struct history *history, struct version version)
{
	if (version.epoch == 0)
		return version.sequence == 0;
	for (size_t i = 0; i < history->count; i++) {
		if (history->epochs[i].epoch == version.epoch)
			return version.sequence >= history->epochs[i].first_sequence &&
			       version.sequence <=
				       last_of(history->epochs, history->count, i, UINT64_MAX);
	}
	return false;
}

struct version history_common(const struct history *mine, struct version my_end,
			      const struct history_epoch *theirs, size_t count,
			      struct version their_end)
{
	size_t i = mine->count, j = count;

	/* An epoch is one node's, so who has an entry of it has all that came before. */
	while (i > 0 && j > 0) {
		const struct history_epoch *a = &mine->epochs[i - 1], *b = &theirs[j - 1];
		uint64_t last, other;

		if (a->epoch == b->epoch && a->first_sequence == b->first_sequence) {
			last = last_of(mine->epochs, mine->count, i - 1, my_end.sequence);
			other = last_of(theirs, count, j - 1, their_end.sequence);
			if (other < last)
				last = other;
			if (last >= a->first_sequence)
				return (struct version){ a->epoch, last };
		}
		if (a->epoch >= b->epoch)
			i--;
		else
			j--;
	}
	return (struct version){ 0 };
}

void history_deinit(struct history *history)
{
	free(history->epochs);
	*history = (struct history){ 0 };
}

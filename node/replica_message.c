/* SPDX-License-Identifier: MIT */
/* Layout: docs/PROTOCOL.md, "Replication". */
#include "node/replica_message.h"

#include <errno.h>
#include <string.h>

#define VERSION    1
#define ANSWER_BIT 0x80
#define HEAD_BYTES 72
/* Of what follows the head, lists and bytes aside. */
#define FIXED_BYTES_MAX 64

uint64_t replica_group(const char *cluster, const char *shard)
{
	/* The length between them: no two pairs of names give the same bytes. */
	return hash64(shard, strlen(shard), hash64(cluster, strlen(cluster), strlen(cluster)));
}

static int append_version(struct buf *out, struct version version)
{
	int r = buf_append_u64(out, version.epoch);

	return r < 0 ? r : buf_append_u64(out, version.sequence);
}

static struct version read_version(struct bytes_reader *reader)
{
	struct version version;

	version.epoch = bytes_read_u64(reader);
	version.sequence = bytes_read_u64(reader);
	return version;
}

static int append_head(const struct replica_message *message, struct buf *out)
{
	const struct replica_head *head = &message->head;
	uint8_t bytes[HEAD_BYTES] = { 0 };

	bytes[0] = (uint8_t)(message->kind | (message->is_answer ? ANSWER_BIT : 0));
	bytes[1] = VERSION;
	bytes[2] = (uint8_t)message->status;
	bytes[3] = (uint8_t)head->role;
	put_u16(bytes + 4, head->node);
	put_u64(bytes + 8, head->group);
	memcpy(bytes + 16, head->store_id, 16);
	memcpy(bytes + 32, head->lineage.id, 16);
	put_u64(bytes + 48, (uint64_t)head->lineage.created_ns);
	put_u64(bytes + 56, head->promise);
	put_u64(bytes + 64, hash64(bytes, 64, 0));
	return buf_append(out, bytes, sizeof(bytes));
}

static int append_items(struct buf *out, const struct replica_items *items)
{
	int r = buf_append_u32(out, items->count);

	if (r == 0)
		r = buf_append_u32(out, (uint32_t)items->len);
	return r < 0 || items->len == 0 ? r : buf_append(out, items->data, items->len);
}

#define BYTES_HEAD_BYTES 12

static int append_bytes(struct buf *out, const struct replica_message *message)
{
	int r = buf_append_u64(out, hash64(message->bytes, message->bytes_len, 0));

	if (r == 0)
		r = buf_append_u32(out, (uint32_t)message->bytes_len);
	return r < 0 || message->bytes_len == 0
		       ? r
		       : buf_append(out, message->bytes, message->bytes_len);
}

static int append_request(const struct replica_message *message, struct buf *out)
{
	int r = 0;

	switch (message->kind) {
	case REPLICA_PULL:
		r = append_version(out, message->end);
		if (r == 0)
			r = buf_append_u32(out, message->bytes_max);
		return r < 0 ? r : buf_append_u32(out, message->wait_ms);
	case REPLICA_VALUE:
		r = buf_append_u64(out, message->id);
		if (r == 0)
			r = buf_append_u64(out, message->size_bytes);
		return r < 0 ? r : buf_append_u64(out, message->index);
	case REPLICA_RECORDS:
		return append_items(out, &message->items);
	case REPLICA_CHECKPOINT:
		r = buf_append_u64(out, message->id);
		if (r == 0)
			r = buf_append_u64(out, message->index);
		return r < 0 ? r : append_version(out, message->end);
	case REPLICA_SUM:
		r = buf_append_u64(out, message->id);
		return r < 0 ? r : buf_append_u64(out, message->index);
	case REPLICA_FILE:
		r = buf_append_u64(out, message->id);
		if (r == 0)
			r = buf_append_u64(out, message->index);
		if (r == 0)
			r = buf_append_u64(out, message->offset);
		return r < 0 ? r : buf_append_u32(out, message->len);
	case REPLICA_FENCE:
		return buf_append_u64(out, message->id);
	case REPLICA_HANDOVER:
		return append_version(out, message->end);
	default:
		return r;
	}
}

static int append_pull_answer(const struct replica_message *message, struct buf *out)
{
	int r = append_version(out, message->end);

	if (r == 0)
		r = buf_append_u32(out, message->lag_ms);
	if (r == 0)
		r = append_items(out, &message->epochs);
	return r < 0 ? r : append_items(out, &message->items);
}

static int append_answer(const struct replica_message *message, struct buf *out)
{
	int r = 0;

	switch (message->kind) {
	case REPLICA_STATE:
		r = append_version(out, message->end);
		if (r == 0)
			r = append_version(out, message->first);
		return r < 0 ? r : buf_append_u32(out, message->flags);
	case REPLICA_PULL:
		return append_pull_answer(message, out);
	case REPLICA_RECORDS:
		r = append_version(out, message->end);
		return r < 0 ? r : append_items(out, &message->items);
	case REPLICA_CHECKPOINT:
		r = buf_append_u64(out, message->id);
		if (r == 0)
			r = append_version(out, message->end);
		if (r == 0)
			r = buf_append_u64(out, message->size_bytes);
		if (r == 0)
			r = buf_append_u32(out, message->total);
		return r < 0 ? r : append_items(out, &message->items);
	case REPLICA_VALUE:
	case REPLICA_FILE:
		return append_bytes(out, message);
	case REPLICA_SUM:
		r = buf_append_u64(out, message->sum.low);
		return r < 0 ? r : buf_append_u64(out, message->sum.high);
	case REPLICA_FENCE:
		return buf_append_u64(out, message->id);
	case REPLICA_HANDOVER:
		r = buf_append_u64(out, message->id);
		if (r == 0)
			r = append_version(out, message->end);
		return r < 0 ? r : append_bytes(out, message);
	default:
		return r;
	}
}

int replica_message_encode(const struct replica_message *message, struct buf *out)
{
	size_t start = out->len;
	int r = buf_reserve_exact(out, HEAD_BYTES + FIXED_BYTES_MAX + message->epochs.len +
					       message->items.len + message->bytes_len);

	if (r == 0)
		r = append_head(message, out);
	if (r == 0)
		r = message->is_answer ? append_answer(message, out) : append_request(message, out);
	if (r == 0 && out->len - start > REPLICA_MESSAGE_BYTES_MAX)
		r = -EMSGSIZE;
	if (r < 0)
		out->len = start;
	return r;
}

void replica_message_add_bytes(struct buf *out, size_t len)
{
	const uint8_t *bytes = out->data + out->len;
	uint8_t *sum = out->data + out->len - BYTES_HEAD_BYTES;

	put_u64(sum, hash64(bytes, len, 0));
	put_u32(sum + 8, (uint32_t)len);
	out->len += len;
}

static bool read_head(struct bytes_reader *reader, struct replica_message *message)
{
	const uint8_t *bytes = bytes_read(reader, HEAD_BYTES);
	struct replica_head *head = &message->head;

	if (!bytes || bytes[1] != VERSION || get_u64(bytes + 64) != hash64(bytes, 64, 0))
		return false;
	message->kind = bytes[0] & ~ANSWER_BIT;
	message->is_answer = bytes[0] & ANSWER_BIT;
	message->status = bytes[2];
	head->role = bytes[3];
	head->node = get_u16(bytes + 4);
	head->group = get_u64(bytes + 8);
	memcpy(head->store_id, bytes + 16, 16);
	memcpy(head->lineage.id, bytes + 32, 16);
	head->lineage.created_ns = (int64_t)get_u64(bytes + 48);
	head->promise = get_u64(bytes + 56);
	return message->kind >= REPLICA_STATE && message->kind < REPLICA_KIND_COUNT &&
	       message->status < (message->is_answer ? REPLICA_STATUS_COUNT : REPLICA_OK + 1) &&
	       head->role < REPLICA_ROLE_COUNT && head->node > 0 && get_u16(bytes + 6) == 0;
}

enum item_kind { ITEM_EPOCH, ITEM_RECORD, ITEM_KEY, ITEM_FOUND, ITEM_FILE };

static bool take_item(struct replica_items *items, enum item_kind kind)
{
	union {
		struct history_epoch epoch;
		struct shipped_record record;
		struct key key;
		char name[REPLICA_NAME_MAX + 1];
	} item;
	const uint8_t *entry;
	size_t len;
	uint64_t size;

	switch (kind) {
	case ITEM_EPOCH:
		return replica_next_epoch(items, &item.epoch);
	case ITEM_RECORD:
		return replica_next_record(items, &item.record);
	case ITEM_KEY:
		return replica_next_key(items, &item.key);
	case ITEM_FOUND:
		return replica_next_found(items, &entry, &len);
	case ITEM_FILE:
		return replica_next_file(items, item.name, &size);
	}
	return false;
}

static void read_items(struct bytes_reader *reader, enum item_kind kind, uint32_t max,
		       struct replica_items *ret_items)
{
	struct replica_items left;

	ret_items->count = bytes_read_u32(reader);
	ret_items->len = bytes_read_u32(reader);
	ret_items->data = bytes_read(reader, ret_items->len);
	if (reader->bad || ret_items->count > max) {
		reader->bad = true;
		*ret_items = (struct replica_items){ 0 };
		return;
	}
	left = *ret_items;
	while (left.count > 0 && take_item(&left, kind))
		;
	if (left.count > 0 || left.len > 0)
		reader->bad = true;
}

/* As a history must be. */
static bool epochs_ascend(struct replica_items epochs)
{
	struct history_epoch epoch, last = { 0 };

	while (replica_next_epoch(&epochs, &epoch)) {
		if (epoch.epoch <= last.epoch || epoch.first_sequence <= last.first_sequence)
			return false;
		last = epoch;
	}
	return true;
}

static void read_bytes(struct bytes_reader *reader, struct replica_message *message)
{
	uint64_t sum = bytes_read_u64(reader);

	message->bytes_len = bytes_read_u32(reader);
	message->bytes = bytes_read(reader, message->bytes_len);
	if (!reader->bad && sum != hash64(message->bytes, message->bytes_len, 0))
		reader->bad = true;
}

static void read_request(struct bytes_reader *reader, struct replica_message *message)
{
	switch (message->kind) {
	case REPLICA_PULL:
		message->end = read_version(reader);
		message->bytes_max = bytes_read_u32(reader);
		message->wait_ms = bytes_read_u32(reader);
		break;
	case REPLICA_VALUE:
		message->id = bytes_read_u64(reader);
		message->size_bytes = bytes_read_u64(reader);
		message->index = bytes_read_u64(reader);
		break;
	case REPLICA_RECORDS:
		read_items(reader, ITEM_KEY, REPLICA_KEYS_MAX, &message->items);
		break;
	case REPLICA_CHECKPOINT:
		message->id = bytes_read_u64(reader);
		message->index = bytes_read_u64(reader);
		message->end = read_version(reader);
		break;
	case REPLICA_SUM:
		message->id = bytes_read_u64(reader);
		message->index = bytes_read_u64(reader);
		break;
	case REPLICA_FILE:
		message->id = bytes_read_u64(reader);
		message->index = bytes_read_u64(reader);
		message->offset = bytes_read_u64(reader);
		message->len = bytes_read_u32(reader);
		break;
	case REPLICA_FENCE:
		message->id = bytes_read_u64(reader);
		break;
	case REPLICA_HANDOVER:
		message->end = read_version(reader);
		break;
	default:
		break;
	}
}

static void read_answer(struct bytes_reader *reader, struct replica_message *message)
{
	switch (message->kind) {
	case REPLICA_STATE:
		message->end = read_version(reader);
		message->first = read_version(reader);
		message->flags = bytes_read_u32(reader);
		break;
	case REPLICA_PULL:
		message->end = read_version(reader);
		message->lag_ms = bytes_read_u32(reader);
		read_items(reader, ITEM_EPOCH, REPLICA_EPOCHS_MAX, &message->epochs);
		if (!epochs_ascend(message->epochs))
			reader->bad = true;
		read_items(reader, ITEM_RECORD, UINT32_MAX, &message->items);
		break;
	case REPLICA_RECORDS:
		message->end = read_version(reader);
		read_items(reader, ITEM_FOUND, REPLICA_KEYS_MAX, &message->items);
		break;
	case REPLICA_CHECKPOINT:
		message->id = bytes_read_u64(reader);
		message->end = read_version(reader);
		message->size_bytes = bytes_read_u64(reader);
		message->total = bytes_read_u32(reader);
		read_items(reader, ITEM_FILE, message->total, &message->items);
		break;
	case REPLICA_VALUE:
	case REPLICA_FILE:
		read_bytes(reader, message);
		break;
	case REPLICA_SUM:
		message->sum.low = bytes_read_u64(reader);
		message->sum.high = bytes_read_u64(reader);
		break;
	case REPLICA_FENCE:
		message->id = bytes_read_u64(reader);
		break;
	case REPLICA_HANDOVER:
		message->id = bytes_read_u64(reader);
		message->end = read_version(reader);
		read_bytes(reader, message);
		break;
	default:
		break;
	}
}

int replica_message_decode(const void *data, size_t len, struct replica_message *ret_message)
{
	struct bytes_reader reader = bytes_reader(data, len);
	struct replica_message message = { 0 };

	if (len > REPLICA_MESSAGE_BYTES_MAX || !read_head(&reader, &message))
		return -EBADMSG;
	if (message.is_answer)
		read_answer(&reader, &message);
	else
		read_request(&reader, &message);
	if (reader.bad || bytes_left(&reader) > 0)
		return -EBADMSG;
	*ret_message = message;
	return 0;
}

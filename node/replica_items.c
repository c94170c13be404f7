/* SPDX-License-Identifier: MIT */
/* Layout: docs/PROTOCOL.md, "Replication". */
#include "node/replica_items.h"

#include <errno.h>
#include <string.h>

int replica_append_epoch(struct buf *out, const struct history_epoch *epoch)
{
	int r = buf_reserve(out, 16);

	if (r == 0)
		r = buf_append_u64(out, epoch->epoch);
	return r < 0 ? r : buf_append_u64(out, epoch->first_sequence);
}

#define RECORD_HEADER_BYTES 40

int replica_append_record(struct buf *out, const struct shipped_record *record)
{
	uint8_t header[RECORD_HEADER_BYTES];
	int r = buf_reserve(out, sizeof(header) + record->payload_len);

	if (r < 0)
		return r;
	put_u64(header, record->epoch);
	put_u64(header + 8, record->first_sequence);
	put_u64(header + 16, (uint64_t)record->time_ns);
	put_u32(header + 24, record->count);
	put_u32(header + 28, (uint32_t)record->payload_len);
	put_u64(header + 32, hash64(record->payload, record->payload_len, hash64(header, 32, 0)));
	r = buf_append(out, header, sizeof(header));
	return r < 0 ? r : buf_append(out, record->payload, record->payload_len);
}

int replica_append_key(struct buf *out, const uint8_t *key, uint8_t len)
{
	int r = buf_reserve(out, 1 + (size_t)len);

	if (r == 0)
		r = buf_append_u8(out, len);
	return r < 0 ? r : buf_append(out, key, len);
}

int replica_append_found(struct buf *out, const uint8_t *entry, size_t len)
{
	int r = buf_reserve(out, 4 + len);

	if (r == 0)
		r = buf_append_u32(out, entry ? (uint32_t)len : 0);
	return r < 0 || !entry ? r : buf_append(out, entry, len);
}

int replica_append_file(struct buf *out, const char *name, uint64_t size_bytes)
{
	size_t len = strlen(name);
	int r;

	if (len == 0 || len > REPLICA_NAME_MAX)
		return -EINVAL;
	r = buf_reserve(out, 9 + len);
	if (r == 0)
		r = buf_append_u64(out, size_bytes);
	if (r == 0)
		r = buf_append_u8(out, (uint8_t)len);
	return r < 0 ? r : buf_append(out, name, len);
}

static bool begin_item(struct replica_items *items, struct bytes_reader *ret_reader)
{
	if (items->count == 0)
		return false;
	*ret_reader = bytes_reader(items->data, items->len);
	return true;
}

static bool end_item(struct replica_items *items, const struct bytes_reader *reader)
{
	if (reader->bad)
		return false;
	items->len = bytes_left(reader);
	items->data = reader->at;
	items->count--;
	return true;
}

bool replica_next_epoch(struct replica_items *items, struct history_epoch *ret_epoch)
{
	struct bytes_reader reader;

	if (!begin_item(items, &reader))
		return false;
	ret_epoch->epoch = bytes_read_u64(&reader);
	ret_epoch->first_sequence = bytes_read_u64(&reader);
	return end_item(items, &reader);
}

bool replica_next_record(struct replica_items *items, struct shipped_record *ret_record)
{
	struct bytes_reader reader;
	const uint8_t *header;
	uint64_t sum;

	if (!begin_item(items, &reader))
		return false;
	header = reader.at;
	ret_record->epoch = bytes_read_u64(&reader);
	ret_record->first_sequence = bytes_read_u64(&reader);
	ret_record->time_ns = (int64_t)bytes_read_u64(&reader);
	ret_record->count = bytes_read_u32(&reader);
	ret_record->payload_len = bytes_read_u32(&reader);
	sum = bytes_read_u64(&reader);
	ret_record->payload = bytes_read(&reader, ret_record->payload_len);
	if (reader.bad || ret_record->count == 0 || ret_record->first_sequence == 0 ||
	    ret_record->epoch == 0 ||
	    sum != hash64(ret_record->payload, ret_record->payload_len, hash64(header, 32, 0)))
		return false;
	return end_item(items, &reader);
}

bool replica_next_key(struct replica_items *items, struct key *ret_key)
{
	struct bytes_reader reader;
	const uint8_t *bytes;
	uint8_t len;

	if (!begin_item(items, &reader))
		return false;
	len = bytes_read_u8(&reader);
	bytes = bytes_read(&reader, len);
	if (!bytes || key_from_bytes(bytes, len, ret_key) < 0)
		return false;
	return end_item(items, &reader);
}

bool replica_next_found(struct replica_items *items, const uint8_t **ret_entry, size_t *ret_len)
{
	struct bytes_reader reader;
	size_t len;

	if (!begin_item(items, &reader))
		return false;
	len = bytes_read_u32(&reader);
	*ret_entry = len > 0 ? bytes_read(&reader, len) : NULL;
	*ret_len = len;
	return end_item(items, &reader);
}

/* A path must stay inside the directory it is written to. */
static bool is_safe_name(const uint8_t *name, size_t len)
{
	size_t part = 0;

	for (size_t i = 0; i <= len; i++) {
		uint8_t c = i < len ? name[i] : '/';

		if (c == '/') {
			if (i == part || name[part] == '.')
				return false;
			part = i + 1;
		} else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-')) {
			return false;
		}
	}
	return true;
}

bool replica_next_file(struct replica_items *items, char *ret_name, uint64_t *ret_size)
{
	struct bytes_reader reader;
	const uint8_t *name;
	uint8_t len;

	if (!begin_item(items, &reader))
		return false;
	*ret_size = bytes_read_u64(&reader);
	len = bytes_read_u8(&reader);
	name = bytes_read(&reader, len);
	if (!name || !is_safe_name(name, len))
		return false;
	memcpy(ret_name, name, len);
	ret_name[len] = '\0';
	return end_item(items, &reader);
}

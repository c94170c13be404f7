/* SPDX-License-Identifier: MIT */
/* Layout: docs/FORMAT.md, "Entry". Fixed fields first, so that a reader knows every length before
 * it reaches the bytes. */
#include "node/entry.h"

#include "lib/bytes.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	FLAG_UTF8 = 1,
	FLAG_REPLACED = 2,
	FLAG_REQUEST_ID = 4, /* 16 bytes of request id stand behind the fixed fields */
	FLAGS_KNOWN = 7,
};

#define FIXED_BYTES     (5 + 8 + 8 + 8 + 8) /* what every entry has */
#define RECORD_BYTES    (8 + 16) /* size and hash: not in a tombstone */
#define REQUEST_ID_SIZE 16

/* A label has at least one byte, so length 0 is free to say "the default". */
static uint8_t stored_len(const char *label, uint8_t len, const char *fallback)
{
	bool is_default = len == strlen(fallback) && memcmp(label, fallback, len) == 0;

	return is_default ? 0 : len;
}

static uint8_t stored_content_type_len(const struct entry *entry)
{
	return stored_len(entry->content_type, entry->content_type_len, CONTENT_TYPE_DEFAULT);
}

static uint8_t stored_encoding_len(const struct entry *entry)
{
	return stored_len(entry->encoding, entry->encoding_len, ENCODING_DEFAULT);
}

size_t entry_encoded_size(const struct entry *entry)
{
	size_t size = FIXED_BYTES + entry->key_len;

	if (request_id_is_set(&entry->request_id))
		size += REQUEST_ID_SIZE;
	if (entry->kind == ENTRY_TOMBSTONE)
		return size;
	size += RECORD_BYTES + stored_content_type_len(entry) + stored_encoding_len(entry);
	return size + (entry->kind == ENTRY_FILE ? 8 : (size_t)entry->size_bytes);
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t len)
{
	if (len > 0)
		memcpy(at, data, len);
	return at + len;
}

static uint8_t *encode_record(const struct entry *entry, uint8_t *at)
{
	put_u64(at, entry->size_bytes);
	put_u64(at + 8, entry->hash.low);
	put_u64(at + 16, entry->hash.high);
	at += RECORD_BYTES;
	if (entry->kind == ENTRY_FILE) {
		put_u64(at, entry->file_id);
		at += 8;
	}
	return at;
}

int entry_encode(const struct entry *entry, struct buf *out)
{
	size_t size = entry_encoded_size(entry);
	bool has_id = request_id_is_set(&entry->request_id);
	bool has_record = entry->kind != ENTRY_TOMBSTONE;
	uint8_t *start, *at;
	int r;

	assert(entry->key_len > 0 && entry->key_len <= KEY_BYTES_MAX);
	r = buf_reserve(out, size);
	if (r < 0)
		return r;
	start = at = out->data + out->len;
	at[0] = (uint8_t)entry->kind;
	at[1] = (uint8_t)((entry->utf8 ? FLAG_UTF8 : 0) | (entry->replaced ? FLAG_REPLACED : 0) |
			  (has_id ? FLAG_REQUEST_ID : 0));
	at[2] = entry->key_len;
	at[3] = has_record ? stored_content_type_len(entry) : 0;
	at[4] = has_record ? stored_encoding_len(entry) : 0;
	put_u64(at + 5, entry->position);
	put_u64(at + 13, entry->version.epoch);
	put_u64(at + 21, entry->version.sequence);
	put_u64(at + 29, (uint64_t)entry->mtime_ns);
	at += FIXED_BYTES;
	if (has_id)
		at = put_bytes(at, entry->request_id.bytes, REQUEST_ID_SIZE);
	if (has_record)
		at = encode_record(entry, at);
	at = put_bytes(at, entry->key, entry->key_len);
	if (has_record) {
		at = put_bytes(at, entry->content_type, start[3]);
		at = put_bytes(at, entry->encoding, start[4]);
	}
	if (entry->kind == ENTRY_INLINE)
		at = put_bytes(at, entry->value, (size_t)entry->size_bytes);
	assert((size_t)(at - start) == size);
	out->len += size;
	return 0;
}

static bool header_is_valid(const uint8_t *data)
{
	uint8_t kind = data[0], key_len = data[2];

	if (kind < ENTRY_INLINE || kind > ENTRY_TOMBSTONE || (data[1] & ~FLAGS_KNOWN))
		return false;
	if (key_len == 0 || key_len > KEY_BYTES_MAX)
		return false;
	return kind != ENTRY_TOMBSTONE || (data[3] == 0 && data[4] == 0);
}

/* Of an entry with this header, without an inline value. */
static size_t head_size(const uint8_t *data)
{
	size_t size = FIXED_BYTES + data[2] + data[3] + data[4];

	if (data[1] & FLAG_REQUEST_ID)
		size += REQUEST_ID_SIZE;
	if (data[0] != ENTRY_TOMBSTONE)
		size += RECORD_BYTES;
	return size + (data[0] == ENTRY_FILE ? 8 : 0);
}

/* Key and labels, which end the head, and the fixed fields of a live record before them. */
static void decode_record(const uint8_t *data, const uint8_t *at, struct entry *entry)
{
	const char *labels;

	entry->size_bytes = get_u64(at);
	entry->hash.low = get_u64(at + 8);
	entry->hash.high = get_u64(at + 16);
	at += RECORD_BYTES;
	entry->file_id = 0;
	if (entry->kind == ENTRY_FILE) {
		entry->file_id = get_u64(at);
		at += 8;
	}
	entry->key = at;
	labels = (const char *)at + entry->key_len;
	entry->content_type = data[3] > 0 ? labels : CONTENT_TYPE_DEFAULT;
	entry->content_type_len = data[3] > 0 ? data[3] : sizeof(CONTENT_TYPE_DEFAULT) - 1;
	entry->encoding = data[4] > 0 ? labels + data[3] : ENCODING_DEFAULT;
	entry->encoding_len = data[4] > 0 ? data[4] : sizeof(ENCODING_DEFAULT) - 1;
}

static void decode_tombstone(const uint8_t *at, struct entry *entry)
{
	entry->size_bytes = 0;
	entry->hash = (struct hash128){ 0 };
	entry->file_id = 0;
	entry->key = at;
	entry->content_type = entry->encoding = NULL;
	entry->content_type_len = entry->encoding_len = 0;
}

/* All lengths are known from the first bytes: one check of bounds, then none. Listing and merging
 * spend a good part of their time here. */
int entry_decode_head(struct bytes_reader *reader, struct entry *ret_entry)
{
	const uint8_t *data = reader->at, *at;

	if (reader->bad || bytes_left(reader) < FIXED_BYTES || !header_is_valid(data)) {
		reader->bad = true;
		return -EBADMSG;
	}
	if (!bytes_read(reader, head_size(data)))
		return -EBADMSG;
	ret_entry->kind = (enum entry_kind)data[0];
	ret_entry->utf8 = data[1] & FLAG_UTF8;
	ret_entry->replaced = data[1] & FLAG_REPLACED;
	ret_entry->key_len = data[2];
	ret_entry->position = get_u64(data + 5);
	ret_entry->version.epoch = get_u64(data + 13);
	ret_entry->version.sequence = get_u64(data + 21);
	ret_entry->mtime_ns = (int64_t)get_u64(data + 29);
	at = data + FIXED_BYTES;
	ret_entry->request_id = (struct request_id){ 0 };
	if (data[1] & FLAG_REQUEST_ID) {
		memcpy(ret_entry->request_id.bytes, at, REQUEST_ID_SIZE);
		at += REQUEST_ID_SIZE;
	}
	if (ret_entry->kind == ENTRY_TOMBSTONE)
		decode_tombstone(at, ret_entry);
	else
		decode_record(data, at, ret_entry);
	ret_entry->value = NULL;
	return 0;
}

int entry_decode(struct bytes_reader *reader, struct entry *ret_entry)
{
	int r = entry_decode_head(reader, ret_entry);

	if (r == 0 && ret_entry->kind == ENTRY_INLINE) {
		ret_entry->value = bytes_read(reader, ret_entry->size_bytes);
		r = reader->bad ? -EBADMSG : 0;
	}
	return r;
}

bool entry_peek(const uint8_t *data, size_t len, struct entry *ret_entry)
{
	size_t at = FIXED_BYTES;

	if (len < FIXED_BYTES)
		return false;
	ret_entry->kind = (enum entry_kind)data[0];
	ret_entry->key_len = data[2];
	if (data[1] & FLAG_REQUEST_ID)
		at += REQUEST_ID_SIZE;
	if (ret_entry->kind != ENTRY_TOMBSTONE)
		at += RECORD_BYTES + (ret_entry->kind == ENTRY_FILE ? 8 : 0);
	if (len < at || len - at < ret_entry->key_len)
		return false;
	ret_entry->key = data + at;
	return true;
}

static void label_copy(struct label *label, const char *text, uint8_t len)
{
	if (len > 0)
		memcpy(label->text, text, len);
	label->text[len] = '\0';
	label->len = len;
}

void entry_to_meta(const struct entry *entry, struct record_meta *ret_meta)
{
	label_copy(&ret_meta->content_type, entry->content_type, entry->content_type_len);
	label_copy(&ret_meta->encoding, entry->encoding, entry->encoding_len);
	ret_meta->version = entry->version;
	ret_meta->mtime_ns = entry->mtime_ns;
	ret_meta->size_bytes = entry->size_bytes;
	ret_meta->hash = entry->hash;
	ret_meta->utf8 = entry->utf8;
}

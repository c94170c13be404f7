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

static void decode_label(struct bytes_reader *reader, uint8_t len, const char *fallback,
			 const char **ret_label, uint8_t *ret_len)
{
	*ret_label = len > 0 ? (const char *)bytes_read(reader, len) : fallback;
	*ret_len = len > 0 ? len : (uint8_t)strlen(fallback);
}

/* Fixed fields of a live record. */
static void decode_record(struct bytes_reader *reader, struct entry *entry)
{
	entry->size_bytes = bytes_read_u64(reader);
	entry->hash.low = bytes_read_u64(reader);
	entry->hash.high = bytes_read_u64(reader);
	if (entry->kind == ENTRY_FILE)
		entry->file_id = bytes_read_u64(reader);
}

static bool header_is_valid(const struct entry *entry, uint8_t flags, const uint8_t label_len[2])
{
	if (entry->kind < ENTRY_INLINE || entry->kind > ENTRY_TOMBSTONE || (flags & ~FLAGS_KNOWN))
		return false;
	if (entry->key_len == 0 || entry->key_len > KEY_BYTES_MAX)
		return false;
	return entry->kind != ENTRY_TOMBSTONE || (label_len[0] == 0 && label_len[1] == 0);
}

int entry_decode_head(struct bytes_reader *reader, struct entry *ret_entry)
{
	struct entry entry = { .kind = (enum entry_kind)bytes_read_u8(reader) };
	uint8_t flags = bytes_read_u8(reader);
	const uint8_t *id = NULL;
	uint8_t label_len[2];

	entry.key_len = bytes_read_u8(reader);
	label_len[0] = bytes_read_u8(reader);
	label_len[1] = bytes_read_u8(reader);
	if (reader->bad || !header_is_valid(&entry, flags, label_len))
		return -EBADMSG;
	entry.utf8 = flags & FLAG_UTF8;
	entry.replaced = flags & FLAG_REPLACED;
	entry.position = bytes_read_u64(reader);
	entry.version.epoch = bytes_read_u64(reader);
	entry.version.sequence = bytes_read_u64(reader);
	entry.mtime_ns = (int64_t)bytes_read_u64(reader);
	if (flags & FLAG_REQUEST_ID)
		id = bytes_read(reader, REQUEST_ID_SIZE);
	if (id)
		memcpy(entry.request_id.bytes, id, REQUEST_ID_SIZE);
	if (entry.kind != ENTRY_TOMBSTONE)
		decode_record(reader, &entry);
	entry.key = bytes_read(reader, entry.key_len);
	if (entry.kind != ENTRY_TOMBSTONE) {
		decode_label(reader, label_len[0], CONTENT_TYPE_DEFAULT, &entry.content_type,
			     &entry.content_type_len);
		decode_label(reader, label_len[1], ENCODING_DEFAULT, &entry.encoding,
			     &entry.encoding_len);
	}
	if (reader->bad)
		return -EBADMSG;
	*ret_entry = entry;
	return 0;
}

int entry_decode(struct bytes_reader *reader, struct entry *ret_entry)
{
	int r = entry_decode_head(reader, ret_entry);

	if (r == 0 && ret_entry->kind == ENTRY_INLINE)
		ret_entry->value = bytes_read(reader, ret_entry->size_bytes);
	return reader->bad ? -EBADMSG : r;
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

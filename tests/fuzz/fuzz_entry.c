/* SPDX-License-Identifier: MIT */
/* Any bytes as entries, one behind the other: what is decoded must encode to something that says
 * the same, and the peek of it must agree. */
#include "node/entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void assert_same(const struct entry *a, const struct entry *b)
{
	assert(a->kind == b->kind && a->utf8 == b->utf8 && a->replaced == b->replaced);
	assert(a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0);
	assert(a->position == b->position && version_compare(a->version, b->version) == 0);
	assert(a->mtime_ns == b->mtime_ns && a->size_bytes == b->size_bytes);
	assert(memcmp(&a->request_id, &b->request_id, sizeof(a->request_id)) == 0);
	assert(a->file_id == b->file_id && a->hash.low == b->hash.low);
	if (a->kind == ENTRY_TOMBSTONE)
		return;
	assert(a->content_type_len == b->content_type_len);
	assert(memcmp(a->content_type, b->content_type, a->content_type_len) == 0);
	assert(a->encoding_len == b->encoding_len);
	assert(memcmp(a->encoding, b->encoding, a->encoding_len) == 0);
	if (a->kind == ENTRY_INLINE && a->size_bytes > 0)
		assert(memcmp(a->value, b->value, a->size_bytes) == 0);
}

static void round_trip(const struct entry *entry)
{
	struct buf encoded = { 0 };
	struct bytes_reader reader;
	struct entry again, peek = { 0 };
	struct record_meta meta;

	if (entry_encode(entry, &encoded) < 0)
		abort();
	assert(encoded.len == entry_encoded_size(entry));
	reader = bytes_reader(encoded.data, encoded.len);
	assert(entry_decode(&reader, &again) == 0 && bytes_left(&reader) == 0);
	assert_same(entry, &again);
	assert(entry_peek(encoded.data, encoded.len, &peek));
	assert(peek.kind == again.kind && peek.key == again.key && peek.key_len == again.key_len);
	if (entry->kind != ENTRY_TOMBSTONE)
		entry_to_meta(entry, &meta);
	buf_deinit(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bytes_reader reader = bytes_reader(data, len);
	struct bytes_reader head = reader;
	struct entry entry;

	entry_peek(data, len, &entry);
	entry_decode_head(&head, &entry);
	while (bytes_left(&reader) > 0 && entry_decode(&reader, &entry) == 0)
		round_trip(&entry);
	return 0;
}

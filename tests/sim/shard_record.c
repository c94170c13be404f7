/* SPDX-License-Identifier: MIT */
#include "tests/sim/shard_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX (3 * VALUE_CHUNK_BYTES)
#define CHUNKED_EVERY   61 /* one of so many values takes several chunks */

struct key shard_key(unsigned number)
{
	return (struct key){ .len = 3, .bytes = { 'k', (uint8_t)(number >> 8), (uint8_t)number } };
}

bool shard_key_number(const uint8_t *bytes, size_t len, unsigned *ret_number)
{
	if (len != 3 || bytes[0] != 'k')
		return false;
	*ret_number = (unsigned)bytes[1] << 8 | bytes[2];
	return *ret_number < TRUTH_KEYS_MAX;
}

size_t shard_value_len(uint32_t value, bool many_chunks)
{
	if (many_chunks && value % CHUNKED_EVERY == 0)
		return VALUE_CHUNK_BYTES + value * 7919 % (VALUE_BYTES_MAX - VALUE_CHUNK_BYTES);
	return value % 3 == 0 ? 300 + value * 97 % 3500 : value * 31 % 250;
}

const uint8_t *shard_value(uint32_t value, bool many_chunks, size_t *ret_len)
{
	static uint64_t bytes[VALUE_BYTES_MAX / 8];
	size_t len = shard_value_len(value, many_chunks);

	for (size_t i = 0; i < (len + 7) / 8; i++)
		bytes[i] = (value + i) * 0x9e3779b97f4a7c15u;
	*ret_len = len;
	return (const uint8_t *)bytes;
}

static void set_label(struct label *label, const char *prefix, uint32_t number)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%s%u", prefix, number);

	label_set(label, text, (size_t)len);
}

void shard_label_value(struct label *label, uint32_t value)
{
	set_label(label, "v/", value);
}

void shard_label_patch(struct label *label, uint32_t patch)
{
	set_label(label, "p", patch);
}

void shard_request_id(uint32_t write, struct request_id *ret_id)
{
	*ret_id = (struct request_id){ .bytes = { 's', 'i', 'm' } };
	put_u32(ret_id->bytes + 12, write);
}

static bool write_number(const struct request_id *id, uint32_t *ret_write)
{
	struct request_id expect;

	*ret_write = 0;
	if (!request_id_is_set(id))
		return true; /* segments don't keep it */
	*ret_write = get_u32(id->bytes + 12);
	shard_request_id(*ret_write, &expect);
	return memcmp(&expect, id, sizeof(expect)) == 0;
}

/* @text is not terminated. */
static bool label_number(const char *text, size_t len, const char *prefix, uint32_t *ret_number)
{
	char copy[32] = { 0 };
	char *end;

	if (len >= sizeof(copy) || len <= strlen(prefix) ||
	    memcmp(text, prefix, strlen(prefix)) != 0)
		return false;
	memcpy(copy, text + strlen(prefix), len - strlen(prefix));
	*ret_number = (uint32_t)strtoul(copy, &end, 10);
	return *end == '\0';
}

static bool entry_numbers(const struct entry *entry, struct truth_entry *numbers)
{
	return label_number(entry->content_type, entry->content_type_len, "v/", &numbers->value) &&
	       label_number(entry->encoding, entry->encoding_len, "p", &numbers->patch) &&
	       numbers->value > 0;
}

bool shard_entry_read(const struct entry *entry, struct truth_entry *ret_entry)
{
	struct truth_entry numbers = { 0 };
	unsigned key;

	if (!shard_key_number(entry->key, entry->key_len, &key) ||
	    !write_number(&entry->request_id, &numbers.write))
		return false;
	numbers.key = (uint16_t)key;
	if (entry->kind != ENTRY_TOMBSTONE && !entry_numbers(entry, &numbers))
		return false;
	*ret_entry = numbers;
	return true;
}

static const char *compare_file(struct store_record *record, const uint8_t *expect, size_t len)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	size_t at = 0;

	for (uint64_t i = 0; at < len; i++) {
		ssize_t n = value_file_read_chunk(record->held.file, record->meta.size_bytes, i,
						  chunk, 0);

		if (n <= 0 || (size_t)n > len - at)
			return "its value file can't be read";
		if (memcmp(expect + at, chunk, (size_t)n) != 0)
			return "its value file holds other bytes than were written";
		at += (size_t)n;
	}
	return NULL;
}

const char *shard_record_read(struct store_record *record, bool many_chunks,
			      struct truth_cell *ret_cell)
{
	const uint8_t *data = store_record_inline(record), *expect;
	struct truth_entry numbers = { 0 };
	const char *why = NULL;
	size_t len;

	if (!entry_numbers(&record->held.entry, &numbers))
		return "its labels are nobody's";
	expect = shard_value(numbers.value, many_chunks, &len);
	if (record->meta.size_bytes != len)
		return "its size is not that of its value";
	if (!data)
		why = compare_file(record, expect, len);
	else if (memcmp(data, expect, len) != 0)
		why = "its value is not what was written";
	if (!why)
		*ret_cell =
			(struct truth_cell){ numbers.value, numbers.patch, record->meta.version };
	return why;
}

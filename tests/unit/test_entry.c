/* SPDX-License-Identifier: MIT */
#include "node/entry.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct entry inline_entry(void)
{
	return (struct entry){
		.kind = ENTRY_INLINE,
		.utf8 = true,
		.replaced = true,
		.key = (const uint8_t *)"key",
		.key_len = 3,
		.position = 7,
		.version = { .epoch = 0x10001, .sequence = 99 },
		.mtime_ns = -5,
		.request_id = { { 1, 2, 3 } },
		.content_type = "text/plain",
		.content_type_len = 10,
		.encoding = "utf-8",
		.encoding_len = 5,
		.size_bytes = 5,
		.hash = { 11, 12 },
		.value = (const uint8_t *)"hello",
	};
}

static void assert_round_trip(const struct entry *entry)
{
	struct bytes_reader reader;
	struct buf buf = { 0 };
	struct entry got;

	assert_int_equal(entry_encode(entry, &buf), 0);
	assert_int_equal(buf.len, entry_encoded_size(entry));
	reader = bytes_reader(buf.data, buf.len);
	assert_int_equal(entry_decode(&reader, &got), 0);
	assert_int_equal(bytes_left(&reader), 0);
	assert_int_equal(got.kind, entry->kind);
	assert_int_equal(got.utf8, entry->utf8);
	assert_int_equal(got.replaced, entry->replaced);
	assert_int_equal(got.key_len, entry->key_len);
	assert_memory_equal(got.key, entry->key, entry->key_len);
	assert_int_equal(got.position, entry->position);
	assert_int_equal(version_compare(got.version, entry->version), 0);
	assert_int_equal(got.mtime_ns, entry->mtime_ns);
	assert_memory_equal(&got.request_id, &entry->request_id, sizeof(got.request_id));
	assert_int_equal(got.content_type_len, entry->content_type_len);
	assert_int_equal(got.encoding_len, entry->encoding_len);
	if (entry->kind != ENTRY_TOMBSTONE) {
		assert_memory_equal(got.content_type, entry->content_type, got.content_type_len);
		assert_memory_equal(got.encoding, entry->encoding, got.encoding_len);
	}
	assert_int_equal(got.size_bytes, entry->size_bytes);
	assert_memory_equal(&got.hash, &entry->hash, sizeof(got.hash));
	assert_int_equal(got.file_id, entry->file_id);
	if (entry->kind == ENTRY_INLINE)
		assert_memory_equal(got.value, entry->value, (size_t)entry->size_bytes);
	buf_deinit(&buf);
}

static void every_kind_of_entry_comes_back_as_it_was(void **state)
{
	struct entry entry = inline_entry();

	(void)state;
	assert_round_trip(&entry);
	entry.size_bytes = 0;
	assert_round_trip(&entry);
	entry = inline_entry();
	entry.kind = ENTRY_FILE;
	entry.value = NULL;
	entry.size_bytes = UINT64_MAX;
	entry.file_id = 1234567;
	assert_round_trip(&entry);
	entry = (struct entry){ .kind = ENTRY_TOMBSTONE,
				.key = (const uint8_t *)"\0",
				.key_len = 1,
				.position = UINT64_MAX };
	assert_round_trip(&entry);
}

static void default_labels_take_no_space(void **state)
{
	struct entry entry = inline_entry();
	size_t with_labels = entry_encoded_size(&entry);

	(void)state;
	entry.content_type = CONTENT_TYPE_DEFAULT;
	entry.content_type_len = (uint8_t)strlen(CONTENT_TYPE_DEFAULT);
	entry.encoding = ENCODING_DEFAULT;
	entry.encoding_len = (uint8_t)strlen(ENCODING_DEFAULT);
	assert_round_trip(&entry);
	assert_int_equal(entry_encoded_size(&entry), with_labels - 15);
}

static void every_cut_of_an_entry_is_refused(void **state)
{
	struct entry entry = inline_entry(), got;
	struct buf buf = { 0 };

	(void)state;
	assert_int_equal(entry_encode(&entry, &buf), 0);
	for (size_t len = 0; len < buf.len; len++) {
		/* A block of its own, so that a sanitizer sees a read past the cut. */
		uint8_t *copy = malloc(len + 1);
		struct bytes_reader reader;

		assert_non_null(copy);
		memcpy(copy, buf.data, len);
		reader = bytes_reader(copy, len);
		assert_int_equal(entry_decode(&reader, &got), -EBADMSG);
		free(copy);
	}
	buf_deinit(&buf);
}

static void nonsense_in_the_header_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
	} cases[] = { { 0, 0 }, { 0, 4 }, { 1, 8 }, { 1, 0x80 }, { 2, 0 }, { 2, 128 } };
	struct entry entry = inline_entry(), got;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bytes_reader reader;
		struct buf buf = { 0 };

		assert_int_equal(entry_encode(&entry, &buf), 0);
		buf.data[cases[i].at] = cases[i].value;
		reader = bytes_reader(buf.data, buf.len);
		assert_int_equal(entry_decode(&reader, &got), -EBADMSG);
		buf_deinit(&buf);
	}
}

static void metadata_is_taken_from_the_entry(void **state)
{
	struct entry entry = inline_entry();
	struct record_meta meta;

	(void)state;
	entry_to_meta(&entry, &meta);
	assert_string_equal(meta.content_type.text, "text/plain");
	assert_string_equal(meta.encoding.text, "utf-8");
	assert_int_equal(meta.size_bytes, 5);
	assert_true(meta.utf8);
	assert_int_equal(meta.version.sequence, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_entry_comes_back_as_it_was),
		cmocka_unit_test(default_labels_take_no_space),
		cmocka_unit_test(every_cut_of_an_entry_is_refused),
		cmocka_unit_test(nonsense_in_the_header_is_refused),
		cmocka_unit_test(metadata_is_taken_from_the_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/hash.h"
#include "node/segment.h"
#include "node/segment_writer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char dir[64];
	struct segment_context context;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_segment.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->context.vfs = vfs_posix();
	f->context.dir = f->dir;
	assert_int_equal(value_files_open(f->context.vfs, f->dir, &f->context.values), 0);
	assert_int_equal(block_cache_new(1 << 20, &f->context.cache), 0);
	assert_int_equal(reaper_new(f->context.vfs, &f->context.reaper), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	block_cache_free(f->context.cache);
	reaper_free(f->context.reaper);
	value_files_free(f->context.values);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static uint8_t value[40000];

/* Values of all sizes around the bounds of blocks. */
static struct entry entry_of(unsigned number, char key[16])
{
	static const uint32_t sizes[] = { 0, 1, 100, 1900, 2100, 4096, 40000 };
	struct entry entry = { .kind = number % 5 == 4 ? ENTRY_TOMBSTONE : ENTRY_INLINE,
			       .key = (uint8_t *)key,
			       .key_len = (uint8_t)snprintf(key, 16, "%06u", number * 2),
			       .position = 1000 + number,
			       .content_type = "text/plain",
			       .content_type_len = 10,
			       .encoding = "utf-8",
			       .encoding_len = 5,
			       .size_bytes = sizes[number % 7],
			       .value = value };

	if (number % 50 == 3) {
		entry.kind = ENTRY_FILE;
		entry.file_id = 77 + number / 100;
	}
	return entry;
}

static int add(struct segment_writer *writer, const struct entry *entry)
{
	struct buf encoded = { 0 };
	int r;

	assert_int_equal(entry_encode(entry, &encoded), 0);
	r = segment_writer_add(writer, encoded.data, encoded.len);
	buf_deinit(&encoded);
	return r;
}

static struct segment_writer *new_writer(struct fixture *f, uint64_t id, uint64_t entries_max)
{
	struct segment_writer_options options = {
		.vfs = f->context.vfs, .dir = f->dir, .file_id = id, .entries_max = entries_max
	};
	struct segment_writer *writer;

	assert_int_equal(segment_writer_new(&options, &writer), 0);
	return writer;
}

static struct segment *write_segment(struct fixture *f, uint64_t id, unsigned count,
				     uint64_t entries_max)
{
	struct segment_writer *writer = new_writer(f, id, entries_max);
	struct segment *segment;
	char key[16];

	for (unsigned i = 0; i < count; i++) {
		struct entry entry = entry_of(i, key);

		assert_int_equal(add(writer, &entry), 0);
	}
	assert_int_equal(segment_writer_finish(writer), 0);
	assert_int_equal(segment_open(&f->context, id, &segment), 0);
	return segment;
}

static int get(struct segment *segment, const char *key, struct entry *ret_entry,
	       struct block **ret_block)
{
	return segment_get(segment, key, strlen(key), hash64(key, strlen(key), 0), 0, ret_entry,
			   ret_block);
}

static void same(const struct entry *a, const struct entry *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->position, b->position);
	assert_memory_equal(a->key, b->key, a->key_len);
	if (a->kind == ENTRY_INLINE) {
		assert_int_equal(a->size_bytes, b->size_bytes);
		assert_memory_equal(a->value, b->value, a->size_bytes);
	}
	if (a->kind == ENTRY_FILE)
		assert_int_equal(a->file_id, b->file_id);
}

static void every_entry_is_found_and_no_other(void **state)
{
	struct segment *segment = write_segment(*state, 9, 700, 700);
	struct block *block;
	struct entry found;
	char key[16];

	for (unsigned i = 0; i < 700; i++) {
		struct entry entry = entry_of(i, key);

		assert_int_equal(get(segment, key, &found, &block), 0);
		same(&entry, &found);
		block_unref(block);
		snprintf(key, sizeof(key), "%06u", i * 2 + 1);
		assert_int_equal(get(segment, key, &found, &block), SEGMENT_NOT_FOUND);
	}
	assert_int_equal(get(segment, "", &found, &block), SEGMENT_NOT_FOUND);
	assert_int_equal(get(segment, "zzz", &found, &block), SEGMENT_NOT_FOUND);
	segment_unref(segment);
}

static void an_iterator_visits_all_in_order_from_any_key(void **state)
{
	struct segment *segment = write_segment(*state, 9, 300, 300);
	char key[16];

	for (unsigned from = 0; from < 300; from += 7) {
		struct segment_iterator it;
		unsigned number = from + 1;

		snprintf(key, sizeof(key), "%06u", from * 2);
		assert_int_equal(segment_iterate(&it, segment, from % 2, key, strlen(key)), 0);
		for (; !segment_iterator_ended(&it); number++) {
			struct entry entry = entry_of(number, key), found;
			struct bytes_reader reader;
			const uint8_t *data;
			size_t len;

			assert_int_equal(segment_iterator_encoded(&it, &data, &len), 0);
			reader = bytes_reader(data, len);
			assert_int_equal(entry_decode(&reader, &found), 0);
			same(&entry, &found);
			assert_int_equal(segment_iterator_head(&it, &found), 0);
			assert_int_equal(found.size_bytes,
					 entry.kind == ENTRY_TOMBSTONE ? 0 : entry.size_bytes);
			assert_int_equal(segment_next(&it), 0);
		}
		assert_int_equal(number, 300);
		segment_iterator_deinit(&it);
	}
	segment_unref(segment);
}

static uint64_t bad_sector;

static ssize_t read_around_a_bad_sector(struct vfs_file *file, void *data, size_t len,
					uint64_t offset, unsigned flags)
{
	if (offset <= bad_sector && bad_sector < offset + len)
		return -EIO;
	return vfs_posix()->ops->pread(file, data, len, offset, flags);
}

/* Though more than that is read at once. */
static void an_iterator_comes_to_what_lies_before_a_bad_sector(void **state)
{
	struct fixture *f = *state;
	struct segment_writer *writer = new_writer(f, 9, 6000);
	struct vfs_ops ops = *vfs_posix()->ops;
	struct vfs vfs = { .ops = &ops };
	struct segment *segment;
	unsigned last = 0;
	uint64_t bytes;
	char key[16];

	for (unsigned i = 0; i < 6000; i++) {
		struct entry entry = entry_of(i, key);

		/* No blocks but those of many entries. */
		entry.kind = ENTRY_INLINE;
		entry.size_bytes = 100;
		assert_int_equal(add(writer, &entry), 0);
	}
	assert_int_equal(segment_writer_finish(writer), 0);
	assert_int_equal(segment_open(&f->context, 9, &segment), 0);
	bytes = segment_bytes(segment);
	segment_unref(segment);
	ops.pread = read_around_a_bad_sector;
	f->context.vfs = &vfs;
	for (unsigned tenth = 1; tenth < 9; tenth++) {
		struct segment_iterator it;
		unsigned number = 0;
		int r;

		bad_sector = UINT64_MAX;
		assert_int_equal(segment_open(&f->context, 9, &segment), 0);
		bad_sector = bytes / 10 * tenth;
		assert_int_equal(segment_iterate(&it, segment, tenth % 2, NULL, 0), 0);
		do {
			number++;
			r = segment_next(&it);
		} while (r == 0 && !segment_iterator_ended(&it));
		assert_int_equal(r, -EIO);
		assert_true(segment_is_damaged(segment));
		assert_true(number > last);
		last = number;
		segment_iterator_deinit(&it);
		segment_unref(segment);
	}
	assert_true(last > 4000);
	f->context.vfs = vfs_posix();
}

static void report(const char *sentence, void *state)
{
	(void)state;
	fail_msg("%s", sentence);
}

static void properties_and_value_files_are_those_of_the_entries(void **state)
{
	struct segment *segment = write_segment(*state, 9, 300, 300);
	const struct segment_properties *properties = segment_properties(segment);

	assert_int_equal(properties->entries, 300);
	assert_int_equal(properties->tombstones, 60);
	assert_int_equal(properties->position_min, 1000);
	assert_int_equal(properties->position_max, 1299);
	assert_memory_equal(properties->first.bytes, "000000", 6);
	assert_memory_equal(properties->last.bytes, "000598", 6);
	for (uint64_t id = 77; id < 80; id++)
		assert_int_equal(value_file_id(segment_value(segment, id)), id);
	assert_null(segment_value(segment, 80));
	assert_int_equal(segment_check(segment, report, NULL), 0);
	segment_unref(segment);
}

static void a_filter_sized_ahead_serves_as_well(void **state)
{
	struct segment *segment = write_segment(*state, 9, 50, (uint64_t)5 * 1024 * 1024);

	assert_true(segment_filter_bytes(segment) > 6000000);
	assert_int_equal(segment_check(segment, report, NULL), 0);
	segment_unref(segment);
}

static void filter_and_index_take_little_memory(void **state)
{
	struct segment_writer *writer = new_writer(*state, 5, 20000);
	struct fixture *f = *state;
	struct segment *segment;

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t hash[2] = { 0 };
		struct entry entry = { .kind = ENTRY_INLINE,
				       .key = (uint8_t *)hash,
				       .key_len = 16,
				       .position = i + 1,
				       .content_type = CONTENT_TYPE_DEFAULT,
				       .content_type_len = strlen(CONTENT_TYPE_DEFAULT),
				       .encoding = ENCODING_DEFAULT,
				       .encoding_len = strlen(ENCODING_DEFAULT),
				       .size_bytes = 100,
				       .value = value };

		memset(entry.request_id.bytes, 1, sizeof(entry.request_id.bytes));
		put_u64(&hash[1], hash64(&i, sizeof(i), 0));
		hash[0] = htobe64((uint64_t)i * (UINT64_MAX / 20000));
		assert_int_equal(add(writer, &entry), 0);
	}
	assert_int_equal(segment_writer_finish(writer), 0);
	assert_int_equal(segment_open(&f->context, 5, &segment), 0);
	print_message("filter %.2f index %.2f bytes a key\n",
		      (double)segment_filter_bytes(segment) / 20000,
		      (double)segment_index_bytes(segment) / 20000);
	assert_true(segment_filter_bytes(segment) + segment_index_bytes(segment) < 20000 * 3.5);
	segment_unref(segment);
}

static void the_writer_refuses_what_is_out_of_order_or_no_entry(void **state)
{
	struct segment_writer *writer = new_writer(*state, 9, 10);
	char a[16], b[16];
	struct entry first = entry_of(7, a), second = entry_of(6, b);

	assert_int_equal(add(writer, &first), 0);
	assert_int_equal(add(writer, &first), -EBADMSG);
	assert_int_equal(add(writer, &second), -EBADMSG);
	assert_int_equal(segment_writer_add(writer, (const uint8_t *)"nonsense", 8), -EBADMSG);
	segment_writer_abort(writer);
}

static void a_missing_file_is_damage_and_not_an_empty_segment(void **state)
{
	struct fixture *f = *state;
	struct segment *segment;

	assert_int_equal(segment_open(&f->context, 4711, &segment), -EBADMSG);
}

static void a_segment_under_another_id_is_refused(void **state)
{
	struct fixture *f = *state;
	struct segment *segment = write_segment(f, 9, 30, 30);
	char from[128], to[128];

	segment_unref(segment);
	snprintf(from, sizeof(from), "%s/0000000000000009.seg", f->dir);
	snprintf(to, sizeof(to), "%s/000000000000000a.seg", f->dir);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(segment_open(&f->context, 10, &segment), -EBADMSG);
}

static void an_obsolete_file_goes_with_its_last_reader(void **state)
{
	struct fixture *f = *state;
	struct segment *segment = write_segment(f, 9, 30, 30);
	struct block *block;
	struct entry found;
	char path[128], key[16];

	snprintf(path, sizeof(path), "%s/0000000000000009.seg", f->dir);
	segment_ref(segment);
	segment_obsolete(segment);
	segment_unref(segment);
	assert_int_equal(access(path, F_OK), 0);
	(void)entry_of(29, key);
	assert_int_equal(get(segment, key, &found, &block), 0);
	segment_unref(segment);
	assert_int_equal(access(path, F_OK), -1);
	/* The block stays readable. */
	assert_memory_equal(found.key, key, found.key_len);
	block_unref(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(every_entry_is_found_and_no_other),
		T(an_iterator_visits_all_in_order_from_any_key),
		T(an_iterator_comes_to_what_lies_before_a_bad_sector),
		T(properties_and_value_files_are_those_of_the_entries),
		T(a_filter_sized_ahead_serves_as_well),
		T(filter_and_index_take_little_memory),
		T(the_writer_refuses_what_is_out_of_order_or_no_entry),
		T(a_missing_file_is_damage_and_not_an_empty_segment),
		T(a_segment_under_another_id_is_refused),
		T(an_obsolete_file_goes_with_its_last_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

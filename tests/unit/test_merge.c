/* SPDX-License-Identifier: MIT */
#include "node/merge.h"
#include "node/segment_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS        1000
#define VALUE_BYTES 500

struct fixture {
	char dir[64];
	struct segment_context context;
	struct memtable *memtable;
	struct segment *segments[2]; /* the newer first */
	struct merge *merge;
	uint64_t segment_id;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_merge.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->context.vfs = vfs_posix();
	f->context.dir = f->dir;
	assert_int_equal(value_files_open(f->context.vfs, f->dir, &f->context.values), 0);
	assert_int_equal(block_cache_new(1 << 20, &f->context.cache), 0);
	assert_int_equal(reaper_new(f->context.vfs, &f->context.reaper), 0);
	assert_int_equal(memtable_new(f->context.values, &f->memtable), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	merge_free(f->merge);
	memtable_unref(f->memtable);
	segment_unref(f->segments[0]);
	segment_unref(f->segments[1]);
	block_cache_free(f->context.cache);
	reaper_free(f->context.reaper);
	value_files_free(f->context.values);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static uint8_t value[VALUE_BYTES];

/* The position tells the source and the key: source * KEYS + number. */
static struct entry entry_of(unsigned source, unsigned number, enum entry_kind kind, char key[16])
{
	return (struct entry){ .kind = kind,
			       .key = (uint8_t *)key,
			       .key_len = (uint8_t)snprintf(key, 16, "k%05u", number),
			       .position = source * KEYS + number,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = VALUE_BYTES,
			       .value = value };
}

static void remember(struct fixture *f, unsigned source, unsigned number, enum entry_kind kind)
{
	char key[16];
	struct entry entry = entry_of(source, number, kind, key);

	assert_int_equal(memtable_insert(f->memtable, &entry, 1), 0);
}

/* Every @step-th key from @from on; each @graves-th of them is a tombstone. */
static struct segment *write_segment(struct fixture *f, unsigned source, unsigned from,
				     unsigned step, unsigned graves)
{
	struct segment_writer_options options = { .vfs = f->context.vfs,
						  .dir = f->dir,
						  .file_id = ++f->segment_id,
						  .entries_max = KEYS };
	struct segment_writer *writer;
	struct buf encoded = { 0 };
	struct segment *segment;

	assert_int_equal(segment_writer_new(&options, &writer), 0);
	for (unsigned i = from; i < KEYS; i += step) {
		char key[16];
		bool grave = graves > 0 && (i - from) / step % graves == 0;
		struct entry entry =
			entry_of(source, i, grave ? ENTRY_TOMBSTONE : ENTRY_INLINE, key);

		buf_clear(&encoded);
		assert_int_equal(entry_encode(&entry, &encoded), 0);
		assert_int_equal(segment_writer_add(writer, encoded.data, encoded.len), 0);
	}
	buf_deinit(&encoded);
	assert_int_equal(segment_writer_finish(writer), 0);
	assert_int_equal(segment_open(&f->context, options.file_id, &segment), 0);
	return segment;
}

/* Memtable, then segments, of those that there are. */
static void start(struct fixture *f, const char *after, bool cached)
{
	f->merge = merge_free(f->merge);
	assert_int_equal(merge_new(3, &f->merge), 0);
	assert_int_equal(merge_add_memtable(f->merge, f->memtable, after, strlen(after)), 0);
	for (size_t i = 0; i < 2; i++)
		if (f->segments[i])
			assert_int_equal(merge_add_segment(f->merge, f->segments[i], cached, after,
							   strlen(after)),
					 0);
	merge_start(f->merge);
}

/* It stands at @number's version of @source: key, head and bytes say the same. */
static void stands_at(struct fixture *f, unsigned source, unsigned number, enum entry_kind kind)
{
	char key[16];
	struct entry entry = entry_of(source, number, kind, key), head, whole;
	struct bytes_reader reader;
	const uint8_t *data;
	size_t len;

	assert_false(merge_ended(f->merge));
	assert_int_equal(merge_key(f->merge)->key_len, entry.key_len);
	assert_memory_equal(merge_key(f->merge)->key, key, entry.key_len);
	assert_int_equal(merge_key(f->merge)->kind, kind);
	assert_int_equal(merge_head(f->merge, &head), 0);
	assert_int_equal(head.position, entry.position);
	assert_int_equal(head.kind, kind);
	assert_int_equal(merge_encoded(f->merge, &data, &len), 0);
	reader = bytes_reader(data, len);
	assert_int_equal(entry_decode(&reader, &whole), 0);
	assert_int_equal(whole.position, entry.position);
	if (kind == ENTRY_INLINE)
		assert_memory_equal(whole.value, value, VALUE_BYTES);
}

static void a_merge_of_nothing_has_ended(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(merge_new(0, &f->merge), 0);
	merge_start(f->merge);
	assert_true(merge_ended(f->merge));
	start(f, "", false);
	assert_true(merge_ended(f->merge));
}

static void of_each_key_the_newest_version_comes_in_order(void **state)
{
	struct fixture *f = *state;

	f->segments[1] = write_segment(f, 0, 0, 1, 0);
	f->segments[0] = write_segment(f, 1, 0, 3, 0);
	for (unsigned i = 0; i < KEYS; i += 5)
		remember(f, 2, i, ENTRY_INLINE);
	for (int cached = 0; cached < 2; cached++) {
		start(f, "", cached);
		for (unsigned i = 0; i < KEYS; i++) {
			stands_at(f, i % 5 == 0 ? 2 : i % 3 == 0 ? 1 : 0, i, ENTRY_INLINE);
			assert_int_equal(merge_next(f->merge), 0);
		}
		assert_true(merge_ended(f->merge));
	}
}

static void tombstones_come_through_and_hide_what_is_older(void **state)
{
	struct fixture *f = *state;

	f->segments[1] = write_segment(f, 0, 0, 1, 0);
	f->segments[0] = write_segment(f, 1, 0, 1, 2);
	remember(f, 2, 0, ENTRY_INLINE);
	remember(f, 2, 1, ENTRY_TOMBSTONE);
	start(f, "", false);
	stands_at(f, 2, 0, ENTRY_INLINE);
	assert_int_equal(merge_next(f->merge), 0);
	stands_at(f, 2, 1, ENTRY_TOMBSTONE);
	for (unsigned i = 2; i < KEYS; i++) {
		assert_int_equal(merge_next(f->merge), 0);
		stands_at(f, 1, i, i % 2 == 0 ? ENTRY_TOMBSTONE : ENTRY_INLINE);
	}
	assert_int_equal(merge_next(f->merge), 0);
	assert_true(merge_ended(f->merge));
}

static void sources_that_end_early_leave_the_rest_to_the_others(void **state)
{
	struct fixture *f = *state;

	/* One ends in the middle, one begins there, one has the ends. */
	for (unsigned i = 1; i < KEYS / 2; i++)
		remember(f, 2, i, ENTRY_INLINE);
	f->segments[0] = write_segment(f, 1, KEYS / 2, 1, 0);
	f->segments[1] = write_segment(f, 0, 0, KEYS - 1, 0);
	start(f, "", false);
	for (unsigned i = 0; i < KEYS; i++) {
		stands_at(f, i == 0 ? 0 : i < KEYS / 2 ? 2 : 1, i, ENTRY_INLINE);
		assert_int_equal(merge_next(f->merge), 0);
	}
	assert_true(merge_ended(f->merge));
}

static void it_starts_at_the_first_key_after_the_one_given(void **state)
{
	struct fixture *f = *state;
	char after[16];

	f->segments[1] = write_segment(f, 0, 0, 1, 0);
	f->segments[0] = write_segment(f, 1, 0, 2, 0);
	remember(f, 2, 500, ENTRY_INLINE);
	start(f, "k00499", false);
	stands_at(f, 2, 500, ENTRY_INLINE);
	start(f, "k00500", true);
	stands_at(f, 0, 501, ENTRY_INLINE);
	start(f, "k00501x", false); /* between two keys */
	stands_at(f, 1, 502, ENTRY_INLINE);
	start(f, "a", false);
	stands_at(f, 1, 0, ENTRY_INLINE);
	snprintf(after, sizeof(after), "k%05u", KEYS - 1);
	start(f, after, false);
	assert_true(merge_ended(f->merge));
	start(f, "z", true);
	assert_true(merge_ended(f->merge));
}

static void damage(struct fixture *f, uint64_t file_id, off_t at)
{
	char *path = segment_path(f->dir, file_id);
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "oops", 4, at), 4);
	close(fd);
	free(path);
}

static void a_damaged_block_is_an_error_and_no_key_is_skipped(void **state)
{
	struct fixture *f = *state;
	unsigned i = 0;
	int r = 0;

	f->segments[0] = write_segment(f, 1, 1, 2, 0);
	f->segments[1] = write_segment(f, 0, 0, 2, 0);
	damage(f, segment_file_id(f->segments[1]), (off_t)segment_bytes(f->segments[1]) / 2);
	start(f, "", false);
	for (; r == 0 && i < KEYS; i++) {
		stands_at(f, i % 2, i, ENTRY_INLINE);
		r = merge_next(f->merge);
	}
	assert_int_equal(r, -EBADMSG);
	assert_in_range(i, KEYS / 4, 3 * KEYS / 4);
	assert_true(segment_is_damaged(f->segments[1]));
	assert_false(segment_is_damaged(f->segments[0]));
}

static void a_damaged_first_block_is_an_error_of_adding_it(void **state)
{
	struct fixture *f = *state;

	f->segments[0] = write_segment(f, 0, 0, 1, 0);
	damage(f, segment_file_id(f->segments[0]), 300);
	remember(f, 1, 0, ENTRY_INLINE);
	assert_int_equal(merge_new(2, &f->merge), 0);
	assert_int_equal(merge_add_memtable(f->merge, f->memtable, NULL, 0), 0);
	assert_int_equal(merge_add_segment(f->merge, f->segments[0], true, NULL, 0), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_merge_of_nothing_has_ended),
		TEST(of_each_key_the_newest_version_comes_in_order),
		TEST(tombstones_come_through_and_hide_what_is_older),
		TEST(sources_that_end_early_leave_the_rest_to_the_others),
		TEST(it_starts_at_the_first_key_after_the_one_given),
		TEST(a_damaged_block_is_an_error_and_no_key_is_skipped),
		TEST(a_damaged_first_block_is_an_error_of_adding_it),
	};

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)i;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

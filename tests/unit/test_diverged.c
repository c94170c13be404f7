/* SPDX-License-Identifier: MIT */
#include "lib/cleanup.h"
#include "node/diverged.h"
#include "node/diverged_print.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t)1024 * 1024)

static const struct diverged_about about = {
	.cluster = "demo",
	.node = "s0a",
	.store_id = { 1, 2, 3 },
	.end = { 0x70001, 12 },
	.common = { 0x60001, 9 },
	.leader_epoch = 0x10000000002,
	.time_ns = 1700000000000000000,
};

struct disk {
	struct crash_vfs *crash;
	struct vfs *vfs;
	struct value_files *files;
	struct value_file *large, *empty;
};

static uint8_t byte_at(size_t at)
{
	return (uint8_t)('a' + at % 23 + at / MIB);
}

static struct value_file *write_value(struct disk *disk, size_t len)
{
	struct value_writer *writer;
	struct value_file *file;
	struct hash128 hash;
	uint64_t size;
	uint8_t *data = malloc(len + 1);
	bool utf8;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = byte_at(i);
	assert_int_equal(value_writer_new(disk->files, &writer), 0);
	assert_int_equal(value_writer_append(writer, data, len), 0);
	assert_int_equal(value_writer_finish(writer, &file, &size, &hash, &utf8), 0);
	free(data);
	return file;
}

static void set_up(struct disk *disk, uint64_t seed, size_t large)
{
	disk->crash = crash_vfs_new(seed);
	disk->vfs = crash_vfs_base(disk->crash);
	assert_int_equal(vfs_mkdir(disk->vfs, "/d"), 0);
	assert_int_equal(vfs_sync_dir(disk->vfs, "/"), 0);
	assert_int_equal(value_files_open(disk->vfs, "/d", &disk->files), 0);
	disk->large = write_value(disk, large);
	disk->empty = write_value(disk, 0);
}

static void tear_down(struct disk *disk)
{
	value_files_hold(disk->files);
	value_file_unref(disk->large);
	value_file_unref(disk->empty);
	value_files_free(disk->files);
	crash_vfs_free(disk->crash);
}

static struct entry entry_of(enum entry_kind kind, const char *key, uint64_t sequence)
{
	return (struct entry){
		.kind = kind,
		.key = (const uint8_t *)key,
		.key_len = (uint8_t)strlen(key),
		.position = 100 + sequence,
		.version = { 0x70001, sequence },
	};
}

static struct entry text_entry(const char *key, uint64_t sequence, const char *value)
{
	struct entry entry = entry_of(ENTRY_INLINE, key, sequence);

	entry.value = (const uint8_t *)value;
	entry.size_bytes = strlen(value);
	entry.content_type = "text/plain";
	entry.content_type_len = 10;
	entry.utf8 = true;
	return entry;
}

static struct entry file_entry(const char *key, uint64_t sequence, struct value_file *file,
			       size_t size)
{
	struct entry entry = entry_of(ENTRY_FILE, key, sequence);

	entry.file_id = value_file_id(file);
	entry.size_bytes = size;
	return entry;
}

/* A text, a large value, the same one again, an empty one, a tombstone. */
static int write_some(struct disk *disk, size_t large, char **ret_name)
{
	const struct {
		struct entry entry;
		struct value_file *file;
	} adds[] = {
		{ text_entry("t", 10,
			     "gr\"\xc3\xbc"
			     "n\n"),
		  NULL },
		{ file_entry("large", 11, disk->large, large), disk->large },
		{ file_entry("again", 12, disk->large, large), disk->large },
		{ file_entry("empty", 13, disk->empty, 0), disk->empty },
		{ file_entry("empty2", 14, disk->empty, 0), disk->empty },
		{ entry_of(ENTRY_TOMBSTONE, "t", 15), NULL },
	};
	struct diverged_writer *writer;
	int r = diverged_writer_new(disk->vfs, "/d", &about, &writer);

	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(adds) / sizeof(*adds); i++) {
		r = diverged_writer_add(writer, &adds[i].entry, adds[i].file);
		if (r < 0) {
			diverged_writer_abort(writer);
			return r;
		}
	}
	return diverged_writer_finish(writer, ret_name);
}

#define SOME_NAME "diverged-70001-a-f.log"

static void expect_bytes(struct diverged_reader *reader, size_t size)
{
	_cleanup_(freep) uint8_t *chunk = malloc(VALUE_CHUNK_BYTES);
	size_t at = 0;
	ssize_t n;

	assert_non_null(chunk);
	while ((n = diverged_reader_value(reader, chunk)) > 0)
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(chunk[i], byte_at(at++));
	assert_int_equal(n, 0);
	assert_int_equal(at, size);
}

/* What write_some() wrote; @values: the large ones are read too. */
static void expect_some(struct disk *disk, const char *path, size_t large, bool values)
{
	struct diverged_reader *reader;
	struct diverged_about found;
	struct entry entry;

	assert_int_equal(diverged_reader_open(disk->vfs, path, &found, &reader), 0);
	assert_string_equal(found.cluster, "demo");
	assert_string_equal(found.node, "s0a");
	assert_memory_equal(&found.end, &about.end, sizeof(found.end));
	assert_memory_equal(&found.common, &about.common, sizeof(found.common));
	assert_int_equal(found.leader_epoch, about.leader_epoch);
	assert_int_equal(found.time_ns, about.time_ns);
	for (uint64_t sequence = 10; sequence <= 15; sequence++) {
		assert_int_equal(diverged_reader_next(reader, &entry), 1);
		assert_int_equal(entry.version.epoch, 0x70001);
		assert_int_equal(entry.version.sequence, sequence);
		if (sequence == 10)
			assert_memory_equal(entry.value, "gr\"", 3);
		if (values && entry.kind == ENTRY_FILE)
			expect_bytes(reader, sequence < 13 ? large : 0);
	}
	assert_int_equal(entry.kind, ENTRY_TOMBSTONE);
	assert_int_equal(diverged_reader_next(reader, &entry), 0);
	diverged_reader_close(reader);
}

static void what_is_written_is_read_back_and_needs_nothing_beside_it(void **state)
{
	const size_t sizes[] = { 1, MIB - 1, MIB, 2 * MIB + 7 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct disk disk;
		char *name;

		set_up(&disk, 1, sizes[i]);
		assert_int_equal(write_some(&disk, sizes[i], &name), 0);
		assert_string_equal(name, SOME_NAME);
		assert_int_equal(vfs_rename(disk.vfs, "/d/" SOME_NAME, "/elsewhere"), 0);
		expect_some(&disk, "/elsewhere", sizes[i], true);
		expect_some(&disk, "/elsewhere", sizes[i], false);
		free(name);
		tear_down(&disk);
	}
}

static void without_entries_there_is_no_file(void **state)
{
	struct diverged_writer *writer;
	struct vfs_file *file;
	struct disk disk;
	char *name;

	(void)state;
	set_up(&disk, 1, 1);
	assert_int_equal(diverged_writer_new(disk.vfs, "/d", &about, &writer), 0);
	assert_int_equal(diverged_writer_finish(writer, &name), 0);
	assert_null(name);
	assert_int_equal(vfs_open(disk.vfs, "/d/diverged.tmp", VFS_READ, &file), -ENOENT);
	tear_down(&disk);
}

static void the_same_again_is_one_file_and_another_one_gets_a_number(void **state)
{
	struct entry first = text_entry("a", 10, "one"), last = text_entry("b", 15, "two");
	struct diverged_writer *writer;
	struct disk disk;
	char *name;

	(void)state;
	set_up(&disk, 1, 100);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(write_some(&disk, 100, &name), 0);
		assert_string_equal(name, SOME_NAME);
		free(name);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(diverged_writer_new(disk.vfs, "/d", &about, &writer), 0);
		assert_int_equal(diverged_writer_add(writer, &first, NULL), 0);
		assert_int_equal(diverged_writer_add(writer, &last, NULL), 0);
		assert_int_equal(diverged_writer_finish(writer, &name), 0);
		assert_string_equal(name, "diverged-70001-a-f-2.log");
		free(name);
	}
	expect_some(&disk, "/d/" SOME_NAME, 100, true);
	tear_down(&disk);
}

static bool exists(struct vfs *vfs, const char *path)
{
	struct vfs_file *file;

	if (vfs_open(vfs, path, VFS_READ, &file) < 0)
		return false;
	vfs_close(file);
	return true;
}

static void a_power_cut_at_any_call_leaves_a_whole_file_or_none(void **state)
{
	const size_t large = MIB + 5;
	bool done = false;

	(void)state;
	for (uint64_t nth = 1; !done; nth++) {
		struct disk disk;
		char *name;
		int r;

		set_up(&disk, nth, large);
		crash_vfs_cut_after(disk.crash, nth);
		r = write_some(&disk, large, &name);
		if (r == 0) {
			free(name);
			done = !crash_vfs_is_cut(disk.crash);
			crash_vfs_cut(disk.crash);
		}
		crash_vfs_restart(disk.crash);
		diverged_sweep(disk.vfs, "/d");
		assert_false(exists(disk.vfs, "/d/diverged.tmp"));
		if (r == 0)
			assert_true(exists(disk.vfs, "/d/" SOME_NAME));
		if (exists(disk.vfs, "/d/" SOME_NAME))
			expect_some(&disk, "/d/" SOME_NAME, large, true);
		tear_down(&disk);
	}
}

static void a_call_that_fails_leaves_no_file_and_the_next_attempt_works(void **state)
{
	bool failed = true;

	(void)state;
	for (uint64_t nth = 1; failed; nth++) {
		struct disk disk;
		char *name;
		int r;

		set_up(&disk, nth, 1000);
		crash_vfs_fail(disk.crash, nth, 1, ENOSPC);
		r = write_some(&disk, 1000, &name);
		failed = crash_vfs_failures(disk.crash) > 0;
		if (r == 0)
			free(name);
		crash_vfs_fail(disk.crash, 1, 0, 0);
		assert_int_equal(write_some(&disk, 1000, &name), 0);
		expect_some(&disk, "/d/" SOME_NAME, 1000, true);
		free(name);
		tear_down(&disk);
	}
}

/* Reads all; 0 only if the reader found it whole. */
static int read_all(struct disk *disk, const char *path)
{
	_cleanup_(freep) uint8_t *chunk = malloc(VALUE_CHUNK_BYTES);
	struct diverged_reader *reader;
	struct diverged_about found;
	struct entry entry;
	ssize_t n;
	int r = diverged_reader_open(disk->vfs, path, &found, &reader);

	if (r < 0)
		return r;
	while ((r = diverged_reader_next(reader, &entry)) > 0) {
		do {
			n = diverged_reader_value(reader, chunk);
		} while (n > 0);
		if (n < 0) {
			r = (int)n;
			break;
		}
	}
	diverged_reader_close(reader);
	return r;
}

static uint64_t size_of(struct vfs *vfs, const char *path)
{
	struct vfs_file *file;
	uint64_t size;

	assert_int_equal(vfs_open(vfs, path, VFS_READ, &file), 0);
	assert_int_equal(vfs_size(file, &size), 0);
	vfs_close(file);
	return size;
}

static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
	struct vfs_file *file;
	struct disk disk;
	uint64_t size;
	char *name;

	(void)state;
	set_up(&disk, 1, 50);
	assert_int_equal(write_some(&disk, 50, &name), 0);
	free(name);
	size = size_of(disk.vfs, "/d/" SOME_NAME);
	assert_int_equal(read_all(&disk, "/d/" SOME_NAME), 0);
	for (uint64_t at = 0; at < size; at++) {
		int r;

		assert_int_equal(crash_vfs_flip(disk.crash, "/d/" SOME_NAME, at, at % 8), 0);
		r = read_all(&disk, "/d/" SOME_NAME);
		if (r != -EBADMSG && r != -ENOTSUP)
			fail_msg("offset %d: %d", (int)at, r);
		assert_int_equal(crash_vfs_flip(disk.crash, "/d/" SOME_NAME, at, at % 8), 0);
	}
	assert_int_equal(vfs_open(disk.vfs, "/d/" SOME_NAME, VFS_READ | VFS_WRITE, &file), 0);
	while (size > 0) {
		assert_int_equal(vfs_truncate(file, --size), 0);
		assert_int_equal(read_all(&disk, "/d/" SOME_NAME), -EBADMSG);
	}
	vfs_close(file);
	tear_down(&disk);
}

static void flip_value(struct disk *disk, uint64_t offset)
{
	char path[64];

	snprintf(path, sizeof(path), "/d/value/%016llx.val",
		 (unsigned long long)value_file_id(disk->large));
	assert_int_equal(crash_vfs_flip(disk->crash, path, offset, 0), 0);
}

/* What diverged_print() prints about /d/SOME_NAME, line by line as JSON; its status. */
static int print(struct disk *disk, const char *values_dir, json_t **ret_lines)
{
	FILE *out = tmpfile();
	char *line = NULL;
	size_t cap = 0;
	int status;

	assert_non_null(out);
	status = diverged_print(disk->vfs, "/d/" SOME_NAME, values_dir, out);
	rewind(out);
	*ret_lines = json_array();
	while (getline(&line, &cap, out) > 0) {
		json_t *json = json_loads(line, JSON_ALLOW_NUL, NULL);

		assert_non_null(json);
		json_array_append_new(*ret_lines, json);
	}
	free(line);
	fclose(out);
	return status;
}

static const char *text_of(const json_t *lines, size_t line, const char *name)
{
	return json_string_value(json_object_get(json_array_get(lines, line), name));
}

static void lines_are_what_the_json_door_takes(void **state)
{
	struct disk disk;
	json_t *lines;
	char *name;

	(void)state;
	set_up(&disk, 1, 3 * 100);
	assert_int_equal(write_some(&disk, 300, &name), 0);
	free(name);
	assert_int_equal(print(&disk, NULL, &lines), 0);
	assert_int_equal(json_array_size(lines), 6);
	assert_string_equal(text_of(lines, 0, "key"), "74");
	assert_string_equal(text_of(lines, 0, "content_type"), "text/plain");
	assert_string_equal(text_of(lines, 0, "encoding"), "binary");
	assert_string_equal(text_of(lines, 0, "value"), "gr\"\xc3\xbc"
							"n\n");
	assert_int_equal(json_object_size(json_array_get(lines, 0)), 4);
	assert_int_equal(strlen(text_of(lines, 1, "value")), 300);
	assert_string_equal(text_of(lines, 3, "value"), "");
	assert_true(json_is_true(json_object_get(json_array_get(lines, 5), "deleted")));
	assert_int_equal(json_object_size(json_array_get(lines, 5)), 2);
	json_decref(lines);
	tear_down(&disk);
}

static void a_value_that_fits_no_line_is_written_to_a_file_of_its_own(void **state)
{
	const size_t large = 16 * MIB + 3;
	struct vfs_file *file;
	struct disk disk;
	json_t *lines;
	uint8_t data[8];
	char *name;

	(void)state;
	set_up(&disk, 1, large);
	assert_int_equal(write_some(&disk, large, &name), 0);
	free(name);
	assert_int_equal(print(&disk, NULL, &lines), 1);
	assert_int_equal(json_array_size(lines), 6);
	assert_null(text_of(lines, 1, "value_file"));
	json_decref(lines);
	assert_int_equal(print(&disk, "/out", &lines), 0);
	assert_string_equal(text_of(lines, 1, "value_file"), "/out/70001-b");
	assert_string_equal(text_of(lines, 2, "value_file"), "/out/70001-c");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 1), "size")),
			 large);
	for (int i = 0; i < 2; i++) {
		const char *path = i ? "/out/70001-c" : "/out/70001-b";

		assert_int_equal(size_of(disk.vfs, path), large);
		assert_int_equal(vfs_open(disk.vfs, path, VFS_READ, &file), 0);
		assert_int_equal(vfs_pread(file, data, 8, large - 8, 0), 8);
		for (size_t j = 0; j < 8; j++)
			assert_int_equal(data[j], byte_at(large - 8 + j));
		vfs_close(file);
	}
	json_decref(lines);
	tear_down(&disk);
}

static void a_value_that_was_damaged_is_marked_and_the_rest_is_there(void **state)
{
	const size_t large = 2 * MIB;
	struct disk disk;
	json_t *lines;
	char *name;

	(void)state;
	set_up(&disk, 1, large);
	flip_value(&disk, MIB + 1000);
	assert_int_equal(write_some(&disk, large, &name), 0);
	free(name);
	assert_int_equal(print(&disk, NULL, &lines), 1);
	assert_int_equal(json_array_size(lines), 6);
	assert_true(json_is_true(json_object_get(json_array_get(lines, 1), "damaged")));
	assert_true(json_is_true(json_object_get(json_array_get(lines, 2), "damaged")));
	assert_null(text_of(lines, 1, "value"));
	assert_string_equal(text_of(lines, 3, "value"), "");
	json_decref(lines);
	tear_down(&disk);
}

static void what_is_no_diverged_log_is_refused(void **state)
{
	struct vfs_file *file;
	struct disk disk;
	json_t *lines;

	(void)state;
	set_up(&disk, 1, 1);
	assert_int_equal(print(&disk, NULL, &lines), 2);
	json_decref(lines);
	assert_int_equal(
		vfs_open(disk.vfs, "/d/" SOME_NAME, VFS_READ | VFS_WRITE | VFS_CREATE, &file), 0);
	vfs_close(file);
	assert_int_equal(print(&disk, NULL, &lines), 2);
	json_decref(lines);
	tear_down(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back_and_needs_nothing_beside_it),
		cmocka_unit_test(without_entries_there_is_no_file),
		cmocka_unit_test(the_same_again_is_one_file_and_another_one_gets_a_number),
		cmocka_unit_test(a_power_cut_at_any_call_leaves_a_whole_file_or_none),
		cmocka_unit_test(a_call_that_fails_leaves_no_file_and_the_next_attempt_works),
		cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
		cmocka_unit_test(lines_are_what_the_json_door_takes),
		cmocka_unit_test(a_value_that_fits_no_line_is_written_to_a_file_of_its_own),
		cmocka_unit_test(a_value_that_was_damaged_is_marked_and_the_rest_is_there),
		cmocka_unit_test(what_is_no_diverged_log_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

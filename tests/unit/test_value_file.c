/* SPDX-License-Identifier: MIT */
#include "lib/bytes.h"
#include "node/checksum.h"
#include "node/value_file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static struct value_files *files;
static uint8_t chunk[VALUE_CHUNK_BYTES];

static void open_files(void)
{
	assert_int_equal(value_files_open(vfs_posix(), dir, &files), 0);
}

static void close_files(void)
{
	value_files_hold(files);
	files = value_files_free(files);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_value_file.XXXXXX");
	assert_non_null(mkdtemp(dir));
	open_files();
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	value_files_free(files);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static uint8_t byte_at(uint64_t at)
{
	return (uint8_t)('a' + (at * 7 + at / 4096) % 26);
}

static struct value_writer *new_writer(void)
{
	struct value_writer *writer;

	assert_int_equal(value_writer_new(files, &writer), 0);
	return writer;
}

static struct value_file *finish(struct value_writer *writer, uint64_t size)
{
	struct value_file *file;
	struct hash128 hash;
	uint64_t found;
	bool utf8;

	assert_int_equal(value_writer_finish(writer, &file, &found, &hash, &utf8), 0);
	assert_int_equal(found, size);
	assert_true(utf8);
	return file;
}

/* Appends in pieces of @piece. */
static struct value_file *write_value(uint64_t size, size_t piece)
{
	struct value_writer *writer = new_writer();
	uint8_t *data = malloc(piece);

	assert_non_null(data);
	for (uint64_t at = 0; at < size; at += piece) {
		size_t len = size - at < piece ? (size_t)(size - at) : piece;

		for (size_t i = 0; i < len; i++)
			data[i] = byte_at(at + i);
		assert_int_equal(value_writer_append(writer, data, len), 0);
	}
	free(data);
	return finish(writer, size);
}

static void agree(struct value_file *file, uint64_t size)
{
	uint64_t at = 0;

	for (uint64_t index = 0; at < size; index++) {
		ssize_t n = value_file_read_chunk(file, size, index, chunk, 0);

		assert_true(n > 0);
		for (ssize_t i = 0; i < n; i++)
			if (chunk[i] != byte_at(at + (uint64_t)i))
				fail_msg("byte %llu differs", (unsigned long long)at + i);
		at += (uint64_t)n;
	}
	assert_int_equal(at, size);
	assert_int_equal(value_file_read_chunk(file, size, size / VALUE_CHUNK_BYTES + 1, chunk, 0),
			 0);
}

static int exists(uint64_t id, const char *suffix)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/value/%016llx%s", dir, (unsigned long long)id, suffix);
	return access(path, F_OK) == 0;
}

static void values_of_any_size_and_pieces_come_back(void **state)
{
	static const uint64_t sizes[] = { 0,
					  1,
					  70000,
					  VALUE_CHUNK_BYTES - 1,
					  VALUE_CHUNK_BYTES,
					  VALUE_CHUNK_BYTES + 1,
					  3 * VALUE_CHUNK_BYTES + 12345 };
	static const size_t pieces[] = { 999, 65536, VALUE_CHUNK_BYTES, 5 * VALUE_CHUNK_BYTES };

	(void)state;
	for (size_t i = 0; i < 7; i++)
		for (size_t j = 0; j < 4; j++) {
			struct value_file *file = write_value(sizes[i], pieces[j]);

			agree(file, sizes[i]);
			value_file_unref(file);
		}
}

static void files_are_found_after_reopening_and_ids_go_on(void **state)
{
	struct value_file *file = write_value(100000, 4096);
	uint64_t id = value_file_id(file);

	(void)state;
	value_file_unref(file);
	close_files();
	open_files();
	assert_int_equal(value_file_get(files, id, &file), 0);
	agree(file, 100000);
	value_file_unref(file);
	file = write_value(5, 5);
	assert_int_equal(value_file_id(file), id + 1);
	value_file_unref(file);
	assert_int_equal(value_file_get(files, 5000, &file), 0);
	value_file_unref(file);
	file = write_value(5, 5);
	assert_int_equal(value_file_id(file), 5001);
	value_file_unref(file);
}

static void touch(uint64_t id)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/value/%016llx.tmp", dir, (unsigned long long)id);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void nothing_is_deleted_before_the_sweep(void **state)
{
	struct value_file *kept = write_value(100, 100), *lost = write_value(100, 100), *file;
	uint64_t kept_id = value_file_id(kept), lost_id = value_file_id(lost);
	struct value_writer *writer;

	(void)state;
	value_file_unref(lost);
	value_file_unref(kept);
	close_files();
	/* What a crash left of a writer. */
	touch(50);
	open_files();
	assert_int_equal(value_file_get(files, kept_id, &kept), 0);
	assert_int_equal(value_file_get(files, lost_id, &lost), 0);
	value_file_unref(lost);
	assert_true(exists(lost_id, ".val"));
	writer = new_writer();
	assert_int_equal(value_files_sweep(files), 0);
	assert_false(exists(lost_id, ".val"));
	assert_false(exists(50, ".tmp"));
	assert_true(exists(51, ".tmp"));
	assert_true(exists(kept_id, ".val"));
	assert_int_equal(value_files_bytes(files), FILE_HEADER_BYTES + 100 + 8);
	file = finish(writer, 0);
	assert_int_equal(value_files_bytes(files), 2 * FILE_HEADER_BYTES + 100 + 8);
	agree(kept, 100);
	value_file_unref(kept);
	assert_false(exists(kept_id, ".val"));
	assert_int_equal(value_files_bytes(files), FILE_HEADER_BYTES);
	value_file_unref(file);
}

static void a_reader_keeps_a_file_that_others_dropped(void **state)
{
	struct value_file *file, *reader;
	uint64_t id;

	(void)state;
	assert_int_equal(value_files_sweep(files), 0);
	assert_int_equal(value_files_start(files), 0);
	file = write_value(2000000, 65536);
	id = value_file_id(file);
	reader = value_file_ref(file);
	value_file_unref(file);
	agree(reader, 2000000);
	assert_true(exists(id, ".val"));
	value_file_unref(reader);
}

static void closing_deletes_nothing(void **state)
{
	struct value_file *file;
	uint64_t id;

	(void)state;
	assert_int_equal(value_files_sweep(files), 0);
	file = write_value(10, 10);
	id = value_file_id(file);
	value_files_hold(files);
	value_file_unref(file);
	assert_true(exists(id, ".val"));
}

static void more_files_than_descriptors_are_readable(void **state)
{
	struct value_file *many[300];

	(void)state;
	for (int i = 0; i < 300; i++)
		many[i] = write_value(200, 200);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++)
			agree(many[i], 200);
	for (int i = 0; i < 300; i++)
		value_file_unref(many[i]);
}

static void an_abandoned_writer_leaves_nothing(void **state)
{
	struct value_writer *writer = new_writer();

	(void)state;
	assert_int_equal(value_writer_append(writer, "hello", 5), 0);
	assert_true(exists(1, ".tmp"));
	value_writer_abort(writer);
	assert_false(exists(1, ".tmp"));
	assert_null(value_writer_abort(NULL));
}

static void flip(uint64_t id, long offset, unsigned bit)
{
	char path[128];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/value/%016llx.val", dir, (unsigned long long)id);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, offset), 1);
	byte ^= (uint8_t)(1u << bit);
	assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
	close(fd);
}

static void every_flipped_bit_is_an_error(void **state)
{
	struct value_file *file = write_value(100, 100);
	uint64_t id = value_file_id(file);

	(void)state;
	assert_non_null(freopen("/dev/null", "w", stderr));
	value_file_unref(file);
	for (long bit = 0; bit < (FILE_HEADER_BYTES + 100 + 8) * 8; bit++) {
		ssize_t n;

		flip(id, bit / 8, bit % 8);
		close_files();
		open_files();
		assert_int_equal(value_file_get(files, id, &file), 0);
		n = value_file_read_chunk(file, 100, 0, chunk, 0);
		assert_true(n == -EBADMSG || n == -ENOTSUP);
		value_file_unref(file);
		flip(id, bit / 8, bit % 8);
	}
	assert_int_equal(value_file_get(files, id, &file), 0);
	agree(file, 100);
	/* Nor does it pass for a longer or a shorter value, or while it is missing. */
	assert_int_equal(value_file_read_chunk(file, 101, 0, chunk, 0), -EBADMSG);
	assert_int_equal(value_file_read_chunk(file, 99, 0, chunk, 0), -EBADMSG);
	value_file_unref(file);
	assert_int_equal(value_file_get(files, 4711, &file), 0);
	assert_int_equal(value_file_read_chunk(file, 100, 0, chunk, 0), -EBADMSG);
	value_file_unref(file);
}

static void a_closed_file_is_not_opened_in_an_event_loop(void **state)
{
	struct value_file *file = write_value(100, 100);

	(void)state;
	assert_int_equal(value_file_read_chunk(file, 100, 0, chunk, VFS_NOWAIT), -EAGAIN);
	value_file_unref(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(values_of_any_size_and_pieces_come_back),
		T(files_are_found_after_reopening_and_ids_go_on),
		T(nothing_is_deleted_before_the_sweep),
		T(a_reader_keeps_a_file_that_others_dropped),
		T(closing_deletes_nothing),
		T(more_files_than_descriptors_are_readable),
		T(an_abandoned_writer_leaves_nothing),
		T(every_flipped_bit_is_an_error),
		T(a_closed_file_is_not_opened_in_an_event_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

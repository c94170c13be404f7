/* SPDX-License-Identifier: MIT */
#include "lib/clock.h"
#include "lib/hex.h"
#include "node/checksum.h"
#include "node/pin_token.h"
#include "node/value_dir.h"
#include "node/value_pins.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE        100000
#define DISK_BYTES  (FILE_HEADER_BYTES + SIZE + 8)
#define DEADLINE_MS 20000

static char dir[64];
static struct value_files *files;
static uint8_t data[SIZE];

static void open_files(void)
{
	assert_int_equal(value_files_open(vfs_posix(), dir, &files), 0);
}

static void begin(void)
{
	assert_int_equal(value_files_sweep(files), 0);
	assert_int_equal(value_files_start(files), 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_value_pins.XXXXXX");
	assert_non_null(mkdtemp(dir));
	memset(data, 'p', sizeof(data));
	open_files();
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	value_files_hold(files);
	value_files_free(files);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void reopen_files(void)
{
	value_files_hold(files);
	value_files_free(files);
	open_files();
}

static struct value_file *write_value(void)
{
	struct value_writer *writer;
	struct value_file *file;
	struct hash128 hash;
	uint64_t size;
	bool utf8;

	assert_int_equal(value_writer_new(files, &writer), 0);
	assert_int_equal(value_writer_append(writer, data, sizeof(data)), 0);
	assert_int_equal(value_writer_finish(writer, &file, &size, &hash, &utf8), 0);
	return file;
}

static bool exists(uint64_t id)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/value/%016llx.val", dir, (unsigned long long)id);
	return access(path, F_OK) == 0;
}

static void wait_until_gone(uint64_t id)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	while (exists(id)) {
		if (clock_monotonic_ms() > deadline)
			fail_msg("the file is still there");
		poll(NULL, 0, 5);
	}
}

static uint64_t write_pinned(uint32_t seconds)
{
	struct value_file *file = write_value();
	uint64_t id = value_file_id(file);

	if (seconds > 0)
		assert_true(value_file_pin(file, seconds));
	value_file_unref(file);
	return id;
}

static struct value_pins_stats stats_now(void)
{
	struct value_pins_stats stats;

	value_pins_stats(files, &stats);
	return stats;
}

static void agree(struct value_file *file)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];

	assert_int_equal(value_file_read_chunk(file, SIZE, 0, chunk, 0), SIZE);
	assert_memory_equal(chunk, data, SIZE);
}

static void a_pinned_file_outlives_its_last_reference_and_is_readable(void **state)
{
	struct value_file *file;
	uint64_t id, other;

	(void)state;
	begin();
	id = write_pinned(60);
	other = write_pinned(0);
	wait_until_gone(other);
	assert_true(exists(id));
	assert_int_equal(stats_now().kept_files, 1);
	assert_int_equal(stats_now().kept_bytes, DISK_BYTES);
	assert_int_equal(value_files_bytes(files), DISK_BYTES);
	assert_int_equal(value_pins_find(files, id, SIZE, &file), 0);
	assert_int_equal(stats_now().kept_files, 0);
	agree(file);
	value_file_unref(file);
	assert_true(exists(id));
	assert_int_equal(stats_now().kept_files, 1);
}

static void a_pin_ends_and_the_space_is_free(void **state)
{
	struct value_file *file;
	uint64_t id, longer;

	(void)state;
	begin();
	longer = write_pinned(60);
	id = write_pinned(1);
	wait_until_gone(id);
	assert_true(exists(longer));
	assert_int_equal(value_pins_find(files, id, SIZE, &file), -ENOENT);
	assert_int_equal(stats_now().kept_files, 1);
	assert_int_equal(value_files_bytes(files), DISK_BYTES);
}

static void a_renewed_pin_lasts_longer_and_never_shorter(void **state)
{
	struct value_file *file;
	uint64_t id, shorter;

	(void)state;
	begin();
	id = write_pinned(1);
	assert_int_equal(value_pins_find(files, id, SIZE, &file), 0);
	assert_true(value_file_pin(file, 60));
	assert_true(value_file_pin(file, 1));
	value_file_unref(file);
	shorter = write_pinned(2);
	wait_until_gone(shorter);
	assert_true(exists(id));
}

static void nothing_but_the_very_value_is_found(void **state)
{
	struct value_file *file;
	uint64_t id;

	(void)state;
	begin();
	id = write_pinned(60);
	assert_int_equal(value_pins_find(files, id + 1, SIZE, &file), -ENOENT);
	assert_int_equal(value_pins_find(files, id, SIZE - 1, &file), -ENOENT);
	assert_int_equal(value_pins_find(files, id, UINT64_MAX, &file), -ENOENT);
	assert_int_equal(value_pins_find(files, id, 0, &file), -ENOENT);
}

static void after_a_start_what_is_dead_is_kept_for_a_while(void **state)
{
	struct value_file *file, *live;
	uint64_t dead, old, young;

	(void)state;
	begin();
	dead = write_pinned(60);
	old = write_pinned(60);
	reopen_files();
	value_pins_keep_old(files, 2);
	assert_int_equal(value_file_get(files, old, &live), 0);
	begin();
	assert_int_equal(stats_now().kept_files, 1);
	assert_int_equal(value_files_bytes(files), 2 * DISK_BYTES);
	/* One that dies only now, and one that nobody can have pinned before. */
	value_file_unref(live);
	young = write_pinned(0);
	wait_until_gone(young);
	assert_true(exists(dead));
	assert_int_equal(value_pins_find(files, old, SIZE, &file), 0);
	agree(file);
	value_file_unref(file);
	/* A client that renews. */
	assert_int_equal(value_pins_find(files, dead, SIZE, &file), 0);
	assert_true(value_file_pin(file, 60));
	value_file_unref(file);
	wait_until_gone(old);
	assert_true(exists(dead));
}

static void ids_are_not_used_again(void **state)
{
	uint64_t id, next;

	(void)state;
	value_files_begin(files, UINT64_C(1) << 32);
	begin();
	id = write_pinned(0);
	assert_true(id >= UINT64_C(1) << 32);
	wait_until_gone(id);
	reopen_files();
	value_files_begin(files, UINT64_C(2) << 32);
	begin();
	next = write_pinned(0);
	assert_true(next >= UINT64_C(2) << 32);
}

static void without_room_nothing_is_renewed_but_what_was_promised_is_kept(void **state)
{
	struct value_file *file;
	uint64_t id, live;

	(void)state;
	begin();
	id = write_pinned(60);
	value_pins_press(files);
	assert_int_equal(value_pins_find(files, id, SIZE, &file), 0);
	assert_false(value_file_pin(file, 60));
	assert_int_equal(stats_now().refused, 1);
	agree(file);
	value_file_unref(file);
	assert_true(exists(id));
	/* What is alive keeps nothing from the disk. */
	live = write_pinned(60);
	assert_true(exists(live));
}

static void without_room_what_nobody_was_promised_goes_at_once(void **state)
{
	uint64_t id, promised;
	struct value_file *file;

	(void)state;
	begin();
	id = write_pinned(60);
	promised = write_pinned(60);
	reopen_files();
	value_pins_keep_old(files, 60);
	begin();
	assert_int_equal(value_pins_find(files, promised, SIZE, &file), 0);
	assert_true(value_file_pin(file, 60));
	value_file_unref(file);
	value_pins_press(files);
	wait_until_gone(id);
	assert_true(exists(promised));
}

static void beyond_the_bound_those_go_that_end_first(void **state)
{
	uint64_t ids[4];

	(void)state;
	begin();
	mutex_lock(&files->lock);
	files->kept_bytes_max = 2 * DISK_BYTES;
	mutex_unlock(&files->lock);
	ids[0] = write_pinned(50);
	ids[1] = write_pinned(30);
	ids[2] = write_pinned(60);
	wait_until_gone(ids[1]);
	ids[3] = write_pinned(40);
	wait_until_gone(ids[3]);
	assert_true(exists(ids[0]) && exists(ids[2]));
	assert_int_equal(stats_now().kept_bytes, 2 * DISK_BYTES);
}

static const uint8_t store_id[16] = { 1, 2, 3 };
static const struct key key = { .len = 3, .bytes = { 0, 0xff, 7 } };

static struct entry an_entry(void)
{
	return (struct entry){
		.kind = ENTRY_FILE,
		.utf8 = true,
		.key = key.bytes,
		.key_len = key.len,
		.version = { 0x20001, 0xabc },
		.mtime_ns = -5,
		.content_type = "text/plain",
		.content_type_len = 10,
		.encoding = "utf-8",
		.encoding_len = 5,
		.size_bytes = SIZE,
		.hash = { 3, 4 },
		.file_id = UINT64_C(1) << 40,
	};
}

static void a_token_says_all_of_its_version(void **state)
{
	struct entry entry = an_entry(), found;
	struct record_meta before, after;
	struct buf bytes = { 0 };
	char *token, *again;

	(void)state;
	token = pin_token_make(store_id, &entry);
	assert_non_null(token);
	assert_memory_equal(token, "20001-abc.", 10);
	/* However the version was written. */
	entry.position = 77;
	entry.replaced = true;
	entry.request_id.bytes[3] = 1;
	again = pin_token_make(store_id, &entry);
	assert_string_equal(token, again);
	assert_int_equal(pin_token_read(store_id, &key, token, &bytes, &found), 0);
	entry_to_meta(&entry, &before);
	entry_to_meta(&found, &after);
	assert_string_equal(before.content_type.text, after.content_type.text);
	assert_string_equal(before.encoding.text, after.encoding.text);
	assert_int_equal(version_compare(before.version, after.version), 0);
	assert_int_equal(before.mtime_ns, after.mtime_ns);
	assert_int_equal(before.size_bytes, after.size_bytes);
	assert_int_equal(before.hash.low, after.hash.low);
	assert_int_equal(before.utf8, after.utf8);
	assert_int_equal(found.file_id, entry.file_id);
	free(token);
	free(again);
	buf_deinit(&bytes);
}

static void no_other_token_is_read(void **state)
{
	static const uint8_t other_store[16] = { 1, 2, 4 };
	static const struct key other_key = { .len = 3, .bytes = { 0, 0xff, 8 } };
	const struct entry entry = an_entry();
	struct entry found;
	struct buf bytes = { 0 };
	char *token = pin_token_make(store_id, &entry);
	size_t len;

	(void)state;
	assert_non_null(token);
	len = strlen(token);
	assert_int_equal(pin_token_read(other_store, &key, token, &bytes, &found), -EBADMSG);
	assert_int_equal(pin_token_read(store_id, &other_key, token, &bytes, &found), -EBADMSG);
	for (size_t i = 10; i < len; i++) {
		char old = token[i];

		token[i] = old == '0' ? '1' : '0';
		assert_int_equal(pin_token_read(store_id, &key, token, &bytes, &found), -EBADMSG);
		token[i] = old;
	}
	for (size_t i = 0; i < len; i++) {
		char old = token[i];

		token[i] = '\0';
		assert_int_equal(pin_token_read(store_id, &key, token, &bytes, &found), -EBADMSG);
		token[i] = old;
	}
	assert_int_equal(pin_token_read(store_id, &key, token, &bytes, &found), 0);
	free(token);
	buf_deinit(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pinned_file_outlives_its_last_reference_and_is_readable),
		TEST(a_pin_ends_and_the_space_is_free),
		TEST(a_renewed_pin_lasts_longer_and_never_shorter),
		TEST(nothing_but_the_very_value_is_found),
		TEST(after_a_start_what_is_dead_is_kept_for_a_while),
		TEST(ids_are_not_used_again),
		TEST(without_room_nothing_is_renewed_but_what_was_promised_is_kept),
		TEST(without_room_what_nobody_was_promised_goes_at_once),
		TEST(beyond_the_bound_those_go_that_end_first),
		cmocka_unit_test(a_token_says_all_of_its_version),
		cmocka_unit_test(no_other_token_is_read),
	};

	return cmocka_run_group_tests_name("value_pins", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Data directories that programs of before have written (tests/golden/): this one opens them, finds
 * in them what was put there, and goes on. A change of the format that breaks that shows here; one
 * that is meant gets directories of its own, beside those:
 *   test_golden DIR             opens DIR/closed, DIR/killed and DIR/copy
 *   test_golden DIR write       makes them anew
 */
#include "lib/bytes.h"
#include "lib/hash.h"
#include "lib/log.h"
#include "node/checkpoint.h"
#include "node/checksum.h"
#include "tests/sim/fates.h"
#include "tests/sim/image.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS      24
#define VALUE_MAX 5000
#define SAID_MAX  4096

static const char *golden_dir;

/* What the store logs, which the linker sends here (see meson.build). */
static char said[SAID_MAX];

void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
{
	size_t len = strlen(said);
	va_list args;

	(void)event;
	if (level > LOG_LEVEL_WARN)
		return;
	va_start(args, format);
	vsnprintf(said + len, sizeof(said) - len, format, args);
	va_end(args);
}

static void note_problem(const char *sentence, void *state)
{
	size_t len = strlen(said);

	(void)state;
	snprintf(said + len, sizeof(said) - len, "%s\n", sentence);
}

/* Small, empty, in a block of its own, in a file. */
static size_t golden_value(unsigned key, uint8_t out[VALUE_MAX])
{
	static const size_t lens[] = { 0, 1, 40, 3000, 5000, 200 };
	size_t len = lens[key % 6];

	for (size_t i = 0; i < len; i++)
		out[i] = key % 4 ? (uint8_t)('a' + (i + key) % 26) : (uint8_t)(i * 7 + key);
	return len;
}

static bool is_deleted(unsigned key)
{
	return key % 8 == 5;
}

/* Its content type was patched. */
static bool is_patched(unsigned key)
{
	return key % 8 == 3;
}

static struct store_options golden_options(struct crash_vfs *crash)
{
	struct store_options options = fates_options(crash);

	options.memtable_bytes = 16384;
	options.inline_bytes = 4096;
	options.cluster = "golden";
	return options;
}

static void set_label(struct label *label, const char *text)
{
	label_set(label, text, strlen(text));
}

static int put_file(struct store *store, struct store_write *write, const void *data, size_t len)
{
	struct value_writer *writer;
	int r = value_writer_new(store_values(store), &writer);

	assert_int_equal(r, 0);
	assert_int_equal(value_writer_append(writer, data, len), 0);
	return value_writer_finish(writer, &write->file, &write->file_size, &write->file_hash,
				   &write->file_utf8);
}

static void submit(struct store *store, struct fate_call *call)
{
	call->write.request.request_id.bytes[0] = call->write.key.bytes[1];
	call->write.request.request_id.bytes[1] = (uint8_t)(1 + call->write.kind);
	assert_int_equal(fate_run(store, call, FATE_PRESENT, FATE_ABSENT), FATE_PRESENT);
}

static void write_key(struct store *store, unsigned key)
{
	static uint8_t data[VALUE_MAX];
	struct fate_call call;
	size_t len = golden_value(key, data);

	fate_call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	call.write.request.has_content_type = call.write.request.has_encoding = key % 2;
	set_label(&call.write.request.content_type, "text/plain");
	set_label(&call.write.request.encoding, "utf-8");
	call.write.value = data;
	call.write.value_len = len;
	if (len > 4096)
		assert_int_equal(put_file(store, &call.write, data, len), 0);
	submit(store, &call);
	if (is_patched(key)) {
		fate_call_init(&call, WRITE_PATCH, key, DURABILITY_DISK);
		call.write.request.has_content_type = true;
		set_label(&call.write.request.content_type, "text/patched");
		submit(store, &call);
	}
	if (is_deleted(key)) {
		fate_call_init(&call, WRITE_DELETE, key, DURABILITY_DISK);
		submit(store, &call);
	}
}

static const char *expected_type(unsigned key)
{
	if (is_patched(key))
		return "text/patched";
	return key % 2 ? "text/plain" : "application/octet-stream";
}

static void expect_content(struct store_record *record, unsigned key)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES], expect[VALUE_MAX];
	const uint8_t *data = store_record_inline(record);
	size_t len = golden_value(key, expect);

	assert_int_equal(record->meta.size_bytes, len);
	if (!data) {
		assert_int_equal(value_file_read_chunk(record->held.file, len, 0, chunk, 0), len);
		data = chunk;
	}
	if (len > 0)
		assert_memory_equal(data, expect, len);
	assert_true(hash128_equal(record->meta.hash, hash128(expect, len)));
}

static void expect_key(struct store *store, unsigned key)
{
	struct store_record record;
	int r = fate_get(store, key, &record);

	assert_int_equal(r, is_deleted(key) ? STORE_NOT_FOUND : 0);
	if (r == STORE_NOT_FOUND)
		return;
	expect_content(&record, key);
	assert_string_equal(record.meta.content_type.text, expected_type(key));
	assert_string_equal(record.meta.encoding.text, key % 2 ? "utf-8" : "binary");
	store_record_release(&record);
}

/* ---- what there is to open ---------------------------------------------------------------------
 */

/* Preallocated bytes go, a record's padding stays. */
static void trim_log(struct image_file *file)
{
	while (file->len > 0 && file->data[file->len - 1] == 0)
		file->len--;
	file->len = (file->len + 7) / 8 * 8;
}

/* Without ballast, which says nothing. */
static void take_to_host(struct crash_vfs *crash, const char *dir, const char *name)
{
	struct image image = image_take(crash_vfs_base(crash), dir);
	char path[512];
	size_t kept = 0;

	for (size_t i = 0; i < image.count; i++) {
		struct image_file *file = &image.files[i];

		if (strstr(file->path, ".wal"))
			trim_log(file);
		if (strcmp(file->path, "BALLAST") == 0 || strstr(file->path, "checkpoints")) {
			free(file->path);
			free(file->data);
			continue;
		}
		image.files[kept++] = *file;
	}
	image.count = kept;
	snprintf(path, sizeof(path), "%s/%s", golden_dir, name);
	image_put(&image, vfs_posix(), path);
	image_deinit(&image);
}

static void write_golden(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = golden_options(crash);
	struct checkpoint_saved saved;
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned key = 0; key < KEYS / 2; key++)
		write_key(store, key);
	store_close(store);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned key = KEYS / 2; key < KEYS; key++)
		write_key(store, key);
	take_to_host(crash, FATE_DIR, "killed");
	assert_int_equal(checkpoint_save(store, "copy", &saved), 0);
	free(saved.path);
	take_to_host(crash, FATE_DIR "/checkpoints/copy", "copy");
	store_close(store);
	take_to_host(crash, FATE_DIR, "closed");
	crash_vfs_free(crash);
}

static struct image golden_image(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", golden_dir, name);
	return image_take(vfs_posix(), path);
}

/* ---- the tests ---------------------------------------------------------------------------------
 */

static const char *const names[] = { "closed", "killed", "copy" };

static void expect_sound(struct crash_vfs *crash)
{
	said[0] = '\0';
	if (store_check(crash_vfs_base(crash), FATE_DIR, note_problem, NULL) != 0)
		fail_msg("%s", said);
}

static struct store *must_open(struct crash_vfs *crash)
{
	struct store_options options = golden_options(crash);
	struct store *store;
	char *why = NULL;

	if (fates_open(&options, &store, &why) < 0)
		fail_msg("%s", why);
	return store;
}

static void expect_golden(const char *name)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct image image = golden_image(name);
	struct store *store;

	image_put(&image, crash_vfs_base(crash), FATE_DIR);
	image_deinit(&image);
	expect_sound(crash);
	store = must_open(crash);
	for (unsigned key = 0; key < KEYS; key++)
		expect_key(store, key);
	/* It goes on. */
	assert_int_equal(fate_put(store, KEYS, DURABILITY_DISK), FATE_PRESENT);
	store_close(store);
	expect_sound(crash);
	store = must_open(crash);
	for (unsigned key = 0; key < KEYS; key++)
		expect_key(store, key);
	store_close(store);
	crash_vfs_free(crash);
}

static void directories_of_this_format_open_with_all_that_was_put_there(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++)
		expect_golden(names[i]);
}

/* The ways in which files say what they need. */
static void need_in_text(struct image_file *file)
{
	char *text = (char *)file->data, *features = strstr(text, "features 0");
	char *line = strstr(text, "\nhash ");
	char hash[17];

	assert_true(features && line);
	features[9] = '1';
	snprintf(hash, sizeof(hash), "%016" PRIx64, hash64(text, (size_t)(line + 1 - text), 0));
	memcpy(line + 6, hash, 16);
}

static void need_in_small_file(struct image_file *file)
{
	file->data[16] = 1;
	put_u64(file->data + file->len - 8, hash64(file->data, file->len - 8, 0));
}

static void need_in_log(struct image_file *file)
{
	file->data[16] = 1;
	put_u64(file->data + 504, hash64(file->data, 504, get_u64(file->data + 40)));
}

static void need_in_header(struct image_file *file)
{
	file->data[12] = 1;
	put_u64(file->data + 56, checksum(get_u64(file->data + 16), 0, file->data, 56));
}

static const struct {
	const char *file; /* its end */
	void (*need)(struct image_file *file);
	bool opens; /* and the record that needs the file is refused */
} needs[] = {
	{ "IDENTITY", need_in_text, false },      { "STANDING", need_in_text, false },
	{ "HISTORY", need_in_small_file, false }, { "REQUEST-IDS", need_in_small_file, false },
	{ ".wal", need_in_log, false },           { ".seg", need_in_header, false },
	{ "MANIFEST-", need_in_header, false },   { ".val", need_in_header, true },
};

/* A sentence that says where, and what to do. */
static void expect_refusal(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!strstr(said, slash ? slash + 1 : path))
		fail_msg("%s is not named: %s", path, said);
	if (!strstr(said, "newer hexkv") && !strstr(said, "later hexkv"))
		fail_msg("%s: it is not said what to do: %s", path, said);
}

/* All records but those in files: one must be refused, and none may be wrong. */
static void expect_a_record_refused(struct store *store)
{
	struct store_record record;
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	unsigned refused = 0;

	for (unsigned key = 0; key < KEYS; key++) {
		if (is_deleted(key) || fate_get(store, key, &record) != 0)
			continue;
		if (!store_record_inline(&record) &&
		    value_file_read_chunk(record.held.file, record.meta.size_bytes, 0, chunk, 0) <
			    0)
			refused++;
		else
			expect_content(&record, key);
		store_record_release(&record);
	}
	assert_int_equal(refused, 1);
}

static struct image_file *find_file(struct image *image, const char *name)
{
	for (size_t i = 0; i < image->count; i++)
		if (strncmp(image->files[i].path, name, strlen(name)) == 0)
			return &image->files[i];
	return image_find(image, name);
}

static void expect_unknown_refused(size_t index)
{
	struct image image = golden_image("copy");
	struct image_file *file = find_file(&image, needs[index].file);
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = golden_options(crash);
	struct store *store;
	char *why = NULL;
	int r;

	needs[index].need(file);
	image_put(&image, options.vfs, FATE_DIR);
	said[0] = '\0';
	assert_int_equal(store_check(options.vfs, FATE_DIR, note_problem, NULL), 1);
	expect_refusal(file->path);
	said[0] = '\0';
	r = fates_open(&options, &store, &why);
	assert_int_equal(r == 0, needs[index].opens);
	if (r == 0) {
		expect_a_record_refused(store);
		store_close(store);
	} else {
		note_problem(why, NULL);
	}
	expect_refusal(file->path);
	free(why);
	image_deinit(&image);
	crash_vfs_free(crash);
}

static void a_file_that_needs_what_nobody_knows_is_refused_with_a_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		expect_unknown_refused(i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_of_this_format_open_with_all_that_was_put_there),
		cmocka_unit_test(a_file_that_needs_what_nobody_knows_is_refused_with_a_sentence),
	};
	const struct CMUnitTest write[] = {
		cmocka_unit_test(write_golden),
	};

	if (argc < 2)
		return 2;
	golden_dir = argv[1];
	if (argc > 2)
		return cmocka_run_group_tests(write, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

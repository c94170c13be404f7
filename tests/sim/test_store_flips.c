/* SPDX-License-Identifier: MIT */
/*
 * Every bit of every file of a small store is flipped, one at a time. The store then opens with the
 * right records, or says which file is damaged, and the check that is made offline calls it sound
 * only if nothing is amiss: never a wrong value, never a crash.
 */
#include "lib/log.h"
#include "node/checkpoint.h"
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

#define KEYS      10
#define FILE_KEY  7 /* fate_put() */
#define VALUE_LEN 20
#define SENTENCES 4096
#define WRITES    256

/* What was written, by sequence. */
static struct {
	unsigned key;
	bool deleted;
} written[WRITES];
static uint64_t written_last;

static struct store_options flip_options(struct crash_vfs *crash)
{
	struct store_options options = fates_options(crash);

	options.memtable_bytes = 1024;
	options.cache_bytes = 0;
	return options;
}

static void note_write(unsigned key, bool deleted)
{
	assert_true(written_last + 1 < WRITES);
	written_last++;
	written[written_last].key = key;
	written[written_last].deleted = deleted;
}

/* Of the version of @key that a store whose log ends at @end holds; 0: none. */
static uint64_t sequence_at(uint64_t end, unsigned key)
{
	for (uint64_t at = end; at > 0; at--)
		if (written[at].key == key)
			return written[at].deleted ? 0 : at;
	return 0;
}

static void put_small(struct store *store, unsigned key)
{
	struct fate_call call;

	fate_call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	memset(call.data, (int)key, VALUE_LEN);
	call.write.value = call.data;
	call.write.value_len = VALUE_LEN;
	request_id_generate(&call.write.request.request_id);
	assert_int_equal(fate_run(store, &call, FATE_PRESENT, FATE_ABSENT), FATE_PRESENT);
	note_write(key, false);
	assert_int_equal(call.write.meta.version.sequence, written_last);
}

/* Records in segments, in the log, and in a file; key 0 was deleted. */
static struct store *make_store(struct crash_vfs *crash)
{
	struct store_options options = flip_options(crash);
	struct store_stats stats;
	struct store *store;
	char *why = NULL;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	written_last = 0;
	assert_int_equal(fate_put(store, FILE_KEY, DURABILITY_DISK), FATE_PRESENT);
	note_write(FILE_KEY, false);
	do {
		for (unsigned key = 0; key < KEYS; key++)
			if (key != FILE_KEY)
				put_small(store, key);
		store_stats(store, &stats);
	} while (stats.lsm.flushes < 2);
	assert_int_equal(fate_delete(store, 0, FATE_PRESENT), FATE_ABSENT);
	note_write(0, true);
	return store;
}

/* How one bit ended. */
struct verdict {
	int opened; /* 0, or what the opening said */
	bool read_error; /* a record could not be read */
	uint64_t end; /* sequence of the last write that is there */
	int checked;
	char said[SENTENCES]; /* by the check, or the opening */
};

static void note_problem(const char *sentence, void *state)
{
	struct verdict *verdict = state;
	size_t len = strlen(verdict->said);

	snprintf(verdict->said + len, sizeof(verdict->said) - len, "%s\n", sentence);
}

static struct verdict *listener;

/* What the store logs, which the linker sends here (see meson.build). */
void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void __wrap_log_write(enum log_level level, const char *event, const char *format, ...)
{
	char line[512];
	va_list args;

	(void)event;
	if (!listener || level > LOG_LEVEL_WARN)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	note_problem(line, listener);
}

/* Never a wrong value, and all that was written up to the end. */
static void read_key(struct store *store, unsigned key, struct verdict *verdict)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	uint64_t len = key == FILE_KEY ? FATE_FILE_BYTES : VALUE_LEN;
	struct store_record record;
	const uint8_t *data;
	int r = fate_get(store, key, &record);

	if (r < 0) {
		verdict->read_error = true;
		return;
	}
	assert_int_equal(r == 0, sequence_at(verdict->end, key) > 0);
	if (r == STORE_NOT_FOUND)
		return;
	assert_int_equal(record.meta.version.sequence, sequence_at(verdict->end, key));
	assert_int_equal(record.meta.size_bytes, len);
	data = store_record_inline(&record);
	if (!data && value_file_read_chunk(record.held.file, len, 0, chunk, 0) != (ssize_t)len)
		verdict->read_error = true;
	else
		for (uint64_t i = 0; i < len; i++)
			assert_int_equal(data ? data[i] : chunk[i], key);
	store_record_release(&record);
}

static struct verdict try_image(const struct image *image)
{
	struct verdict verdict = { 0 };
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = flip_options(crash);
	struct store_standing standing;
	struct store *store;
	char *why = NULL;

	image_put(image, options.vfs, FATE_DIR);
	listener = &verdict;
	verdict.checked = store_check(options.vfs, FATE_DIR, note_problem, &verdict);
	assert_true(verdict.checked >= 0);
	verdict.opened = fates_open(&options, &store, &why);
	if (verdict.opened == 0) {
		assert_int_equal(store_standing(store, &standing), 0);
		verdict.end = standing.end.sequence;
		assert_true(verdict.end <= written_last);
		for (unsigned key = 0; key < KEYS; key++)
			read_key(store, key, &verdict);
		store_close(store);
	} else {
		note_problem(why, &verdict);
	}
	listener = NULL;
	free(why);
	crash_vfs_free(crash);
	return verdict;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Of one file: how often what happened. */
struct tally {
	uint64_t refused, partly, older, harmless;
};

/* @may_be_older: the log did not end well, so that what nobody promised may be gone. */
static void flip_one(struct image *image, struct image_file *file, size_t bit, bool may_be_older,
		     struct tally *tally)
{
	struct verdict verdict;
	bool amiss, older;

	file->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	verdict = try_image(image);
	file->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	amiss = verdict.opened < 0 || verdict.read_error;
	older = verdict.opened == 0 && verdict.end < written_last;
	if ((amiss && verdict.checked == 0) ||
	    (amiss && !strstr(verdict.said, base_name(file->path))) || (older && !may_be_older)) {
		print_message("%s, byte %zu, bit %zu: open %d, check %d, read error %d, end "
			      "%" PRIu64 "\n%s",
			      file->path, bit / 8, bit % 8, verdict.opened, verdict.checked,
			      verdict.read_error, verdict.end, verdict.said);
		fail();
	}
	tally->refused += verdict.opened < 0;
	tally->partly += verdict.read_error;
	tally->older += older;
	tally->harmless += !amiss && !older;
}

static void flip_file(struct image *image, struct image_file *file, bool may_be_older)
{
	struct tally tally = { 0 };

	for (size_t bit = 0; bit < 8 * file->len; bit++)
		flip_one(image, file, bit, may_be_older, &tally);
	print_message("%s: %zu bits, refused %" PRIu64 ", some records %" PRIu64 ", older %" PRIu64
		      ", harmless %" PRIu64 "\n",
		      file->path, 8 * file->len, tally.refused, tally.partly, tally.older,
		      tally.harmless);
}

static void a_flipped_bit_of_a_closed_store_is_an_error_or_harmless(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct image image;

	(void)state;
	store_close(make_store(crash));
	image = image_take(crash_vfs_base(crash), FATE_DIR);
	for (size_t i = 0; i < image.count; i++)
		if (!image.files[i].is_dir && strcmp(image.files[i].path, "BALLAST") != 0)
			flip_file(&image, &image.files[i], false);
	image_deinit(&image);
	crash_vfs_free(crash);
}

static void one_of_a_log_that_was_not_closed_may_cost_what_nobody_promised(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = make_store(crash);
	struct image image;
	struct image_file *log;

	(void)state;
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_revive(crash);
	image = image_take(crash_vfs_base(crash), FATE_DIR);
	log = image_find(&image, ".wal");
	while (log->data[log->len - 1] == 0)
		log->len--;
	log->len = (log->len + 7) / 8 * 8; /* a record's padding counts */
	flip_file(&image, log, true);
	image_deinit(&image);
	crash_vfs_free(crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flipped_bit_of_a_closed_store_is_an_error_or_harmless),
		cmocka_unit_test(one_of_a_log_that_was_not_closed_may_cost_what_nobody_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

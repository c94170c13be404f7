/* SPDX-License-Identifier: MIT */
/*
 * Every bit of every file of a small store is flipped, one at a time. The store then opens with the
 * right records, or says which file is damaged, and the check that is made offline calls it sound
 * only if nothing is amiss: never a wrong value, never a crash.
 */
#include "node/checkpoint.h"
#include "tests/sim/fates.h"
#include "tests/sim/small_store.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Records in segments, in the log, and in a file; key 0 was deleted. */
static struct store *make_store(struct crash_vfs *crash)
{
	struct store *store = small_store_new(crash);
	struct store_stats stats;

	small_store_put_file(store, SMALL_FILE_KEY);
	small_store_put_file(store, SMALL_EMPTY_KEY);
	do {
		for (unsigned key = 0; key < SMALL_FILE_KEY; key++)
			small_store_put(store, key);
		store_stats(store, &stats);
	} while (stats.lsm.flushes < 2);
	small_store_delete(store, 0);
	return store;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Files that are read a part at a time. Of the small ones that are read whole only the name helps.
 */
static bool has_places(const char *path)
{
	return strstr(path, ".wal") || strstr(path, ".seg") || strstr(path, ".val") ||
	       strstr(path, "MANIFEST-");
}

/* A line that names the file, and an offset that leads to the byte: that of the part it is in. */
static bool is_named(const char *said, const char *path, size_t byte)
{
	const char *name = base_name(path);

	for (const char *at = said; (at = strstr(at, name)); at++) {
		const char *end = strchr(at, '\n'), *offset = strstr(at, "offset");
		unsigned long place;

		if (!has_places(path))
			return true;
		if (offset && offset < end && sscanf(offset, "offset%*1[= ]%lu", &place) == 1 &&
		    place <= byte)
			return true;
	}
	return false;
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
	verdict = small_store_try(image);
	file->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	amiss = verdict.opened < 0 || verdict.read_error;
	older = verdict.opened == 0 && verdict.end < small_store_last();
	if ((amiss && verdict.checked == 0) ||
	    (amiss && !is_named(verdict.said, file->path, bit / 8)) || (older && !may_be_older)) {
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

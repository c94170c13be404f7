/* SPDX-License-Identifier: MIT */
/*
 * Each file of a store is taken away, emptied, and cut short, one at a time. The check that is made
 * offline then says which it is, or nothing is lost: the store opens with all that was written.
 */
#include "node/checkpoint.h"
#include "node/diverged.h"
#include "tests/sim/fates.h"
#include "tests/sim/small_store.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum harm { TAKE_AWAY, EMPTY, HALVE, SHORTEN, HARMS };

static const char *const harm_names[] = { "taken away", "emptied", "halved", "a byte shorter" };

/* Sequence of the last write that the checkpoint holds. */
static uint64_t copied_last;

static void put_all(struct store *store)
{
	for (unsigned key = 0; key < SMALL_FILE_KEY; key++)
		small_store_put(store, key);
}

static void flush(struct store *store, uint64_t flushes)
{
	struct store_stats stats;

	do {
		put_all(store);
		store_stats(store, &stats);
	} while (stats.lsm.flushes < flushes);
}

/* As if the shard had gone on without one of the records. */
static void save_diverged(struct store *store, struct vfs *vfs)
{
	static const struct diverged_about about = { .cluster = "sim", .node = "n1" };
	struct diverged_writer *writer;
	struct store_record record;
	char *name;

	assert_int_equal(fate_get(store, SMALL_FILE_KEY, &record), 0);
	assert_int_equal(diverged_writer_new(vfs, FATE_DIR, &about, &writer), 0);
	assert_int_equal(diverged_writer_add(writer, &record.held.entry, record.held.file), 0);
	assert_int_equal(diverged_writer_finish(writer, &name), 0);
	store_record_release(&record);
	free(name);
}

/* Several segments and several log files; values in files that segments name, and that only the
 * log does; a checkpoint, and a diverged log. */
static struct store *make_store(struct crash_vfs *crash)
{
	struct store *store = small_store_new(crash);
	struct checkpoint_saved saved;

	small_store_put_file(store, SMALL_FILE_KEY);
	small_store_put_file(store, SMALL_EMPTY_KEY);
	flush(store, 2);
	small_store_delete(store, 0);
	assert_int_equal(checkpoint_save(store, "kept", &saved), 0);
	free(saved.path);
	copied_last = small_store_last();
	save_diverged(store, crash_vfs_base(crash));
	store_close(store);
	store = small_store_open(crash);
	flush(store, 1);
	store_close(store);
	store = small_store_open(crash);
	flush(store, 1);
	small_store_put(store, 1);
	small_store_put_file(store, SMALL_LATE_KEY);
	return store;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void harm_file(struct image *image, size_t index, enum harm harm)
{
	struct image_file *file = &image->files[index];

	if (harm == TAKE_AWAY) {
		memmove(file, file + 1, (image->count - index - 1) * sizeof(*file));
		image->count--;
	} else {
		file->len = harm == EMPTY ? 0 : harm == HALVE ? file->len / 2 : file->len - 1;
	}
}

static void heal_file(struct image *image, size_t index, enum harm harm, struct image_file whole)
{
	struct image_file *file = &image->files[index];

	if (harm == TAKE_AWAY) {
		memmove(file + 1, file, (image->count - index) * sizeof(*file));
		image->count++;
	}
	*file = whole;
}

/* The copy by itself opens with all it held. */
static bool copy_is_whole(const struct image *image)
{
	const char *prefix = "checkpoints/kept/";
	struct verdict verdict;
	struct image copy = { .files = calloc(image->count + 1, sizeof(*copy.files)) };

	assert_non_null(copy.files);
	for (size_t i = 0; i < image->count; i++) {
		if (strncmp(image->files[i].path, prefix, strlen(prefix)) != 0)
			continue;
		copy.files[copy.count] = image->files[i];
		copy.files[copy.count++].path += strlen(prefix);
	}
	verdict = small_store_try(&copy);
	free(copy.files);
	return verdict.opened == 0 && !verdict.read_error && verdict.end == copied_last;
}

/* @may_be_older: what nobody promised may go with the end of the file. */
static bool harm_is_known(struct image *image, size_t index, enum harm harm, bool may_be_older)
{
	struct image_file whole = image->files[index];
	struct verdict verdict;
	bool in_copy = strncmp(whole.path, "checkpoints/", 12) == 0;
	bool diverged = strncmp(whole.path, "diverged-", 9) == 0;
	bool known;

	harm_file(image, index, harm);
	verdict = small_store_try(image);
	if (verdict.checked == 1)
		known = strstr(verdict.said, base_name(whole.path)) != NULL;
	else
		known = verdict.opened == 0 && !verdict.read_error &&
			(verdict.end == small_store_last() || (may_be_older && harm >= HALVE)) &&
			(!in_copy || copy_is_whole(image)) && (!diverged || harm == TAKE_AWAY);
	if (!known)
		print_message("%s %s: open %d, check %d, read error %d, end %" PRIu64 " of %" PRIu64
			      "\n%s",
			      whole.path, harm_names[harm], verdict.opened, verdict.checked,
			      verdict.read_error, verdict.end, small_store_last(), verdict.said);
	heal_file(image, index, harm, whole);
	return known;
}

/* @log: the name of one that was not closed. */
static void harm_each(struct image *image, const char *log)
{
	unsigned unknown = 0, files = 0;

	assert_int_equal(small_store_try(image).checked, 0);
	for (size_t i = 0; i < image->count; i++) {
		if (image->files[i].is_dir)
			continue;
		files++;
		for (enum harm harm = TAKE_AWAY; harm < HARMS; harm++)
			if (harm == TAKE_AWAY || image->files[i].len > 0)
				unknown += !harm_is_known(
					image, i, harm,
					log && strcmp(image->files[i].path, log) == 0);
	}
	print_message("%u files\n", files);
	assert_int_equal(unknown, 0);
}

static void a_file_that_is_missing_or_short_is_named_or_not_needed(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct image image;

	(void)state;
	store_close(make_store(crash));
	image = image_take(crash_vfs_base(crash), FATE_DIR);
	harm_each(&image, NULL);
	image_deinit(&image);
	crash_vfs_free(crash);
}

static void so_is_one_of_a_store_that_was_killed(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = make_store(crash);
	struct image image;

	(void)state;
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_revive(crash);
	image = image_take(crash_vfs_base(crash), FATE_DIR);
	harm_each(&image, "log/00000003.wal");
	image_deinit(&image);
	crash_vfs_free(crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_is_missing_or_short_is_named_or_not_needed),
		cmocka_unit_test(so_is_one_of_a_store_that_was_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

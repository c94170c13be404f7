/* SPDX-License-Identifier: MIT */
/* The merge tree as threads see it, and what it says when files are damaged. Agreement with a model
 * is test_lsm_model.c's part, power cuts and failing calls tests/sim/test_lsm.c's. */
#include "lib/bytes.h"
#include "lib/clock.h"
#include "node/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KEYS 500

struct fixture {
	char dir[64];
	struct lsm_options options;
	struct lsm *lsm;
	uint64_t position;
	uint64_t flushed;
	_Atomic uint64_t newest[KEYS]; /* at least this position is visible */
	atomic_bool stop;
	atomic_int sync_error;
};

static int sync_log(void *state, uint64_t position)
{
	struct fixture *f = state;

	(void)position;
	return atomic_load(&f->sync_error);
}

static void open_tree(struct fixture *f)
{
	assert_int_equal(value_files_open(f->options.vfs, f->dir, &f->options.values), 0);
	assert_int_equal(lsm_open(&f->options, &f->lsm, &f->flushed), 0);
	assert_int_equal(lsm_sweep(f->lsm), 0);
	assert_int_equal(value_files_sweep(f->options.values), 0);
}

static void close_tree(struct fixture *f)
{
	f->lsm = lsm_free(f->lsm);
	f->options.values = value_files_free(f->options.values);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_lsm.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->options = (struct lsm_options){ .vfs = vfs_posix(),
					   .dir = f->dir,
					   .memtable_bytes = 16384,
					   .cache_bytes = 1 << 18,
					   .threads = true,
					   .sync_log = sync_log,
					   .state = f };
	open_tree(f);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	close_tree(f);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static uint8_t key_of(unsigned number, char key[16])
{
	return (uint8_t)snprintf(key, 16, "%05u", number);
}

/* The value repeats the position. */
static int put(struct fixture *f, unsigned number, size_t words)
{
	uint64_t value[1024];
	char key[16];
	struct entry entry = { .kind = ENTRY_INLINE,
			       .key = (uint8_t *)key,
			       .key_len = key_of(number, key),
			       .position = ++f->position,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = words * 8,
			       .value = (uint8_t *)value };
	int r;

	for (size_t i = 0; i < words; i++)
		value[i] = entry.position;
	r = lsm_apply(f->lsm, &entry, 1);
	if (r == 0)
		atomic_store(&f->newest[number % KEYS], entry.position);
	return r;
}

/* What is read is whole and not older than what was visible before the question. */
static void check_one(struct fixture *f, unsigned number)
{
	uint64_t visible = atomic_load(&f->newest[number]);
	struct lsm_entry found;
	char key[16];
	int r = lsm_get(f->lsm, key, key_of(number, key), 0, &found);

	if (r == LSM_NOT_FOUND) {
		assert_int_equal(visible, 0);
		return;
	}
	assert_int_equal(r, 0);
	assert_true(found.entry.position >= visible);
	for (size_t i = 0; i < found.entry.size_bytes; i += 8) {
		uint64_t word;

		memcpy(&word, found.entry.value + i, sizeof(word));
		assert_int_equal(word, found.entry.position);
	}
	lsm_entry_release(&found);
}

static void *read_until_stopped(void *state)
{
	struct fixture *f = state;
	unsigned seed = 1;

	while (!atomic_load(&f->stop)) {
		seed = seed * 1103515245 + 12345;
		check_one(f, seed / 65536 % KEYS);
	}
	return NULL;
}

struct listing {
	char last[16];
	unsigned names;
};

static int see(const struct entry *entry, void *state)
{
	struct listing *listing = state;

	assert_int_equal(entry->key_len, 5);
	assert_true(memcmp(listing->last, entry->key, 5) < 0);
	memcpy(listing->last, entry->key, 5);
	listing->names++;
	return 0;
}

static unsigned list_all(struct fixture *f)
{
	struct listing listing = { .names = 0 };
	struct key last = { 0 };
	bool more = true;

	while (more)
		assert_int_equal(lsm_list(f->lsm, &last, 40, see, &listing, &more, &last), 0);
	return listing.names;
}

static void *list_until_stopped(void *state)
{
	struct fixture *f = state;
	struct lsm_stats stats;
	unsigned names = 0;

	while (!atomic_load(&f->stop)) {
		unsigned now = list_all(f);

		assert_true(now >= names);
		names = now;
		lsm_stats(f->lsm, &stats);
	}
	return NULL;
}

static void readers_and_listers_see_every_write_whole(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[3];
	struct lsm_stats stats;

	assert_int_equal(pthread_create(&threads[0], NULL, read_until_stopped, f), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, read_until_stopped, f), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, list_until_stopped, f), 0);
	for (unsigned i = 0; i < 12000; i++)
		assert_int_equal(put(f, i * 7919 % KEYS, i % 97 == 0 ? 1000 : i % 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	atomic_store(&f->stop, true);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(list_all(f), KEYS);
	lsm_stats(f->lsm, &stats);
	assert_true(stats.flushes > 0 && stats.compactions > 0);
	assert_int_equal(stats.background_error, 0);
	assert_true(stats.runs <= 24);
}

static void a_tree_without_room_answers_and_recovers(void **state)
{
	struct fixture *f = *state;
	struct lsm_stats stats;
	int r = 0;

	atomic_store(&f->sync_error, -EIO);
	for (unsigned i = 0; i < 100000 && r == 0; i++)
		r = put(f, i % KEYS, 20);
	assert_int_equal(r, -EIO);
	lsm_stats(f->lsm, &stats);
	assert_int_equal(stats.background_error, -EIO);
	assert_true(stats.sealed_bytes >= 64 * f->options.memtable_bytes);
	for (unsigned i = 0; i < KEYS; i++)
		check_one(f, i);
	atomic_store(&f->sync_error, 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(put(f, 1, 20), 0);
	lsm_stats(f->lsm, &stats);
	assert_int_equal(stats.background_error, 0);
	assert_int_equal(stats.sealed_memtables, 0);
	for (unsigned i = 0; i < KEYS; i++)
		check_one(f, i);
}

static void a_record_that_is_held_outlives_its_tree_of_files(void **state)
{
	struct fixture *f = *state;
	struct lsm_entry in_memory, in_segment;
	char key[16];

	assert_int_equal(put(f, 1, 10), 0);
	assert_int_equal(lsm_get(f->lsm, key, key_of(1, key), 0, &in_memory), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(lsm_get(f->lsm, key, key_of(1, key), 0, &in_segment), 0);
	for (unsigned i = 0; i < 5000; i++)
		assert_int_equal(put(f, i % KEYS, 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(in_memory.entry.position, 1);
	assert_int_equal(in_segment.entry.position, 1);
	assert_memory_equal(in_memory.entry.value, in_segment.entry.value, 80);
	lsm_entry_release(&in_memory);
	lsm_entry_release(&in_segment);
}

#define VALUE_BYTES 100000

/* A value file, as what was written last at @number. Its id. */
static uint64_t put_value(struct fixture *f, unsigned number)
{
	static uint8_t data[VALUE_BYTES];
	char key[16];
	struct entry entry = { .kind = ENTRY_FILE,
			       .key = (uint8_t *)key,
			       .key_len = key_of(number, key),
			       .position = ++f->position,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1 };
	struct value_writer *writer;
	struct value_file *file;

	assert_int_equal(value_writer_new(f->options.values, &writer), 0);
	assert_int_equal(value_writer_append(writer, data, sizeof(data)), 0);
	assert_int_equal(
		value_writer_finish(writer, &file, &entry.size_bytes, &entry.hash, &entry.utf8), 0);
	entry.file_id = value_file_id(file);
	assert_int_equal(lsm_apply(f->lsm, &entry, 1), 0);
	value_file_unref(file);
	return entry.file_id;
}

static void wait_for_value_bytes(struct fixture *f, uint64_t most)
{
	uint64_t deadline = clock_monotonic_ms() + 20000;

	while (value_files_bytes(f->options.values) > most) {
		assert_true(clock_monotonic_ms() < deadline);
		usleep(1000);
	}
}

static void dead_value_files_go_with_the_runs_that_name_them(void **state)
{
	struct fixture *f = *state;
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct lsm_stats stats;
	struct lsm_entry held;
	uint64_t id, large;
	char key[16];

	/* An old run, larger than the value, that names nothing dead. */
	f->options.memtable_bytes = 1 << 20;
	close_tree(f);
	open_tree(f);
	for (unsigned i = 2; i < 300; i++)
		assert_int_equal(put(f, i, 100), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	lsm_stats(f->lsm, &stats);
	large = stats.segment_bytes;
	assert_true(large > VALUE_BYTES);
	id = put_value(f, 1);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(lsm_get(f->lsm, key, key_of(1, key), 0, &held), 0);
	assert_int_equal(put(f, 1, 1), 0);
	assert_false(lsm_has_dead(f->lsm));
	lsm_note_dead(f->lsm, id, VALUE_BYTES, f->position);
	assert_int_equal(lsm_reclaim(f->lsm, 0, false), 0);
	while (lsm_has_dead(f->lsm)) {
		assert_true(clock_monotonic_ms() < deadline);
		usleep(1000);
	}
	/* The reader has it yet. */
	assert_true(value_files_bytes(f->options.values) > VALUE_BYTES);
	lsm_entry_release(&held);
	wait_for_value_bytes(f, 0);
	lsm_stats(f->lsm, &stats);
	assert_int_equal(stats.runs, 2);
	assert_true(stats.compacted_bytes < large);
	check_one(f, 1);
}

static void a_merge_that_writes_more_than_it_frees_waits(void **state)
{
	struct fixture *f = *state;
	struct lsm_stats stats;
	unsigned asks = 0;
	uint64_t id;

	f->options.memtable_bytes = 1 << 20;
	f->options.threads = false;
	close_tree(f);
	open_tree(f);
	id = put_value(f, 1);
	for (unsigned i = 2; i < KEYS; i++)
		assert_int_equal(put(f, i, 100), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(put(f, 1, 1), 0);
	lsm_note_dead(f->lsm, id, VALUE_BYTES, f->position);
	assert_int_equal(lsm_flush(f->lsm), 0);
	lsm_stats(f->lsm, &stats);
	assert_in_range(stats.segment_bytes, 3 * VALUE_BYTES, 6 * VALUE_BYTES);
	for (; value_files_bytes(f->options.values) > 0; asks++) {
		assert_true(asks < 10);
		assert_int_equal(lsm_reclaim(f->lsm, 0, false), 0);
	}
	assert_true(asks >= 3);
	check_one(f, 1);
}

static int keep_segment(const char *name, void *state)
{
	if (strstr(name, ".seg"))
		snprintf(state, 64, "%s", name);
	return 0;
}

static void ignore(const char *sentence, void *state)
{
	(void)sentence;
	++*(int *)state;
}

static void a_damaged_block_is_an_error_and_never_an_absent_record(void **state)
{
	struct fixture *f = *state;
	char name[64] = "", path[160], key[16];
	struct lsm_entry found;
	struct lsm_stats stats;
	int errors = 0, faults = 0, fd;

	f->options.cache_bytes = 0;
	close_tree(f);
	open_tree(f);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(put(f, i, 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(vfs_list(f->options.vfs, f->dir, keep_segment, name), 0);
	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "oops", 4, 300), 4);
	close(fd);
	for (unsigned i = 0; i < 60; i++) {
		int r = lsm_get(f->lsm, key, key_of(i, key), 0, &found);

		assert_true(r == 0 || r == -EBADMSG);
		errors += r < 0;
		if (r == 0)
			lsm_entry_release(&found);
	}
	assert_true(errors > 0);
	lsm_stats(f->lsm, &stats);
	assert_true(stats.damaged_blocks > 0);
	assert_int_equal(lsm_check(f->lsm, ignore, &faults), 1);
	assert_true(faults > 0);
	/* Writing goes on, and what is written is read. */
	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(put(f, i % KEYS, 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	for (unsigned i = 0; i < KEYS; i++)
		check_one(f, i);
}

static struct vfs_file *_Atomic bad_file;

static int open_noting_the_first_segment(struct vfs *vfs, const char *path, unsigned flags,
					 struct vfs_file **ret_file)
{
	int r = vfs_posix()->ops->open(vfs, path, flags, ret_file);

	if (r == 0 && flags == VFS_READ && strstr(path, "/0000000000000001.seg"))
		bad_file = *ret_file;
	return r;
}

static ssize_t read_but_the_first_block(struct vfs_file *file, void *data, size_t len,
					uint64_t offset, unsigned flags)
{
	if (file == bad_file && offset == 64)
		return -EIO;
	return vfs_posix()->ops->pread(file, data, len, offset, flags);
}

static void a_sector_that_cannot_be_read_stops_no_writes(void **state)
{
	struct fixture *f = *state;
	struct vfs_ops ops = *vfs_posix()->ops;
	struct vfs vfs = { .ops = &ops };
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct lsm_stats stats;
	struct lsm_entry found;
	char key[16];

	ops.open = open_noting_the_first_segment;
	ops.pread = read_but_the_first_block;
	close_tree(f);
	f->options.vfs = &vfs;
	f->options.cache_bytes = 0;
	open_tree(f);
	for (unsigned i = 0; i < 80; i++) {
		assert_int_equal(put(f, i, 20), 0);
		assert_int_equal(lsm_flush(f->lsm), 0);
	}
	assert_non_null(bad_file);
	assert_int_equal(lsm_get(f->lsm, key, key_of(0, key), 0, &found), -EIO);
	for (unsigned i = 1; i < 80; i++)
		check_one(f, i);
	/* The others are merged in the end. */
	do {
		lsm_stats(f->lsm, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	} while (stats.runs > 12);
	assert_true(stats.damaged_blocks > 0);
	close_tree(f);
	f->options.vfs = vfs_posix();
	open_tree(f);
}

static atomic_bool hold_next_merge, merge_is_held, may_merge;

static int open_and_hold(struct vfs *vfs, const char *path, unsigned flags,
			 struct vfs_file **ret_file)
{
	if ((flags & VFS_CREATE) && strstr(path, ".seg") &&
	    atomic_exchange(&hold_next_merge, false)) {
		atomic_store(&merge_is_held, true);
		while (!atomic_load(&may_merge))
			usleep(1000);
	}
	return vfs_posix()->ops->open(vfs, path, flags, ret_file);
}

/* Nothing reads it, so that there need be no such file. */
static void put_file(struct fixture *f, unsigned number, uint64_t file_id)
{
	char key[16];
	struct entry entry = { .kind = ENTRY_FILE,
			       .key = (uint8_t *)key,
			       .key_len = key_of(number, key),
			       .position = ++f->position,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = 1,
			       .file_id = file_id };

	assert_int_equal(lsm_apply(f->lsm, &entry, 1), 0);
}

static void space_may_be_asked_for_while_it_is_being_freed(void **state)
{
	struct fixture *f = *state;
	struct vfs_ops ops = *vfs_posix()->ops;
	struct vfs vfs = { .ops = &ops };
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct lsm_stats stats;

	ops.open = open_and_hold;
	close_tree(f);
	f->options.vfs = &vfs;
	open_tree(f);
	put_file(f, 1, 101);
	put_file(f, 2, 102);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(put(f, 1, 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	atomic_store(&hold_next_merge, true);
	lsm_note_dead(f->lsm, 101, 1 << 30, f->position);
	assert_int_equal(lsm_reclaim(f->lsm, 0, false), 0);
	while (!atomic_load(&merge_is_held))
		assert_true(clock_monotonic_ms() < deadline);
	/* Too little to be worth it at once. */
	assert_int_equal(put(f, 2, 20), 0);
	lsm_note_dead(f->lsm, 102, 100, f->position);
	assert_int_equal(lsm_reclaim(f->lsm, 0, false), 0);
	do {
		lsm_stats(f->lsm, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	} while (stats.flushes < 3);
	atomic_store(&may_merge, true);
	/* Asking often enough frees it in the end; the thread gets a chance to see each. */
	while (lsm_has_dead(f->lsm)) {
		for (int i = 0; i < 1000; i++)
			lsm_stats(f->lsm, &stats);
		assert_true(clock_monotonic_ms() < deadline);
		assert_int_equal(lsm_reclaim(f->lsm, 0, false), 0);
	}
	check_one(f, 1);
	check_one(f, 2);
	close_tree(f);
	f->options.vfs = vfs_posix();
	open_tree(f);
}

/* The second segment file that is made is held at its first write until go_on, and at its second
 * while it is still so. */
static struct vfs_file *slow_file;
static atomic_uint files_made, slow_writes;
static atomic_bool go_on;

static int open_slow_file(struct vfs *vfs, const char *path, unsigned flags,
			  struct vfs_file **ret_file)
{
	int r = vfs_posix()->ops->open(vfs, path, flags, ret_file);

	if (r == 0 && (flags & VFS_CREATE) && strstr(path, ".seg") &&
	    atomic_fetch_add(&files_made, 1) == 1)
		slow_file = *ret_file;
	return r;
}

static int write_slowly(struct vfs_file *file, const struct iovec *parts, int count,
			uint64_t offset)
{
	uint64_t deadline = clock_monotonic_ms() + 20000;

	if (file == slow_file && atomic_load(&slow_writes) < 2) {
		bool first = atomic_fetch_add(&slow_writes, 1) == 0;

		while (atomic_load(&go_on) != first && clock_monotonic_ms() < deadline)
			usleep(1000);
	}
	return vfs_posix()->ops->pwritev(file, parts, count, offset);
}

static void wait_until(struct fixture *f, bool (*is_so)(const struct lsm_stats *stats))
{
	uint64_t deadline = clock_monotonic_ms() + 20000;
	struct lsm_stats stats;

	do {
		usleep(1000);
		lsm_stats(f->lsm, &stats);
		assert_true(clock_monotonic_ms() < deadline);
	} while (!is_so(&stats));
}

static bool merge_has_begun(const struct lsm_stats *stats)
{
	(void)stats;
	return atomic_load(&slow_writes) == 1;
}

/* The large merge itself is not among those that are counted yet. */
static bool newer_runs_are_merged(const struct lsm_stats *stats)
{
	return stats->compactions == 1 && stats->runs < 3 + 8 && atomic_load(&slow_writes) == 2;
}

static bool all_is_merged(const struct lsm_stats *stats)
{
	return stats->compactions > 1 && stats->runs <= 10;
}

static void runs_are_merged_while_a_large_merge_goes_on(void **state)
{
	struct fixture *f = *state;
	struct vfs_ops ops = *vfs_posix()->ops;
	struct vfs vfs = { .ops = &ops };

	close_tree(f);
	f->options.memtable_bytes = 4 << 20;
	open_tree(f);
	for (unsigned run = 0; run < 2; run++) {
		for (unsigned i = 0; i < KEYS; i++)
			assert_int_equal(put(f, i, 250), 0);
		assert_int_equal(lsm_flush(f->lsm), 0);
	}
	close_tree(f);
	ops.open = open_slow_file;
	ops.pwritev = write_slowly;
	f->options.vfs = &vfs;
	f->options.memtable_bytes = 32768;
	open_tree(f);
	/* Besides a third one the others have grown too large. */
	assert_int_equal(put(f, 0, 20), 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	wait_until(f, merge_has_begun);
	for (unsigned i = 1; i <= 8; i++) {
		assert_int_equal(put(f, i, 20), 0);
		assert_int_equal(lsm_flush(f->lsm), 0);
	}
	atomic_store(&go_on, true);
	wait_until(f, newer_runs_are_merged);
	atomic_store(&go_on, false);
	wait_until(f, all_is_merged);
	for (unsigned i = 0; i < KEYS; i++)
		check_one(f, i);
	close_tree(f);
	f->options.vfs = vfs_posix();
	open_tree(f);
	for (unsigned i = 0; i < KEYS; i++)
		check_one(f, i);
}

static void delete_at(struct fixture *f, unsigned number, struct version version)
{
	char key[16];
	struct entry entry = { .kind = ENTRY_TOMBSTONE,
			       .key = (uint8_t *)key,
			       .key_len = key_of(number, key),
			       .position = ++f->position,
			       .version = version };

	assert_int_equal(lsm_apply(f->lsm, &entry, 1), 0);
}

static int count_tombstone(const struct entry *entry, void *state)
{
	*(unsigned *)state += entry->kind == ENTRY_TOMBSTONE;
	return 0;
}

/* Merges everything, which takes a few runs. */
static unsigned tombstones_after_merge(struct fixture *f)
{
	struct key first = { 0 }, last;
	struct lsm_stats stats;
	unsigned count = 0;
	bool more;

	do {
		assert_int_equal(put(f, 1, 1), 0);
		assert_int_equal(lsm_flush(f->lsm), 0);
		lsm_stats(f->lsm, &stats);
	} while (stats.runs > 1);
	assert_int_equal(lsm_scan(f->lsm, &first, KEYS, count_tombstone, &count, &more, &last), 0);
	return count;
}

static void a_deletion_stays_until_others_are_known_to_have_it(void **state)
{
	struct fixture *f = *state;

	close_tree(f);
	f->options.threads = false;
	f->options.keeps_deletions = true;
	open_tree(f);
	assert_int_equal(put(f, 2, 1), 0);
	assert_int_equal(put(f, 3, 1), 0);
	delete_at(f, 2, (struct version){ 7, 10 });
	delete_at(f, 3, (struct version){ 7, 11 });
	assert_int_equal(tombstones_after_merge(f), 2);
	lsm_deletions_are_known(f->lsm, (struct version){ 7, 10 });
	assert_int_equal(tombstones_after_merge(f), 1);
	lsm_deletions_are_known(f->lsm, (struct version){ 8, 1 });
	assert_int_equal(tombstones_after_merge(f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		T(readers_and_listers_see_every_write_whole),
		T(a_tree_without_room_answers_and_recovers),
		T(a_record_that_is_held_outlives_its_tree_of_files),
		T(dead_value_files_go_with_the_runs_that_name_them),
		T(runs_are_merged_while_a_large_merge_goes_on),
		T(a_merge_that_writes_more_than_it_frees_waits),
		T(a_damaged_block_is_an_error_and_never_an_absent_record),
		T(a_sector_that_cannot_be_read_stops_no_writes),
		T(space_may_be_asked_for_while_it_is_being_freed),
		T(a_deletion_stays_until_others_are_known_to_have_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* What is merged when: counted in runs and bytes, with a disk that makes one merge wait. */
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/lsm.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMTABLE_BYTES ((uint64_t)64 * 1024)
#define VALUE_BYTES    1000
#define KEYS           32000
#define RUNS_HARD      24
#define ROUNDS         90
#define PUTS           50 /* less than a memtable holds */
#define DEADLINE_MS    60000

#define SEGMENTS_MAX 64

/* Each write of the thread that makes the first segment while it is armed waits to be let through;
 * or each read. */
static struct {
	struct mutex lock;
	struct condition changed;
	const struct vfs_ops *real;
	struct vfs_ops ops;
	bool armed, shut, reads;
	int nested_error; /* of writes to its other segments than the first */
	uint64_t written; /* to its segments */
	uint64_t space; /* 0: the disk's */
	pthread_t thread;
	const struct vfs_file *slow[SEGMENTS_MAX]; /* its segments */
	unsigned slow_count;
	unsigned waiting, allowed;
} gate;

struct fixture {
	char dir[64];
	struct vfs vfs;
	struct lsm_options options;
	struct lsm *lsm;
	uint64_t position, flushed;
	uint64_t newest[KEYS]; /* positions */
};

static int gate_vfs_open(struct vfs *vfs, const char *path, unsigned flags,
			 struct vfs_file **ret_file)
{
	int r = gate.real->open(vfs, path, flags, ret_file);

	if (r < 0 || !(flags & VFS_CREATE) || !strstr(path, ".seg"))
		return r;
	mutex_lock(&gate.lock);
	if (gate.armed)
		gate.thread = pthread_self();
	if (gate.armed || (gate.slow_count > 0 && pthread_equal(gate.thread, pthread_self())))
		gate.slow[gate.slow_count++ % SEGMENTS_MAX] = *ret_file;
	gate.armed = false;
	mutex_unlock(&gate.lock);
	return r;
}

static bool is_slow_locked(const struct vfs_file *file)
{
	for (unsigned i = 0; i < gate.slow_count && i < SEGMENTS_MAX; i++)
		if (gate.slow[i] == file)
			return pthread_equal(gate.thread, pthread_self());
	return false;
}

static void pass_gate_locked(void) REQUIRES(gate.lock)
{
	gate.waiting++;
	condition_broadcast(&gate.changed);
	while (gate.shut && gate.allowed == 0)
		condition_wait(&gate.changed, &gate.lock);
	gate.waiting--;
	if (gate.allowed > 0)
		gate.allowed--;
}

static int gate_vfs_write(struct vfs_file *file, const struct iovec *parts, int count,
			  uint64_t offset)
{
	int error = 0;

	mutex_lock(&gate.lock);
	if (is_slow_locked(file)) {
		if (file != gate.slow[0])
			error = gate.nested_error;
		if (gate.shut && !gate.reads && error == 0)
			pass_gate_locked();
		for (int i = 0; i < count; i++)
			gate.written += parts[i].iov_len;
	}
	mutex_unlock(&gate.lock);
	return error < 0 ? error : gate.real->pwritev(file, parts, count, offset);
}

static ssize_t gate_vfs_read(struct vfs_file *file, void *data, size_t len, uint64_t offset,
			     unsigned flags)
{
	mutex_lock(&gate.lock);
	if (gate.shut && gate.reads && gate.slow_count > 0 &&
	    pthread_equal(gate.thread, pthread_self()))
		pass_gate_locked();
	mutex_unlock(&gate.lock);
	return gate.real->pread(file, data, len, offset, flags);
}

static int gate_vfs_space(struct vfs *vfs, const char *path, uint64_t *ret_free,
			  uint64_t *ret_total)
{
	int r = gate.real->space(vfs, path, ret_free, ret_total);

	mutex_lock(&gate.lock);
	if (gate.space > 0)
		*ret_free = gate.space;
	mutex_unlock(&gate.lock);
	return r;
}

static void gate_shut(bool reads)
{
	mutex_lock(&gate.lock);
	gate.armed = gate.shut = true;
	gate.reads = reads;
	gate.slow_count = gate.allowed = 0;
	gate.written = 0;
	mutex_unlock(&gate.lock);
}

static void gate_set(uint64_t space, int nested_error)
{
	mutex_lock(&gate.lock);
	gate.space = space;
	gate.nested_error = nested_error;
	mutex_unlock(&gate.lock);
}

static uint64_t gate_written(void)
{
	uint64_t written;

	mutex_lock(&gate.lock);
	written = gate.written;
	mutex_unlock(&gate.lock);
	return written;
}

/* Lets @writes through and returns once the next one waits. */
static void gate_let(unsigned writes)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	mutex_lock(&gate.lock);
	gate.allowed = writes;
	condition_broadcast(&gate.changed);
	while (gate.allowed > 0 || gate.waiting == 0)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
}

static void gate_open(void)
{
	mutex_lock(&gate.lock);
	gate.shut = false;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void open_tree(struct fixture *f, bool threads)
{
	f->options.threads = threads;
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
	mutex_init(&gate.lock);
	condition_init(&gate.changed);
	gate.real = vfs_posix()->ops;
	gate.ops = *gate.real;
	gate.ops.open = gate_vfs_open;
	gate.ops.pwritev = gate_vfs_write;
	gate.ops.pread = gate_vfs_read;
	gate.ops.space = gate_vfs_space;
	gate_set(0, 0);
	f->vfs.ops = &gate.ops;
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_compaction.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->options = (struct lsm_options){ .vfs = &f->vfs,
					   .dir = f->dir,
					   .memtable_bytes = MEMTABLE_BYTES };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[96];

	gate_open();
	close_tree(f);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	condition_deinit(&gate.changed);
	mutex_deinit(&gate.lock);
	free(f);
	return 0;
}

/* The value begins with the position. */
static void put(struct fixture *f, unsigned number)
{
	uint8_t value[VALUE_BYTES] = { 0 };
	char key[16];
	struct entry entry = { .kind = ENTRY_INLINE,
			       .key = (uint8_t *)key,
			       .key_len = (uint8_t)snprintf(key, sizeof(key), "%05u", number),
			       .position = ++f->position,
			       .content_type = "a/b",
			       .content_type_len = 3,
			       .encoding = "x",
			       .encoding_len = 1,
			       .size_bytes = sizeof(value),
			       .value = value };

	memcpy(value, &entry.position, sizeof(entry.position));
	assert_int_equal(lsm_apply(f->lsm, &entry, 1), 0);
	f->newest[number] = entry.position;
}

static void check_all(struct fixture *f)
{
	for (unsigned number = 0; number < KEYS; number++) {
		struct lsm_entry found;
		uint64_t position;
		char key[16];
		size_t len = (size_t)snprintf(key, sizeof(key), "%05u", number);

		assert_int_equal(lsm_get(f->lsm, key, len, 0, &found), 0);
		memcpy(&position, found.entry.value, sizeof(position));
		assert_int_equal(position, f->newest[number]);
		lsm_entry_release(&found);
	}
}

static struct lsm_stats stats_of(struct fixture *f)
{
	struct lsm_stats stats;

	lsm_stats(f->lsm, &stats);
	return stats;
}

/* The compaction thread has no more to do than one run holds. */
static void await_runs(struct fixture *f, uint64_t runs)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	while (stats_of(f).runs > runs) {
		assert_true(clock_monotonic_ms() < deadline);
		lsm_reclaim(f->lsm, UINT64_MAX / 2, true);
		usleep(1000);
	}
}

static int count_segment(const char *name, void *state)
{
	*(unsigned *)state += strstr(name, ".seg") != NULL;
	return 0;
}

/* What was replaced is gone, but for what the merges under way read and write. */
static void await_files(struct fixture *f)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;
	unsigned files;

	do {
		assert_true(clock_monotonic_ms() < deadline);
		files = 0;
		assert_int_equal(vfs_list(&f->vfs, f->dir, count_segment, &files), 0);
	} while (files > RUNS_HARD + 4);
}

/* Large runs, and a small one. */
static void fill(struct fixture *f)
{
	open_tree(f, false);
	for (unsigned number = 0; number < KEYS; number++)
		put(f, number);
	assert_int_equal(lsm_flush(f->lsm), 0);
	close_tree(f);
	open_tree(f, true);
	put(f, 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
}

/* Of everything. It waits at its first write, or read. */
static void begin_long_merge(struct fixture *f, bool reads)
{
	gate_shut(reads);
	assert_int_equal(lsm_reclaim(f->lsm, UINT64_MAX / 2, true), 0);
	gate_let(0);
}

/* One run more. */
static void flush_some(struct fixture *f, unsigned round)
{
	for (unsigned i = 0; i < PUTS; i++)
		put(f, (round * 997 + i * 31) % KEYS);
	assert_int_equal(lsm_flush(f->lsm), 0);
}

/* A merge of everything that does not end: newer runs come all the time, four times as many bytes
 * as they have can be written meanwhile, and yet writers are not held up, however large the merges
 * of newer runs become. */
static void newer_runs_are_merged_while_a_long_merge_goes_on(void **state)
{
	struct fixture *f = *state;
	struct lsm_stats before, after;
	uint64_t runs_most = 0;

	fill(f);
	before = stats_of(f);
	assert_true(before.runs > 1);

	begin_long_merge(f, false);
	for (unsigned round = 0; round < ROUNDS; round++) {
		flush_some(f, round);
		gate_let(1);
		after = stats_of(f);
		runs_most = after.runs > runs_most ? after.runs : runs_most;
		assert_true(runs_most < RUNS_HARD);
	}
	assert_true(after.flushes >= before.flushes + ROUNDS);
	assert_true(after.compactions >= before.compactions + ROUNDS / 8);
	await_files(f);
	check_all(f);
	gate_open();
	await_runs(f, 1);
	check_all(f);
	close_tree(f);
	open_tree(f, true);
	check_all(f);
}

/* What a long merge has written is gone from the disk's room, and not to be kept free as well. */
static void a_long_merge_needs_room_for_its_rest_only(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes, written = 0, compactions;

	fill(f);
	bytes = stats_of(f).segment_bytes;
	begin_long_merge(f, false);
	while (written < bytes * 3 / 4) {
		gate_let(1);
		written = gate_written();
	}
	gate_set(bytes * 3 / 2 - written, 0);
	compactions = stats_of(f).compactions;
	for (unsigned round = 0; round < 20; round++) {
		flush_some(f, round);
		gate_let(1);
	}
	assert_true(stats_of(f).compactions > compactions);
	gate_open();
	gate_set(0, 0);
	await_runs(f, 1);
	check_all(f);
}

/* Newer runs pile up, and whoever writes does not wait for the long merge: it may go on for ever.
 */
static void without_room_to_merge_newer_runs_writers_go_on(void **state)
{
	struct fixture *f = *state;
	unsigned round = 0;

	fill(f);
	begin_long_merge(f, false);
	gate_set(1, 0);
	for (; round < RUNS_HARD + 6; round++) {
		flush_some(f, round);
		gate_let(1);
	}
	assert_true(stats_of(f).runs > RUNS_HARD);
	assert_int_equal(stats_of(f).background_error, -ENOSPC);
	gate_set(0, 0);
	for (; stats_of(f).runs >= RUNS_HARD; round++) {
		assert_true(round < ROUNDS);
		gate_let(1);
	}
	assert_int_equal(stats_of(f).background_error, 0);
	gate_open();
	await_runs(f, 1);
	check_all(f);
}

/* It may have gone on for minutes. */
static void a_long_merge_outlives_one_that_it_gives_way_to(void **state)
{
	struct fixture *f = *state;
	uint64_t compactions, deadline = clock_monotonic_ms() + DEADLINE_MS;

	fill(f);
	begin_long_merge(f, false);
	for (unsigned round = 0; round < 8; round++)
		flush_some(f, round);
	compactions = stats_of(f).compactions;
	gate_set(0, -EIO);
	gate_let(2);
	assert_int_equal(stats_of(f).background_error, -EIO);
	assert_int_equal(stats_of(f).compactions, compactions);
	gate_open();
	while (stats_of(f).compactions == compactions) {
		assert_true(clock_monotonic_ms() < deadline);
		usleep(1000);
	}
	gate_set(0, 0);
	await_runs(f, 1);
	check_all(f);
}

static void erase(struct fixture *f, const char *name, unsigned number)
{
	char key[16];
	struct entry entry = { .kind = ENTRY_TOMBSTONE,
			       .key = (uint8_t *)key,
			       .key_len =
				       (uint8_t)snprintf(key, sizeof(key), "%s%05u", name, number),
			       .position = ++f->position };

	assert_int_equal(lsm_apply(f->lsm, &entry, 1), 0);
}

/* Passing what is dropped takes as long as copying. */
static void a_merge_that_drops_all_gives_way(void **state)
{
	struct fixture *f = *state;
	uint64_t compactions;

	f->options.keeps_deletions = true;
	open_tree(f, false);
	for (unsigned number = 0; number < KEYS; number++)
		erase(f, "x", number);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_int_equal(lsm_reclaim(f->lsm, UINT64_MAX / 2, true), 0);
	assert_int_equal(stats_of(f).runs, 1);
	close_tree(f);
	f->options.keeps_deletions = false;
	open_tree(f, true);
	put(f, 0);
	assert_int_equal(lsm_flush(f->lsm), 0);
	begin_long_merge(f, true);
	for (unsigned round = 0; round < 8; round++)
		flush_some(f, round);
	compactions = stats_of(f).compactions;
	for (unsigned i = 0; i < 1000 && stats_of(f).compactions == compactions; i++)
		gate_let(1);
	/* The first that ended was not the long one. */
	assert_true(stats_of(f).runs < 8);
}

/* Deletions of what was never in the oldest run, since it comes and goes. */
static void tombstones_that_hide_nothing_do_not_have_all_merged_for_ever(void **state)
{
	struct fixture *f = *state;
	uint64_t before, bytes;

	open_tree(f, false);
	for (unsigned number = 0; number < KEYS; number++)
		put(f, number);
	assert_int_equal(lsm_flush(f->lsm), 0);
	before = stats_of(f).compacted_bytes;
	bytes = stats_of(f).segment_bytes;
	for (unsigned number = 0; number < 3 * KEYS; number++)
		erase(f, "x", number);
	assert_true(stats_of(f).compacted_bytes - before < bytes * 3);
	check_all(f);
}

static int count_name(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

/* How many calls it takes to list all. */
static unsigned list_all(struct fixture *f, unsigned names)
{
	struct key last = { 0 };
	unsigned found = 0, calls = 0;
	bool more = true;

	for (; more; calls++)
		assert_int_equal(lsm_list(f->lsm, &last, 1000, count_name, &found, &more, &last),
				 0);
	assert_int_equal(found, names);
	return calls;
}

/* A call passes so many tombstones at most, and so does a whole listing but for the names it finds:
 * if a tenth is left behind deletions, listing takes no longer than if there had never been more.
 */
static void listing_behind_deletions_costs_what_is_left(void **state)
{
	struct fixture *f = *state;

	open_tree(f, false);
	for (unsigned number = 0; number < KEYS; number++)
		put(f, number);
	for (unsigned number = 0; number < KEYS - KEYS / 10; number++)
		erase(f, "", number);
	assert_int_equal(lsm_flush(f->lsm), 0);
	assert_true(stats_of(f).entries < 2 * (uint64_t)KEYS / 10);
	assert_true(list_all(f, KEYS / 10) <= KEYS / 10 / 1000 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(newer_runs_are_merged_while_a_long_merge_goes_on,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_merge_needs_room_for_its_rest_only, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(without_room_to_merge_newer_runs_writers_go_on,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_long_merge_outlives_one_that_it_gives_way_to,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_merge_that_drops_all_gives_way, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			tombstones_that_hide_nothing_do_not_have_all_merged_for_ever, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(listing_behind_deletions_costs_what_is_left, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

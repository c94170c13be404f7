/* SPDX-License-Identifier: MIT */
/*
 * Readers keep what they began on, and wait for nobody: the disk stops in each of the calls that
 * writers, flush, merges, checkpoints and trimming make of it, while one thread reads and lists on.
 * A test that hangs here is one that failed.
 */
#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/checkpoint.h"
#include "tests/sim/fates.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS        40
#define DEADLINE_MS 120000
#define STALLS      4 /* of each call */
#define LOOKS       100 /* at all keys, during one of them */

/* ---- the disk ----------------------------------------------------------------------------------
 */

enum call {
	CALL_CREATE,
	CALL_READ,
	CALL_WRITE,
	CALL_SYNC,
	CALL_ALLOCATE,
	CALL_SIZE,
	CALL_RENAME,
	CALL_LINK,
	CALL_UNLINK,
	CALL_RMDIR,
	CALL_MKDIR,
	CALL_SYNC_DIR,
	CALL_SPACE,
	CALL_COUNT,
	CALL_NONE = CALL_COUNT
};

static struct {
	struct mutex lock;
	struct condition changed;
	const struct vfs_ops *real;
	struct vfs_ops slow;
	enum call stalled;
	unsigned spared; /* so many calls are let through */
	unsigned waiting;
} gate;

static _Thread_local bool is_reader;

static void pass(enum call call)
{
	if (is_reader)
		return;
	mutex_lock(&gate.lock);
	if (gate.stalled == call && gate.spared > 0) {
		gate.spared--;
	} else if (gate.stalled == call) {
		gate.waiting++;
		condition_broadcast(&gate.changed);
		while (gate.stalled == call)
			condition_wait(&gate.changed, &gate.lock);
		gate.waiting--;
	}
	mutex_unlock(&gate.lock);
}

static int slow_open(struct vfs *vfs, const char *path, unsigned flags, struct vfs_file **ret_file)
{
	pass(flags & VFS_CREATE ? CALL_CREATE : CALL_READ);
	return gate.real->open(vfs, path, flags, ret_file);
}

static ssize_t slow_pread(struct vfs_file *file, void *data, size_t len, uint64_t offset,
			  unsigned flags)
{
	pass(CALL_READ);
	return gate.real->pread(file, data, len, offset, flags);
}

static int slow_pwritev(struct vfs_file *file, const struct iovec *parts, int count,
			uint64_t offset)
{
	pass(CALL_WRITE);
	return gate.real->pwritev(file, parts, count, offset);
}

static int slow_sync(struct vfs_file *file)
{
	pass(CALL_SYNC);
	return gate.real->sync(file);
}

static int slow_allocate(struct vfs_file *file, uint64_t offset, uint64_t len)
{
	pass(CALL_ALLOCATE);
	return gate.real->allocate(file, offset, len);
}

static int slow_size(struct vfs_file *file, uint64_t *ret_size)
{
	pass(CALL_SIZE);
	return gate.real->size(file, ret_size);
}

static int slow_rename(struct vfs *vfs, const char *from, const char *to)
{
	pass(CALL_RENAME);
	return gate.real->rename(vfs, from, to);
}

static int slow_link(struct vfs *vfs, const char *from, const char *to)
{
	pass(CALL_LINK);
	return gate.real->link(vfs, from, to);
}

static int slow_unlink(struct vfs *vfs, const char *path)
{
	pass(CALL_UNLINK);
	return gate.real->unlink(vfs, path);
}

static int slow_rmdir(struct vfs *vfs, const char *path)
{
	pass(CALL_RMDIR);
	return gate.real->rmdir(vfs, path);
}

static int slow_mkdir(struct vfs *vfs, const char *path)
{
	pass(CALL_MKDIR);
	return gate.real->mkdir(vfs, path);
}

static int slow_sync_dir(struct vfs *vfs, const char *path)
{
	pass(CALL_SYNC_DIR);
	return gate.real->sync_dir(vfs, path);
}

static int slow_space(struct vfs *vfs, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
	pass(CALL_SPACE);
	return gate.real->space(vfs, path, ret_free, ret_total);
}

static void gate_init(struct vfs *vfs)
{
	mutex_init(&gate.lock);
	condition_init(&gate.changed);
	gate.stalled = CALL_NONE;
	gate.real = vfs->ops;
	gate.slow = *vfs->ops;
	gate.slow.open = slow_open;
	gate.slow.pread = slow_pread;
	gate.slow.pwritev = slow_pwritev;
	gate.slow.sync = slow_sync;
	gate.slow.allocate = slow_allocate;
	gate.slow.size = slow_size;
	gate.slow.rename = slow_rename;
	gate.slow.link = slow_link;
	gate.slow.unlink = slow_unlink;
	gate.slow.rmdir = slow_rmdir;
	gate.slow.mkdir = slow_mkdir;
	gate.slow.sync_dir = slow_sync_dir;
	gate.slow.space = slow_space;
	vfs->ops = &gate.slow;
}

static void gate_deinit(struct vfs *vfs)
{
	vfs->ops = gate.real;
	condition_deinit(&gate.changed);
	mutex_deinit(&gate.lock);
}

static void gate_set(enum call call, unsigned spared)
{
	mutex_lock(&gate.lock);
	gate.stalled = call;
	gate.spared = spared;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void gate_await(void)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	mutex_lock(&gate.lock);
	while (gate.waiting == 0)
		if (condition_wait_until(&gate.changed, &gate.lock, deadline) < 0)
			fail_msg("nobody makes call %d", gate.stalled);
	mutex_unlock(&gate.lock);
}

/* ---- those who are stalled ---------------------------------------------------------------------
 */

struct work {
	struct store *store;
	_Atomic bool stop;
	_Atomic uint64_t begun[KEYS], acknowledged[KEYS]; /* rounds */
	_Atomic unsigned faults;
	_Atomic int fault; /* the last one: an outcome, or a negative errno */
};

/* Every fifth key has its value in a file. */
static int fill(struct store *store, struct store_write *write, unsigned key, uint64_t round,
		uint8_t *data)
{
	size_t len = key % 5 == 0 ? FATE_FILE_BYTES : 200;
	struct value_writer *writer;
	int r;

	*write = (struct store_write){ .kind = WRITE_PUT };
	write->key = (struct key){ .len = 2, .bytes = { 'k', (uint8_t)key } };
	write->request.durability = round % 2 ? DURABILITY_DISK : DURABILITY_MEMORY;
	for (size_t i = 0; i + 8 <= len; i += 8)
		put_u64(data + i, round);
	if (len <= FATE_INLINE_BYTES) {
		write->value = data;
		write->value_len = len;
		return 0;
	}
	r = value_writer_new(store_values(store), &writer);
	if (r == 0)
		r = value_writer_append(writer, data, len);
	return r < 0 ? r
		     : value_writer_finish(writer, &write->file, &write->file_size,
					   &write->file_hash, &write->file_utf8);
}

static void note_fault(struct work *work, int fault)
{
	work->fault = fault;
	work->faults++;
}

static void put(struct work *work, unsigned key, uint64_t round)
{
	uint8_t data[FATE_FILE_BYTES] = { 0 };
	struct store_write write;

	int r = fill(work->store, &write, key, round, data);

	if (r < 0) {
		note_fault(work, r);
		return;
	}
	work->begun[key] = round;
	store_commit(work->store, &write);
	if (outcome_is_success(write.outcome))
		work->acknowledged[key] = round;
	else
		note_fault(work, (int)write.outcome);
}

static void *write_keys(void *state)
{
	struct work *work = state;

	for (uint64_t round = 2; !work->stop; round++)
		for (unsigned key = 0; key < KEYS && !work->stop; key++)
			put(work, key, round);
	return NULL;
}

static void *make_checkpoints(void *state)
{
	struct work *work = state;

	for (unsigned i = 0; !work->stop; i++) {
		struct checkpoint *checkpoint;
		int r;

		if (i % 4 == 0)
			store_want_room(work->store);
		r = checkpoint_new(work->store, &checkpoint);
		if (r < 0)
			note_fault(work, r);
		else
			checkpoint_free(checkpoint);
	}
	return NULL;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

/* What the record holds in each of its words. */
static uint64_t round_of(const struct store_record *record)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	const uint8_t *data = store_record_inline(record);
	size_t len = (size_t)record->meta.size_bytes;

	if (!data) {
		assert_int_equal(value_file_read_chunk(record->held.file, len, 0, chunk, 0), len);
		data = chunk;
	}
	for (size_t i = 8; i + 8 <= len; i += 8)
		assert_true(get_u64(data + i) == get_u64(data));
	return get_u64(data);
}

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

/* Each value is whole, and no older than what was acknowledged before it was asked for. */
static void look(struct work *work)
{
	struct key first = { 0 }, last;
	struct store_stats stats;
	unsigned count = 0;
	bool more;

	for (unsigned key = 0; key < KEYS; key++) {
		uint64_t at_least = work->acknowledged[key], round;
		struct store_record record;

		assert_int_equal(fate_get(work->store, key, &record), 0);
		round = round_of(&record);
		store_record_release(&record);
		assert_true(round >= at_least && round <= work->begun[key]);
	}
	assert_int_equal(store_list(work->store, &first, KEYS, count_one, &count, &more, &last), 0);
	assert_int_equal(count, KEYS);
	store_stats(work->store, &stats);
}

static void readers_wait_for_no_call_that_others_make_of_the_disk(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct work work = { 0 };
	pthread_t writer, chores;
	char *why = NULL;

	(void)state;
	gate_init(options.vfs);
	options.threads = true;
	options.realtime_ns = NULL;
	options.cache_bytes = 0; /* every read is one of the disk */
	options.log_retain_bytes = 16384;
	if (fates_open(&options, &work.store, &why) < 0)
		fail_msg("%s", why);
	for (unsigned key = 0; key < KEYS; key++)
		put(&work, key, 1);
	is_reader = true;
	assert_int_equal(pthread_create(&writer, NULL, write_keys, &work), 0);
	assert_int_equal(pthread_create(&chores, NULL, make_checkpoints, &work), 0);
	for (unsigned i = 0; i < STALLS * CALL_COUNT; i++) {
		gate_set(i % CALL_COUNT, i / CALL_COUNT * 5);
		gate_await();
		for (unsigned j = 0; j < LOOKS; j++)
			look(&work);
		gate_set(CALL_NONE, 0);
	}
	work.stop = true;
	pthread_join(writer, NULL);
	pthread_join(chores, NULL);
	look(&work);
	if (work.faults > 0)
		fail_msg("%u faults, the last one %d", work.faults, work.fault);
	is_reader = false;
	store_close(work.store);
	gate_deinit(options.vfs);
	crash_vfs_free(crash);
}

/* ---- what a reader holds -----------------------------------------------------------------------
 */

static int count_name(const char *name, void *state)
{
	size_t len = strlen(name);

	*(unsigned *)state += len > 4 && strcmp(name + len - 4, ".val") == 0;
	return 0;
}

static unsigned value_files(struct crash_vfs *crash)
{
	unsigned count = 0;

	assert_int_equal(vfs_list(crash_vfs_base(crash), FATE_DIR "/value", count_name, &count), 0);
	return count;
}

/* Flushes, merges, trims and frees whatever nobody needs. */
static void let_all_go(struct work *work)
{
	for (unsigned i = 0; i < 80; i++) {
		fates_pass_time(i == 40 ? INT64_C(610000000000) : INT64_C(11000000000));
		for (unsigned key = 30; key < KEYS; key++)
			if (key % 5 > 0)
				put(work, key, 100 + i);
	}
	assert_int_equal(checkpoint_flush(work->store), 0);
}

enum { FILE_REPLACED = 0, FILE_DELETED = 5, INLINE_REPLACED = 1, INLINE_DELETED = 2, HELD = 4 };
static const unsigned held_keys[HELD] = { FILE_REPLACED, FILE_DELETED, INLINE_REPLACED,
					  INLINE_DELETED };

static void replace_and_delete(struct work *work)
{
	struct fate_call call;

	put(work, FILE_REPLACED, 50);
	put(work, INLINE_REPLACED, 50);
	fate_call_init(&call, WRITE_DELETE, FILE_DELETED, DURABILITY_DISK);
	assert_int_equal(fate_run(work->store, &call, FATE_ABSENT, FATE_PRESENT), FATE_ABSENT);
	fate_call_init(&call, WRITE_DELETE, INLINE_DELETED, DURABILITY_DISK);
	assert_int_equal(fate_run(work->store, &call, FATE_ABSENT, FATE_PRESENT), FATE_ABSENT);
}

/* @flush: the records come from segments, otherwise from memory. */
static void check_held(bool flush)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_record held[HELD], record;
	struct store_stats before, after;
	struct work work = { 0 };
	unsigned files, files_held;
	char *why = NULL;

	options.memtable_bytes = flush ? 4096 : 1 << 20;
	if (fates_open(&options, &work.store, &why) < 0)
		fail_msg("%s", why);
	for (unsigned key = 0; key < KEYS; key++)
		put(&work, key, 1);
	if (flush)
		let_all_go(&work);
	files = value_files(crash);
	store_stats(work.store, &before);
	for (unsigned i = 0; i < HELD; i++)
		assert_int_equal(fate_get(work.store, held_keys[i], &held[i]), 0);
	replace_and_delete(&work);
	let_all_go(&work);
	store_stats(work.store, &after);
	assert_true(after.lsm.flushes > before.lsm.flushes);
	assert_true(!flush || after.lsm.compactions > before.lsm.compactions);
	files_held = value_files(crash);
	for (unsigned i = 0; i < HELD; i++) {
		assert_int_equal(round_of(&held[i]), 1);
		store_record_release(&held[i]);
	}
	/* The new version of one came, the old ones were kept for their readers alone. */
	assert_int_equal(files_held, files + 1);
	let_all_go(&work);
	assert_int_equal(value_files(crash), files - 1);
	assert_int_equal(fate_get(work.store, FILE_DELETED, &record), STORE_NOT_FOUND);
	assert_int_equal(fate_get(work.store, FILE_REPLACED, &record), 0);
	assert_int_equal(round_of(&record), 50);
	store_record_release(&record);
	store_close(work.store);
	crash_vfs_free(crash);
}

static void who_began_on_a_value_in_memory_finishes_on_it(void **state)
{
	(void)state;
	check_held(false);
}

static void who_began_on_a_value_in_a_segment_finishes_on_it(void **state)
{
	(void)state;
	check_held(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_began_on_a_value_in_memory_finishes_on_it),
		cmocka_unit_test(who_began_on_a_value_in_a_segment_finishes_on_it),
		cmocka_unit_test(readers_wait_for_no_call_that_others_make_of_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * A disk that stops in the middle of what writers, flush and compaction want of it: readers and
 * listings go on meanwhile. A test that hangs here is one that failed.
 */
#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/mutex.h"
#include "tests/sim/fates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS       40
#define VALUE_LEN  200
#define DEADLINE_S 60
#define SLOW_MAX   64

/* What waits: writes and syncs of files that are made while the gate is shut and whose names hold
 * @name, and of @all others. */
static struct {
	struct mutex lock;
	struct condition changed;
	const struct vfs_ops *real;
	struct vfs_ops slow;
	const char *name;
	bool shut, all;
	unsigned spared; /* so many files are let through */
	const struct vfs_file *files[SLOW_MAX];
	unsigned file_count;
	unsigned waiting;
} gate;

static int slow_open(struct vfs *vfs, const char *path, unsigned flags, struct vfs_file **ret_file)
{
	int r = gate.real->open(vfs, path, flags, ret_file);

	if (r < 0 || !(flags & VFS_CREATE))
		return r;
	mutex_lock(&gate.lock);
	if (gate.shut && !gate.all && strstr(path, gate.name)) {
		if (gate.spared > 0)
			gate.spared--;
		else if (gate.file_count < SLOW_MAX)
			gate.files[gate.file_count++] = *ret_file;
	}
	mutex_unlock(&gate.lock);
	return r;
}

static bool is_slow_locked(const struct vfs_file *file)
{
	if (gate.all)
		return true;
	for (unsigned i = 0; i < gate.file_count; i++)
		if (gate.files[i] == file)
			return true;
	return false;
}

static void pass(const struct vfs_file *file)
{
	mutex_lock(&gate.lock);
	if (gate.shut && is_slow_locked(file)) {
		gate.waiting++;
		condition_broadcast(&gate.changed);
		while (gate.shut)
			condition_wait(&gate.changed, &gate.lock);
		gate.waiting--;
		condition_broadcast(&gate.changed);
	}
	mutex_unlock(&gate.lock);
}

static int slow_write(struct vfs_file *file, const struct iovec *parts, int count, uint64_t offset)
{
	pass(file);
	return gate.real->pwritev(file, parts, count, offset);
}

static int slow_sync(struct vfs_file *file)
{
	pass(file);
	return gate.real->sync(file);
}

static void gate_init(struct vfs *vfs)
{
	mutex_init(&gate.lock);
	condition_init(&gate.changed);
	gate.real = vfs->ops;
	gate.slow = *vfs->ops;
	gate.slow.open = slow_open;
	gate.slow.pwritev = slow_write;
	gate.slow.sync = slow_sync;
	vfs->ops = &gate.slow;
}

static void gate_deinit(struct vfs *vfs)
{
	vfs->ops = gate.real;
	condition_deinit(&gate.changed);
	mutex_deinit(&gate.lock);
}

/* @name NULL: for everything. */
static void gate_shut(const char *name, unsigned spared)
{
	mutex_lock(&gate.lock);
	gate.shut = true;
	gate.name = name;
	gate.all = !name;
	gate.spared = spared;
	gate.file_count = 0;
	mutex_unlock(&gate.lock);
}

/* And nobody waits any more. */
static void gate_open(void)
{
	mutex_lock(&gate.lock);
	gate.shut = false;
	condition_broadcast(&gate.changed);
	while (gate.waiting > 0)
		condition_wait(&gate.changed, &gate.lock);
	mutex_unlock(&gate.lock);
}

/* How many wait, all of them because it is shut. */
static unsigned gate_waiting(void)
{
	unsigned waiting;

	mutex_lock(&gate.lock);
	waiting = gate.waiting;
	mutex_unlock(&gate.lock);
	return waiting;
}

static void gate_await(unsigned waiting)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_S * 1000;

	mutex_lock(&gate.lock);
	while (gate.waiting < waiting)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
}

/* ---- writes ------------------------------------------------------------------------------------
 */

struct put {
	struct store_write write;
	uint8_t data[VALUE_LEN];
	_Atomic bool answered;
};

static void on_done(struct store_write *write)
{
	mutex_lock(&gate.lock);
	((struct put *)write->state)->answered = true;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void put_begin(struct store *store, struct put *put, unsigned key, uint64_t round)
{
	*put = (struct put){ 0 };
	for (unsigned i = 0; i < VALUE_LEN / 8; i++)
		put_u64(put->data + 8 * i, round);
	put->write.kind = WRITE_PUT;
	put->write.key = (struct key){ .len = 2, .bytes = { 'k', (uint8_t)key } };
	put->write.value = put->data;
	put->write.value_len = VALUE_LEN;
	put->write.request.durability = DURABILITY_DISK;
	put->write.done = on_done;
	put->write.state = put;
	store_submit(store, &put->write);
}

static void put_await(struct put *put)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_S * 1000;

	mutex_lock(&gate.lock);
	while (!put->answered)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
	assert_true(outcome_is_success(put->write.outcome));
}

static void put_all(struct store *store, uint64_t round)
{
	struct put put;

	for (unsigned key = 0; key < KEYS; key++) {
		put_begin(store, &put, key, round);
		put_await(&put);
	}
}

/* ---- reads -------------------------------------------------------------------------------------
 */

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

/* All keys have a value of @round or a later one. */
static void read_all(struct store *store, uint64_t round)
{
	struct key first = { 0 }, last;
	struct store_stats stats;
	unsigned count = 0;
	bool more;

	for (unsigned key = 0; key < KEYS; key++) {
		struct store_record record;

		assert_int_equal(fate_get(store, key, &record), 0);
		assert_true(get_u64(store_record_inline(&record)) >= round);
		store_record_release(&record);
	}
	assert_int_equal(store_list(store, &first, KEYS, count_one, &count, &more, &last), 0);
	assert_int_equal(count, KEYS);
	store_stats(store, &stats);
}

/* ---- the tests ---------------------------------------------------------------------------------
 */

static struct store *open_store(struct crash_vfs *crash)
{
	struct store_options options = fates_options(crash);
	struct store *store;
	char *why = NULL;

	gate_init(options.vfs);
	options.threads = true;
	options.realtime_ns = NULL;
	options.cache_bytes = 0; /* every read is one of the disk */
	if (fates_open(&options, &store, &why) < 0)
		fail_msg("%s", why);
	put_all(store, 1);
	return store;
}

static void close_store(struct crash_vfs *crash, struct store *store)
{
	gate_open();
	store_close(store);
	gate_deinit(crash_vfs_base(crash));
	crash_vfs_free(crash);
}

static void readers_do_not_wait_for_the_sync_of_a_write(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct put put;

	(void)state;
	gate_shut(NULL, 0);
	put_begin(store, &put, 1, 2);
	gate_await(1);
	for (unsigned i = 0; i < 20; i++)
		read_all(store, 1);
	assert_false(put.answered);
	gate_open();
	put_await(&put);
	close_store(crash, store);
}

/* Writers neither, until their memory is used up. */
static void readers_and_writers_do_not_wait_for_a_flush_or_a_merge(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_S * 1000, round = 1;

	(void)state;
	for (unsigned spared = 0; spared < 6; spared++) {
		unsigned key = 0;
		struct put put;

		gate_shut(".seg", spared);
		round++;
		while (gate_waiting() == 0) {
			assert_true(clock_monotonic_ms() < deadline);
			put_begin(store, &put, key++ % KEYS, round);
			put_await(&put);
		}
		for (unsigned i = 0; i < 20; i++)
			read_all(store, 1);
		put_begin(store, &put, 0, round);
		put_await(&put);
		gate_open();
	}
	close_store(crash, store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_do_not_wait_for_the_sync_of_a_write),
		cmocka_unit_test(readers_and_writers_do_not_wait_for_a_flush_or_a_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

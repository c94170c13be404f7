/* SPDX-License-Identifier: MIT */
/*
 * A disk on which reading takes as long as the test wants: writes whose old version must be read
 * from it wait, all others do not, and order is kept. A test that hangs here is one that failed.
 */
#include "lib/clock.h"
#include "lib/mutex.h"
#include "node/checkpoint.h"
#include "tests/sim/fates.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_MS 60000
#define COLD        0 /* the first of the keys that are in a segment */
#define HOT         40 /* and of those that are in memory */
#define KEYS        40 /* of each */

static struct {
	struct mutex lock;
	struct condition changed;
	const struct vfs_ops *real;
	struct vfs_ops slow;
	bool shut;
	bool full; /* nothing can be allocated */
	unsigned waiting; /* reads */
} gate;

static ssize_t slow_read(struct vfs_file *file, void *data, size_t len, uint64_t offset,
			 unsigned flags)
{
	bool shut;

	mutex_lock(&gate.lock);
	shut = gate.shut;
	if (shut && !(flags & VFS_NOWAIT)) {
		gate.waiting++;
		condition_broadcast(&gate.changed);
		while (gate.shut)
			condition_wait(&gate.changed, &gate.lock);
		gate.waiting--;
		shut = false;
	}
	mutex_unlock(&gate.lock);
	return shut ? -EAGAIN : gate.real->pread(file, data, len, offset, flags);
}

static int full_allocate(struct vfs_file *file, uint64_t offset, uint64_t len)
{
	bool full;

	mutex_lock(&gate.lock);
	full = gate.full;
	mutex_unlock(&gate.lock);
	return full ? -ENOSPC : gate.real->allocate(file, offset, len);
}

static void gate_set_full(bool full)
{
	mutex_lock(&gate.lock);
	gate.full = full;
	mutex_unlock(&gate.lock);
}

static void gate_set(bool shut)
{
	mutex_lock(&gate.lock);
	gate.shut = shut;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void await_reads(unsigned count)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	mutex_lock(&gate.lock);
	while (gate.waiting < count)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
}

/* ---- writes ------------------------------------------------------------------------------------
 */

struct call {
	struct store_write write;
	bool answered;
};

static void on_done(struct store_write *write)
{
	mutex_lock(&gate.lock);
	((struct call *)write->state)->answered = true;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void fill(struct call *call, enum write_kind kind, unsigned key)
{
	static const char value[] = "a value";

	*call = (struct call){ .write = { .kind = kind, .done = on_done, .state = call } };
	call->write.key = (struct key){ .len = 2, .bytes = { 'k', (uint8_t)key } };
	call->write.value = value;
	call->write.value_len = sizeof(value);
	call->write.request.durability = DURABILITY_MEMORY;
	call->write.request.overwrite = true;
}

static void begin(struct store *store, struct call *call, enum write_kind kind, unsigned key)
{
	fill(call, kind, key);
	store_submit(store, &call->write);
}

static bool is_answered(struct call *call)
{
	bool answered;

	mutex_lock(&gate.lock);
	answered = call->answered;
	mutex_unlock(&gate.lock);
	return answered;
}

static enum outcome await(struct call *call)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	mutex_lock(&gate.lock);
	while (!call->answered)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
	return call->write.outcome;
}

static enum outcome run(struct store *store, enum write_kind kind, unsigned key)
{
	struct call call;

	begin(store, &call, kind, key);
	return await(&call);
}

/* ---- the store ---------------------------------------------------------------------------------
 */

static struct store *open_store(struct crash_vfs *crash)
{
	struct store_options options = fates_options(crash);
	struct store *store;
	char *why = NULL;

	mutex_init(&gate.lock);
	condition_init(&gate.changed);
	gate.real = options.vfs->ops;
	gate.slow = *gate.real;
	gate.slow.pread = slow_read;
	gate.slow.allocate = full_allocate;
	options.vfs->ops = &gate.slow;
	options.threads = true;
	options.realtime_ns = NULL;
	options.memtable_bytes = 1 << 20;
	options.cache_bytes = 0;
	if (fates_open(&options, &store, &why) < 0)
		fail_msg("%s", why);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(run(store, WRITE_PUT, COLD + i), OUTCOME_CREATED);
	assert_int_equal(checkpoint_flush(store), 0);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(run(store, WRITE_PUT, HOT + i), OUTCOME_CREATED);
	return store;
}

static void close_store(struct crash_vfs *crash, struct store *store)
{
	gate_set(false);
	gate_set_full(false);
	store_close(store);
	crash_vfs_base(crash)->ops = gate.real;
	condition_deinit(&gate.changed);
	mutex_deinit(&gate.lock);
	crash_vfs_free(crash);
}

static void check_later(const struct call *before, const struct call *after)
{
	assert_true(before->write.point.sequence < after->write.point.sequence);
}

/* ---- the tests ---------------------------------------------------------------------------------
 */

static void a_write_of_a_key_on_a_slow_disk_holds_up_no_other(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call cold[8], here;

	(void)state;
	gate_set(true);
	for (unsigned i = 0; i < 8; i++) {
		begin(store, &cold[i], i % 2 ? WRITE_DELETE : WRITE_PUT, COLD + i);
		assert_int_equal(run(store, WRITE_PUT, HOT + i), OUTCOME_NO_CONTENT);
	}
	await_reads(1);
	for (unsigned i = 0; i < KEYS; i++)
		assert_int_equal(run(store, i % 2 ? WRITE_DELETE : WRITE_PUT, HOT + i),
				 OUTCOME_NO_CONTENT);
	fill(&here, WRITE_PUT, HOT);
	store_commit(store, &here.write);
	assert_int_equal(here.write.outcome, OUTCOME_NO_CONTENT);
	for (unsigned i = 0; i < 8; i++)
		assert_false(is_answered(&cold[i]));
	gate_set(false);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(await(&cold[i]), OUTCOME_NO_CONTENT);
	close_store(crash, store);
}

static void writes_of_a_key_keep_their_order_when_the_first_waits_for_the_disk(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call put, delete, again, move, moved, barrier;

	(void)state;
	gate_set(true);
	begin(store, &put, WRITE_PUT, COLD);
	begin(store, &delete, WRITE_DELETE, COLD);
	begin(store, &again, WRITE_PUT, COLD);
	fill(&move, WRITE_MOVE, HOT);
	move.write.request.has_destination = true;
	move.write.request.destination = put.write.key;
	store_submit(store, &move.write);
	begin(store, &moved, WRITE_DELETE, HOT);
	begin(store, &barrier, WRITE_BARRIER, HOT + 1);
	assert_int_equal(run(store, WRITE_PUT, HOT + 2), OUTCOME_NO_CONTENT);
	await_reads(1);
	assert_false(is_answered(&delete));
	assert_false(is_answered(&moved));
	assert_false(is_answered(&barrier));
	gate_set(false);
	assert_int_equal(await(&put), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&delete), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&again), OUTCOME_CREATED);
	assert_int_equal(await(&move), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&moved), OUTCOME_NOT_FOUND);
	assert_int_equal(await(&barrier), OUTCOME_NO_CONTENT);
	check_later(&put, &delete);
	check_later(&delete, &again);
	check_later(&again, &move);
	assert_true(barrier.write.point.sequence >= move.write.point.sequence);
	close_store(crash, store);
}

static void a_repeated_request_waits_for_the_disk_once(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call first, second;

	(void)state;
	gate_set(true);
	fill(&first, WRITE_PATCH, COLD);
	fill(&second, WRITE_PATCH, COLD);
	request_id_generate(&first.write.request.request_id);
	second.write.request.request_id = first.write.request.request_id;
	store_submit(store, &first.write);
	store_submit(store, &second.write);
	await_reads(1);
	gate_set(false);
	assert_int_equal(await(&first), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&second), OUTCOME_NO_CONTENT);
	assert_false(first.write.repeated);
	assert_true(second.write.repeated);
	assert_int_equal(version_compare(first.write.meta.version, second.write.meta.version), 0);
	close_store(crash, store);
}

/* The puts want a new log file, for which there is no room. Without them the delete is committed,
 * and in front of the move, which came later and waits. */
static void what_was_in_a_group_stays_in_front_when_the_disk_is_found_full(void **state)
{
	enum { PUTS = 300, DELETE = PUTS, MOVE };
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	static struct call calls[MOVE + 1];
	static const char value[FATE_INLINE_BYTES];

	(void)state;
	for (unsigned i = 0; i < PUTS; i++) {
		fill(&calls[i], WRITE_PUT, HOT + 1);
		calls[i].write.value = value;
		calls[i].write.value_len = sizeof(value);
	}
	fill(&calls[DELETE], WRITE_DELETE, HOT);
	fill(&calls[MOVE], WRITE_MOVE, COLD);
	calls[MOVE].write.request.has_destination = true;
	calls[MOVE].write.request.destination = calls[DELETE].write.key;
	for (unsigned i = 0; i < MOVE; i++)
		calls[i].write.next = &calls[i + 1].write;
	gate_set(true);
	gate_set_full(true);
	store_submit_batch(store, &calls[0].write);
	assert_int_equal(await(&calls[DELETE]), OUTCOME_NO_CONTENT);
	assert_false(is_answered(&calls[MOVE]));
	for (unsigned i = 0; i < PUTS; i++)
		assert_int_equal(await(&calls[i]), OUTCOME_NO_SPACE);
	gate_set_full(false);
	gate_set(false);
	assert_int_not_equal(await(&calls[MOVE]), OUTCOME_NO_CONTENT);
	close_store(crash, store);
}

/* ---- changes of role ---------------------------------------------------------------------------
 */

struct pause {
	struct store_pause base;
	bool done;
};

static void on_paused(struct store_pause *pause)
{
	mutex_lock(&gate.lock);
	((struct pause *)pause->state)->done = true;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void a_pause_does_not_wait_for_the_disk(void **state)
{
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct pause pause = { .base = { .done = on_paused, .state = &pause } };
	struct call cold, same, hot;

	(void)state;
	gate_set(true);
	begin(store, &cold, WRITE_PUT, COLD);
	await_reads(1);
	store_pause(store, &pause.base);
	mutex_lock(&gate.lock);
	while (!pause.done)
		assert_int_equal(condition_wait_until(&gate.changed, &gate.lock, deadline), 0);
	mutex_unlock(&gate.lock);
	assert_int_equal(pause.base.result, 0);
	begin(store, &same, WRITE_DELETE, COLD);
	begin(store, &hot, WRITE_PUT, HOT);
	gate_set(false);
	assert_false(is_answered(&cold));
	assert_false(is_answered(&hot));
	store_resume(store);
	assert_int_equal(await(&cold), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&same), OUTCOME_NO_CONTENT);
	assert_int_equal(await(&hot), OUTCOME_NO_CONTENT);
	check_later(&cold, &same);
	close_store(crash, store);
}

static void what_waits_for_the_disk_is_refused_once_the_store_follows(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call cold;

	(void)state;
	gate_set(true);
	begin(store, &cold, WRITE_PUT, COLD);
	await_reads(1);
	assert_int_equal(store_follow(store), 0);
	gate_set(false);
	assert_int_equal(await(&cold), OUTCOME_MISDIRECTED);
	assert_false(cold.write.maybe_applied);
	assert_int_equal(store_lead_next(store, FATE_NODE_ID), 0);
	assert_int_equal(run(store, WRITE_PUT, COLD), OUTCOME_NO_CONTENT);
	close_store(crash, store);
}

static void nor_is_it_committed_if_the_store_leads_again_by_then(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call cold, same, hot;

	(void)state;
	gate_set(true);
	begin(store, &cold, WRITE_DELETE, COLD);
	await_reads(1);
	assert_int_equal(store_follow(store), 0);
	assert_int_equal(store_lead_next(store, FATE_NODE_ID), 0);
	begin(store, &same, WRITE_PUT, COLD);
	begin(store, &hot, WRITE_PUT, HOT);
	assert_int_equal(await(&hot), OUTCOME_NO_CONTENT);
	gate_set(false);
	assert_int_equal(await(&cold), OUTCOME_MISDIRECTED);
	assert_false(cold.write.maybe_applied);
	assert_int_equal(await(&same), OUTCOME_NO_CONTENT);
	close_store(crash, store);
}

static void *open_gate(void *state)
{
	(void)state;
	gate_set(false);
	return NULL;
}

static void what_waits_for_the_disk_is_answered_before_the_store_closes(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store *store = open_store(crash);
	struct call cold[3];
	pthread_t opener;

	(void)state;
	gate_set(true);
	for (unsigned i = 0; i < 3; i++)
		begin(store, &cold[i], WRITE_PUT, COLD + i / 2);
	await_reads(1);
	assert_int_equal(pthread_create(&opener, NULL, open_gate, NULL), 0);
	store_close(store);
	pthread_join(opener, NULL);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(cold[i].answered);
		assert_int_equal(cold[i].write.outcome, OUTCOME_NO_CONTENT);
	}
	close_store(crash, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_of_a_key_on_a_slow_disk_holds_up_no_other),
		cmocka_unit_test(
			writes_of_a_key_keep_their_order_when_the_first_waits_for_the_disk),
		cmocka_unit_test(a_repeated_request_waits_for_the_disk_once),
		cmocka_unit_test(what_was_in_a_group_stays_in_front_when_the_disk_is_found_full),
		cmocka_unit_test(a_pause_does_not_wait_for_the_disk),
		cmocka_unit_test(what_waits_for_the_disk_is_refused_once_the_store_follows),
		cmocka_unit_test(nor_is_it_committed_if_the_store_leads_again_by_then),
		cmocka_unit_test(what_waits_for_the_disk_is_answered_before_the_store_closes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

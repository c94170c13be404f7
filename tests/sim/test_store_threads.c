/* SPDX-License-Identifier: MIT */
/*
 * Many threads write, read and list one store at once. Each key belongs to one writer, so that the
 * writer knows what it must read back; built with -Db_sanitize=thread this is the race test.
 */
#include "node/store.h"
#include "tests/sim/crash_vfs.h"

#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WRITERS 4
#define READERS 2
#define KEYS    32 /* of each writer */
#define ROUNDS  400
#define WINDOW  8 /* writes of one writer under way at once */

struct shared {
	struct store *store;
	_Atomic bool stop;
	_Atomic unsigned faults;
	struct mutex lock;
	struct condition answered;
};

struct call {
	struct store_write write;
	struct shared *shared;
	uint64_t data[16];
	bool answered;
};

struct worker {
	struct shared *shared;
	unsigned number;
	bool waits; /* for each write by itself */
	uint64_t written[KEYS];
};

static struct key key_of(unsigned writer, unsigned number)
{
	struct key key = { .len = 3, .bytes = { 'k', (uint8_t)writer, (uint8_t)number } };

	return key;
}

static void on_done(struct store_write *write)
{
	struct call *call = write->state;
	struct shared *shared = call->shared;

	mutex_lock(&shared->lock);
	call->answered = true;
	condition_broadcast(&shared->answered);
	mutex_unlock(&shared->lock);
}

static void call_wait(struct call *call)
{
	struct shared *shared = call->shared;
	uint64_t deadline = clock_monotonic_ms() + 60000;
	int r = 0;

	mutex_lock(&shared->lock);
	while (!call->answered && r == 0)
		r = condition_wait_until(&shared->answered, &shared->lock, deadline);
	mutex_unlock(&shared->lock);
	if (r < 0 || !outcome_is_success(call->write.outcome))
		shared->faults++;
}

static void submit(struct worker *worker, struct call *call, unsigned number, uint64_t value)
{
	*call = (struct call){ .shared = worker->shared };
	for (unsigned i = 0; i < 16; i++)
		call->data[i] = value;
	call->write.kind = WRITE_PUT;
	call->write.key = key_of(worker->number, number);
	call->write.value = call->data;
	call->write.value_len = sizeof(call->data);
	call->write.request.durability = value % 4 ? DURABILITY_MEMORY : DURABILITY_DISK;
	request_id_generate(&call->write.request.request_id);
	if (worker->waits) {
		store_commit(worker->shared->store, &call->write);
		call->answered = true;
		return;
	}
	call->write.done = on_done;
	call->write.state = call;
	store_submit(worker->shared->store, &call->write);
}

/* All bytes of a value are one write's, and no older than what was acknowledged. */
static void check_key(struct shared *shared, unsigned writer, unsigned number, uint64_t at_least)
{
	struct key key = key_of(writer, number);
	struct store_record record;
	const uint8_t *data;
	int r = store_get(shared->store, &key, 0, &record);

	if (r == STORE_NOT_FOUND && at_least == 0)
		return;
	if (r != 0) {
		shared->faults++;
		return;
	}
	data = store_record_inline(&record);
	for (size_t i = 0; data && i < 16; i++)
		if (get_u64(data + 8 * i) != get_u64(data) || get_u64(data) < at_least)
			shared->faults++;
	if (!data)
		shared->faults++;
	store_record_release(&record);
}

static void *write_keys(void *state)
{
	struct worker *worker = state;
	struct call calls[WINDOW];

	for (uint64_t round = 1; round <= ROUNDS; round++) {
		for (unsigned i = 0; i < WINDOW; i++)
			submit(worker, &calls[i], (unsigned)(round * 5 + i) % KEYS, round);
		for (unsigned i = 0; i < WINDOW; i++) {
			unsigned number = (unsigned)(round * 5 + i) % KEYS;

			call_wait(&calls[i]);
			worker->written[number] = round;
			check_key(worker->shared, worker->number, number, round);
		}
	}
	return NULL;
}

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

static void *read_keys(void *state)
{
	struct shared *shared = state;
	struct store_stats stats;

	for (unsigned i = 0; !shared->stop; i++) {
		unsigned count = 0;
		struct key last = { 0 };
		bool more;

		check_key(shared, i % WRITERS, i / WRITERS % KEYS, 0);
		if (i % 50 != 0)
			continue;
		if (store_list(shared->store, &last, WRITERS * KEYS, count_one, &count, &more,
			       &last) < 0)
			shared->faults++;
		store_stats(shared->store, &stats);
	}
	return NULL;
}

static void run_threads(struct shared *shared, struct worker *workers)
{
	pthread_t writers[WRITERS], readers[READERS];

	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_keys, shared), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		workers[i] = (struct worker){ .shared = shared, .number = i, .waits = i % 2 };
		assert_int_equal(pthread_create(&writers[i], NULL, write_keys, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	shared->stop = true;
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
}

static void writers_read_back_what_they_wrote_while_others_work(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 32 * 1024,
		.cache_bytes = 256 * 1024,
		.inline_bytes = 4096,
		.log_retain_bytes = 256 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
	struct worker workers[WRITERS];
	struct shared shared = { 0 };
	char *why = NULL;

	(void)state;
	mutex_init(&shared.lock);
	condition_init(&shared.answered);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	assert_int_equal(store_lead_next(shared.store, 1), 0);
	run_threads(&shared, workers);
	shared.store = store_close(shared.store);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	assert_int_equal(store_lead_next(shared.store, 1), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned number = 0; number < KEYS; number++)
			check_key(&shared, i, number, workers[i].written[number]);
	store_close(shared.store);
	assert_int_equal(shared.faults, 0);
	condition_deinit(&shared.answered);
	mutex_deinit(&shared.lock);
	crash_vfs_free(crash);
}

/* Nothing but time brings it to the disk. */
static void what_a_waiting_thread_committed_is_synced_though_nobody_else_writes(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 1024 * 1024,
		.log_retain_bytes = 256 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
	struct store_write write = { .kind = WRITE_PUT, .key = key_of(1, 1) };
	uint64_t deadline = clock_monotonic_ms() + 60000;
	struct store_standing standing = { 0 };
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(store_open(&options, &store, &why), 0);
	assert_int_equal(store_lead_next(store, 1), 0);
	write.request.durability = DURABILITY_MEMORY;
	store_commit(store, &write);
	assert_int_equal(write.outcome, OUTCOME_CREATED);
	while (standing.synced.sequence < write.meta.version.sequence) {
		assert_true(clock_monotonic_ms() < deadline);
		assert_int_equal(store_standing(store, &standing), 0);
		usleep(1000);
	}
	store_close(store);
	crash_vfs_free(crash);
}

struct pause {
	struct store_pause pause;
	struct mutex lock;
	struct condition told;
	bool done;
};

static void note_paused(struct store_pause *pause)
{
	struct pause *at = (struct pause *)pause;

	mutex_lock(&at->lock);
	at->done = true;
	condition_signal(&at->told);
	mutex_unlock(&at->lock);
}

/* Nothing is committed while it lasts. */
static void pause_and_resume(struct shared *shared)
{
	struct pause pause = { .pause.done = note_paused };
	struct store_stats before, after;

	mutex_init(&pause.lock);
	condition_init(&pause.told);
	store_pause(shared->store, &pause.pause);
	mutex_lock(&pause.lock);
	while (!pause.done)
		condition_wait(&pause.told, &pause.lock);
	mutex_unlock(&pause.lock);
	store_stats(shared->store, &before);
	sched_yield();
	store_stats(shared->store, &after);
	if (pause.pause.result != 0 || after.position != before.position)
		shared->faults++;
	store_resume(shared->store);
	condition_deinit(&pause.told);
	mutex_deinit(&pause.lock);
}

static void *pause_often(void *state)
{
	struct shared *shared = state;

	while (!shared->stop)
		pause_and_resume(shared);
	return NULL;
}

static void *commit_and_check(void *state)
{
	struct worker *worker = state;
	struct call call;

	for (uint64_t round = 1; round <= 4 * ROUNDS; round++) {
		submit(worker, &call, (unsigned)round % KEYS, round);
		if (!outcome_is_success(call.write.outcome) ||
		    call.write.meta.version.sequence == 0)
			worker->shared->faults++;
		check_key(worker->shared, worker->number, (unsigned)round % KEYS, round);
	}
	return NULL;
}

static void a_waiting_thread_gets_its_answer_though_the_store_pauses_meanwhile(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 1024 * 1024,
		.log_retain_bytes = 256 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
	struct worker workers[2];
	struct shared shared = { 0 };
	pthread_t writers[2], pauser;
	char *why = NULL;

	(void)state;
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	assert_int_equal(store_lead_next(shared.store, 1), 0);
	assert_int_equal(pthread_create(&pauser, NULL, pause_often, &shared), 0);
	for (unsigned i = 0; i < 2; i++) {
		workers[i] = (struct worker){ .shared = &shared, .number = i, .waits = true };
		assert_int_equal(pthread_create(&writers[i], NULL, commit_and_check, &workers[i]),
				 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	shared.stop = true;
	pthread_join(pauser, NULL);
	store_close(shared.store);
	assert_int_equal(shared.faults, 0);
	crash_vfs_free(crash);
}

/* While it is shut syncs wait; then they do as they are told. */
static struct {
	struct mutex lock;
	struct condition changed;
	const struct vfs_ops *real;
	struct vfs_ops ops;
	bool shut;
	unsigned waiting, failures;
} gate;

static int gated_sync(struct vfs_file *file)
{
	bool fails;

	mutex_lock(&gate.lock);
	gate.waiting += gate.shut;
	condition_broadcast(&gate.changed);
	while (gate.shut)
		condition_wait(&gate.changed, &gate.lock);
	fails = gate.failures > 0;
	gate.failures -= fails;
	mutex_unlock(&gate.lock);
	return fails ? -EIO : gate.real->sync(file);
}

static void gate_init(struct vfs *vfs)
{
	mutex_init(&gate.lock);
	condition_init(&gate.changed);
	gate.real = vfs->ops;
	gate.ops = *vfs->ops;
	gate.ops.sync = gated_sync;
	gate.waiting = 0;
	vfs->ops = &gate.ops;
}

static void gate_deinit(struct vfs *vfs)
{
	vfs->ops = gate.real;
	condition_deinit(&gate.changed);
	mutex_deinit(&gate.lock);
}

static void gate_set(bool shut, unsigned failures)
{
	mutex_lock(&gate.lock);
	gate.shut = shut;
	gate.failures = failures;
	condition_broadcast(&gate.changed);
	mutex_unlock(&gate.lock);
}

static void gate_wait(void)
{
	mutex_lock(&gate.lock);
	while (gate.waiting == 0)
		condition_wait(&gate.changed, &gate.lock);
	mutex_unlock(&gate.lock);
}

static uint64_t commit_one(struct store *store, unsigned number, bool waits)
{
	struct shared shared = { .store = store };
	struct worker worker = { .shared = &shared, .waits = waits };
	struct call call;

	mutex_init(&shared.lock);
	condition_init(&shared.answered);
	submit(&worker, &call, number, number * 4 + 1);
	call_wait(&call);
	assert_int_equal(shared.faults, 0);
	condition_deinit(&shared.answered);
	mutex_deinit(&shared.lock);
	return call.write.meta.version.sequence;
}

static void wait_until_synced(struct store *store, uint64_t sequence)
{
	uint64_t deadline = clock_monotonic_ms() + 60000;
	struct store_standing standing = { 0 };

	while (standing.synced.sequence < sequence) {
		assert_true(clock_monotonic_ms() < deadline);
		assert_int_equal(store_standing(store, &standing), 0);
		usleep(1000);
	}
}

/* The sync for the first write waits, then fails so often, while others are answered. All of them
 * survive a power cut afterwards. */
static void check_slow_sync(unsigned failures)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 1024 * 1024,
		.log_retain_bytes = 256 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
	struct shared shared = { 0 };
	uint64_t last;
	char *why = NULL;

	gate_init(options.vfs);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	assert_int_equal(store_lead_next(shared.store, 1), 0);
	gate_set(true, failures);
	commit_one(shared.store, 0, true);
	gate_wait();
	commit_one(shared.store, 1, true);
	last = commit_one(shared.store, 2, false);
	gate_set(false, failures);
	wait_until_synced(shared.store, last);
	crash_vfs_cut(crash);
	store_close(shared.store);
	crash_vfs_restart(crash);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	for (unsigned i = 0; i < 3; i++)
		check_key(&shared, 0, i, i * 4 + 1);
	store_close(shared.store);
	gate_deinit(options.vfs);
	assert_int_equal(shared.faults, 0);
	crash_vfs_free(crash);
}

static void a_write_does_not_wait_for_a_sync_that_is_none_of_its_own(void **state)
{
	(void)state;
	check_slow_sync(0);
}

static void what_was_written_during_a_sync_that_failed_is_not_lost(void **state)
{
	(void)state;
	check_slow_sync(1);
}

/* A write that memory holds, a sync that fails, before the store closes or as it does, and a power
 * cut once it is closed. */
static void check_close(uint64_t seed, bool before)
{
	struct crash_vfs *crash = crash_vfs_new(seed);
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 1024 * 1024,
		.log_retain_bytes = 256 * 1024,
		.log_retain_s = 600,
		.threads = true,
	};
	struct shared shared = { 0 };
	char *why = NULL;

	gate_init(options.vfs);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	assert_int_equal(store_lead_next(shared.store, 1), 0);
	gate_set(before, 1);
	commit_one(shared.store, 0, true);
	if (before)
		gate_wait();
	gate_set(false, 1);
	store_close(shared.store);
	assert_int_equal(gate.failures, 0);
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	assert_int_equal(store_open(&options, &shared.store, &why), 0);
	check_key(&shared, 0, 0, 1);
	store_close(shared.store);
	gate_deinit(options.vfs);
	assert_int_equal(shared.faults, 0);
	crash_vfs_free(crash);
}

static void an_orderly_end_keeps_what_a_failed_sync_left_in_memory(void **state)
{
	(void)state;
	/* What the power cut leaves of it all is up to chance. */
	for (uint64_t seed = 1; seed <= 8; seed++)
		check_close(seed, false);
	for (uint64_t seed = 1; seed <= 4; seed++)
		check_close(seed, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writers_read_back_what_they_wrote_while_others_work),
		cmocka_unit_test(
			what_a_waiting_thread_committed_is_synced_though_nobody_else_writes),
		cmocka_unit_test(
			a_waiting_thread_gets_its_answer_though_the_store_pauses_meanwhile),
		cmocka_unit_test(a_write_does_not_wait_for_a_sync_that_is_none_of_its_own),
		cmocka_unit_test(what_was_written_during_a_sync_that_failed_is_not_lost),
		cmocka_unit_test(an_orderly_end_keeps_what_a_failed_sync_left_in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

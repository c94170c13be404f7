/* SPDX-License-Identifier: MIT */
/*
 * A log is read and applied to another store while it is written, trimmed, and given up after
 * failed syncs; built with -Db_sanitize=thread this is the race test.
 */
#include "tests/sim/crash_vfs.h"
#include "tests/sim/shipping.h"

#include "lib/bytes.h"
#include "lib/clock.h"
#include "lib/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WRITERS     3
#define READERS     3
#define WRITES      1500 /* of each writer */
#define KEYS        16
#define DEADLINE_MS 120000

struct shared {
	struct crash_vfs *crash;
	struct store *leader, *follower;
	_Atomic bool writing;
	_Atomic unsigned faults, trimmed;
	struct mutex lock;
	struct condition changed; /* a write was answered, or more is on disk */
	uint64_t synced;
};

struct call {
	struct store_write write;
	struct shared *shared;
	uint8_t data[120];
	bool answered;
};

struct worker {
	struct shared *shared;
	unsigned number;
};

static void on_done(struct store_write *write)
{
	struct call *call = write->state;

	mutex_lock(&call->shared->lock);
	call->answered = true;
	condition_broadcast(&call->shared->changed);
	mutex_unlock(&call->shared->lock);
}

static void on_synced(void *state)
{
	struct shared *shared = state;

	mutex_lock(&shared->lock);
	shared->synced++;
	condition_broadcast(&shared->changed);
	mutex_unlock(&shared->lock);
}

/* The value is made of the number, which stands in front, so that a reader can tell. */
static void submit(struct worker *worker, struct call *call, uint64_t number)
{
	struct shared *shared = worker->shared;
	uint64_t deadline = clock_monotonic_ms() + DEADLINE_MS;

	*call = (struct call){ .shared = shared };
	memset(call->data, (int)number, sizeof(call->data));
	put_u64(call->data, number);
	call->write.kind = WRITE_PUT;
	call->write.key =
		(struct key){ .len = 2,
			      .bytes = { (uint8_t)worker->number, (uint8_t)(number % KEYS) } };
	call->write.value = call->data;
	call->write.value_len = sizeof(call->data);
	call->write.request.durability = number % 3 ? DURABILITY_MEMORY : DURABILITY_DISK;
	call->write.done = on_done;
	call->write.state = call;
	store_submit(shared->leader, &call->write);
	mutex_lock(&shared->lock);
	while (!call->answered)
		if (condition_wait_until(&shared->changed, &shared->lock, deadline) < 0)
			abort();
	mutex_unlock(&shared->lock);
}

static void *write_many(void *state)
{
	struct worker *worker = state;

	for (uint64_t i = 1; i <= WRITES; i++) {
		struct call call;

		if (worker->number == 0 && i % 100 == 0)
			crash_vfs_fail(worker->shared->crash, 1 + i / 100 % 5, 1, EIO);
		submit(worker, &call, i);
	}
	return NULL;
}

struct reader {
	struct shared *shared;
	struct version last;
	uint64_t numbers[WRITERS][KEYS]; /* the newest seen */
	unsigned records;
};

static int see(const struct shipped_record *shipped, void *state)
{
	struct bytes_reader bytes = bytes_reader(shipped->payload, shipped->payload_len);
	struct reader *reader = state;
	bool sound = true;

	for (uint32_t i = 0; i < shipped->count && sound; i++) {
		struct entry entry;
		uint64_t number;

		sound = entry_decode(&bytes, &entry) == 0 && entry.key_len == 2 &&
			entry.key[0] < WRITERS && entry.size_bytes == 120 &&
			entry.version.sequence == reader->last.sequence + 1 &&
			entry.version.epoch >= reader->last.epoch;
		if (!sound)
			break;
		number = get_u64(entry.value);
		sound = number % KEYS == entry.key[1] &&
			number > reader->numbers[entry.key[0]][entry.key[1]];
		reader->numbers[entry.key[0]][entry.key[1]] = number;
		reader->last = entry.version;
	}
	reader->records++;
	if (!sound)
		reader->shared->faults++;
	return sound ? 0 : -EBADMSG;
}

/* Waits for what is new, as a follower's long poll does; a lazy one waits for more. */
static void wait_for_news(struct shared *shared, uint64_t *synced, uint64_t count)
{
	uint64_t deadline = clock_monotonic_ms() + 100;

	mutex_lock(&shared->lock);
	while (shared->synced < *synced + count &&
	       condition_wait_until(&shared->changed, &shared->lock, deadline) == 0)
		;
	*synced = shared->synced;
	mutex_unlock(&shared->lock);
}

/* One that was too slow begins again where the log does, as one that was bootstrapped. */
static void catch_up(struct shared *shared, struct reader *reader)
{
	struct version end = shipping_end(shared->leader);

	*reader = (struct reader){ .shared = shared, .last = end };
	shared->trimmed++;
}

static void *read_on(void *state)
{
	struct worker *worker = state;
	struct shared *shared = worker->shared;
	struct reader reader = { .shared = shared };
	bool last_round = false;
	uint64_t synced = 0;

	while (!last_round) {
		int r;

		last_round = !shared->writing;
		do {
			unsigned before = reader.records;

			(void)store_log_distance(shared->leader, reader.last);
			r = store_log_read(shared->leader, reader.last, 1000 << worker->number, see,
					   &reader);
			if (r == 0 && reader.records == before)
				break;
		} while (r == 0);
		if (r == STORE_LOG_TRIMMED)
			catch_up(shared, &reader);
		/* A failing call may be the reader's. */
		else if (r != 0 && r != -EIO)
			shared->faults++;
		else if (r == 0)
			wait_for_news(shared, &synced, worker->number == 8 ? 2000 : 1);
	}
	if (version_compare(reader.last, shipping_end(shared->leader)) != 0)
		shared->faults++;
	return NULL;
}

/* The third kind of reader: a store. */
static void *follow(void *state)
{
	struct shared *shared = state;
	bool last_round = false;
	uint64_t synced = 0;

	while (!last_round) {
		int r;

		last_round = !shared->writing;
		do
			r = shipping_pull(shared->leader, shared->follower, 20);
		while (r > 0);
		if (r < 0 && r != -EIO)
			shared->faults++;
		if (r < 0)
			last_round = false;
		wait_for_news(shared, &synced, 1);
	}
	return NULL;
}

static void check_same(struct shared *shared)
{
	for (unsigned i = 0; i < WRITERS * KEYS; i++) {
		struct key key = { .len = 2,
				   .bytes = { (uint8_t)(i / KEYS), (uint8_t)(i % KEYS) } };
		struct store_record ours, theirs;
		int r = store_get(shared->leader, &key, 0, &ours);

		assert_int_equal(store_get(shared->follower, &key, 0, &theirs), r);
		if (r != 0)
			continue;
		assert_int_equal(version_compare(ours.meta.version, theirs.meta.version), 0);
		assert_memory_equal(store_record_inline(&ours), store_record_inline(&theirs), 120);
		store_record_release(&ours);
		store_record_release(&theirs);
	}
}

static void *pin_and_trim(void *state)
{
	struct worker *worker = state;
	struct shared *shared = worker->shared;

	while (shared->writing) {
		struct store_stats stats;
		struct wal_pin *pin = NULL;

		store_stats(shared->leader, &stats);
		if (store_log_pin(shared->leader, stats.position, &pin) == 0) {
			store_want_room(shared->leader);
			store_log_unpin(shared->leader, pin);
		}
	}
	return NULL;
}

static struct store *open_store(struct crash_vfs *crash, const char *dir, uint64_t retain_bytes)
{
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = dir,
		.cluster = "sim",
		.node = dir + 1,
		.memtable_bytes = 16384,
		.inline_bytes = 1024,
		.log_retain_bytes = retain_bytes,
		.log_retain_s = 600,
		.threads = true,
	};
	struct store *store = NULL;
	char *why = NULL;

	assert_int_equal(store_open(&options, &store, &why), 0);
	return store;
}

static void shared_init(struct shared *shared, uint64_t retain_bytes)
{
	*shared = (struct shared){ .writing = true, .crash = crash_vfs_new(1) };
	mutex_init(&shared->lock);
	condition_init(&shared->changed);
	shared->leader = open_store(shared->crash, "/leader", retain_bytes);
	assert_int_equal(store_lead_next(shared->leader, 1), 0);
	store_on_synced(shared->leader, on_synced, shared);
}

static void shared_deinit(struct shared *shared)
{
	store_on_synced(shared->leader, NULL, NULL);
	store_close(shared->leader);
	store_close(shared->follower);
	assert_int_equal(shared->faults, 0);
	condition_deinit(&shared->changed);
	mutex_deinit(&shared->lock);
	crash_vfs_free(shared->crash);
}

/* All write at once; then the log is good, and all of it on disk. */
static void write_all(struct shared *shared)
{
	struct worker workers[WRITERS];
	pthread_t writers[WRITERS];
	uint64_t number = 2 * WRITES; /* on disk: a multiple of 3 */
	bool settled = false;

	for (unsigned i = 0; i < WRITERS; i++) {
		workers[i] = (struct worker){ shared, i };
		assert_int_equal(pthread_create(&writers[i], NULL, write_many, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	crash_vfs_fail(shared->crash, 0, 0, 0);
	for (; !settled; number += 3) {
		struct call call;

		submit(&workers[0], &call, number);
		settled = outcome_is_success(call.write.outcome);
	}
	shared->writing = false;
}

static void readers_get_all_entries_in_order_beside_writing_and_trimming(void **state)
{
	struct worker reading[READERS];
	pthread_t readers[READERS], trimmer;
	struct shared shared;

	(void)state;
	shared_init(&shared, 256 << 10);
	for (unsigned i = 0; i < READERS; i++) {
		reading[i] = (struct worker){ &shared, i * 4 };
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &reading[i]), 0);
	}
	assert_int_equal(pthread_create(&trimmer, NULL, pin_and_trim, &reading[0]), 0);
	write_all(&shared);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	pthread_join(trimmer, NULL);
	print_message("readers began anew %u times\n", shared.trimmed);
	shared_deinit(&shared);
}

static void a_follower_keeps_up_beside_writing(void **state)
{
	struct shared shared;
	pthread_t follower;

	(void)state;
	shared_init(&shared, 64 << 20);
	shared.follower = open_store(shared.crash, "/follower", 64 << 20);
	assert_int_equal(pthread_create(&follower, NULL, follow, &shared), 0);
	write_all(&shared);
	pthread_join(follower, NULL);
	check_same(&shared);
	shared_deinit(&shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(readers_get_all_entries_in_order_beside_writing_and_trimming),
		cmocka_unit_test(a_follower_keeps_up_beside_writing),
	};

	/* Failing calls make the store complain, and rightly so. */
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

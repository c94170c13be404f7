/* SPDX-License-Identifier: MIT */
/* Bits of a running store's log turn over on the disk: the log is given up as far as it has to be,
 * and nothing else is lost. */
#include "node/checkpoint.h"
#include "node/log_mend.h"
#include "node/log_read.h"
#include "node/store_private.h"
#include "tests/sim/own_writes.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void write_many(struct own_writes *own, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		own_writes_one(own);
	own_writes_barrier(own);
}

static int count_record(const struct shipped_record *record, void *state)
{
	*(uint64_t *)state += record->count;
	return 0;
}

static int read_behind(struct own_writes *own, struct version after, uint64_t *ret_entries)
{
	*ret_entries = 0;
	return store_log_read(own->store, after, SIZE_MAX, count_record, ret_entries);
}

/* In one of the log's files, behind its header; yields the file. */
static uint64_t spoil(struct own_writes *own, uint64_t random)
{
	struct wal_extent *extents, spoiled;
	struct wal_mark synced;
	uint64_t records;
	char path[64];
	size_t count;

	assert_int_equal(wal_extents(own->store->wal, &extents, &count, &synced), 0);
	spoiled = extents[random % count];
	/* The newest may be empty. */
	if (spoiled.bytes <= WAL_FILE_HEADER_BYTES)
		spoiled = extents[0];
	free(extents);
	records = spoiled.bytes - WAL_FILE_HEADER_BYTES;
	assert_true(records > 0);
	snprintf(path, sizeof(path), "/data/log/%08" PRIx64 ".wal", spoiled.file_id);
	/* More than what fills up a record. */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(
			crash_vfs_flip(own->crash, path,
				       WAL_FILE_HEADER_BYTES + (random * 7919 + i) % records,
				       i % 8),
			0);
	return spoiled.file_id;
}

static void open_with_log(struct own_writes *own, uint64_t seed)
{
	own_writes_init(own, seed);
	/* Of several files. */
	own->retain_bytes = seed % 2 ? 65536 : 1 << 30;
	own_writes_open(own);
	write_many(own, 40 + (unsigned)(seed % 8) * 60);
}

static void expect_all_in_order(struct own_writes *own)
{
	own_writes_close(own);
	own_writes_expect_sound(own, "/data");
	own_writes_expect_state(own, "/data", own->last.sequence);
}

static void damage_is_noticed_and_what_was_damaged_is_given_up(void **state)
{
	static const struct version start = { 0 };

	(void)state;
	for (uint64_t seed = 1; seed <= 24; seed++) {
		struct checkpoint *checkpoint;
		struct request_id id;
		struct own_writes own;
		uint64_t file, entries;
		struct version last;
		struct key key;

		open_with_log(&own, seed);
		own_writes_put_with_id(&own, &id, &key);
		own_writes_barrier(&own);
		last = own.last;
		file = spoil(&own, seed);
		/* Whoever reads the log through meets it. */
		assert_int_equal(checkpoint_new(own.store, &checkpoint), -EBADMSG);
		assert_int_equal(store_log_damage(own.store).file_id, file);
		assert_int_equal(store_log_mend(own.store), 0);
		assert_int_equal(store_log_damage(own.store).file_id, 0);
		assert_int_equal(read_behind(&own, start, &entries), STORE_LOG_TRIMMED);
		assert_int_equal(checkpoint_new(own.store, &checkpoint), 0);
		checkpoint_free(checkpoint);
		write_many(&own, 20);
		assert_int_equal(read_behind(&own, last, &entries), 0);
		assert_int_equal(entries, own.last.sequence - last.sequence);
		own_writes_close(&own);
		own_writes_open(&own);
		assert_true(store_knows_request(own.store, &id, &key));
		expect_all_in_order(&own);
		own_writes_deinit(&own);
	}
}

static void who_reads_on_meets_damage_too(void **state)
{
	static const struct version start = { 0 };
	struct own_writes own;
	uint64_t file, entries;

	(void)state;
	open_with_log(&own, 2);
	file = spoil(&own, 2);
	assert_int_equal(read_behind(&own, start, &entries), -EBADMSG);
	assert_int_equal(store_log_damage(own.store).file_id, file);
	/* A second look may show that there is none. */
	assert_int_equal(spoil(&own, 2), file);
	assert_int_equal(store_log_mend(own.store), 0);
	assert_int_equal(store_log_damage(own.store).file_id, 0);
	assert_int_equal(read_behind(&own, start, &entries), 0);
	assert_int_equal(entries, own.last.sequence);
	expect_all_in_order(&own);
	own_writes_deinit(&own);
}

static void what_is_pinned_is_given_up_once_it_is_not(void **state)
{
	struct wal_pin *pin = NULL, *hold = NULL;
	struct checkpoint *checkpoint;
	struct own_writes own;

	(void)state;
	open_with_log(&own, 4);
	spoil(&own, 4);
	assert_int_equal(checkpoint_new(own.store, &checkpoint), -EBADMSG);
	assert_int_equal(store_log_pin(own.store, 0, &pin), 0);
	assert_int_equal(store_log_hold(own.store, (struct version){ 0 }, &hold), 0);
	assert_int_equal(store_log_mend(own.store), -EBUSY);
	pin = store_log_unpin(own.store, pin);
	assert_int_equal(store_log_mend(own.store), 0);
	hold = store_log_unpin(own.store, hold);
	expect_all_in_order(&own);
	own_writes_deinit(&own);
}

static void a_call_that_fails_loses_nothing_and_the_next_attempt_works(void **state)
{
	uint64_t failures = 1;

	(void)state;
	for (uint64_t nth = 1; failures > 0; nth++) {
		struct checkpoint *checkpoint;
		struct own_writes own;

		open_with_log(&own, 8);
		spoil(&own, nth);
		assert_int_equal(checkpoint_new(own.store, &checkpoint), -EBADMSG);
		crash_vfs_fail(own.crash, nth, 1, nth % 2 ? ENOSPC : EIO);
		store_log_mend(own.store);
		failures = crash_vfs_failures(own.crash);
		crash_vfs_fail(own.crash, 1, 0, 0);
		own_writes_settle(&own);
		assert_int_equal(store_log_mend(own.store), 0);
		assert_int_equal(checkpoint_new(own.store, &checkpoint), 0);
		checkpoint_free(checkpoint);
		write_many(&own, 10);
		expect_all_in_order(&own);
		own_writes_deinit(&own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damage_is_noticed_and_what_was_damaged_is_given_up),
		cmocka_unit_test(who_reads_on_meets_damage_too),
		cmocka_unit_test(what_is_pinned_is_given_up_once_it_is_not),
		cmocka_unit_test(a_call_that_fails_loses_nothing_and_the_next_attempt_works),
	};

	if (!getenv("HEXKV_TEST_LOG") && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The store on a disk whose calls fail, one at a time, and on one that is full. */
#include "node/store.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS         60
#define KEYS_MANY    200
#define INLINE_BYTES 256
#define FILE_LEN     700
#define NODE_ID      1

static int64_t simulated_ns = 1700000000000000000;

static int64_t simulated_clock(void)
{
	return simulated_ns += 1000000;
}

static struct store_options options_for(struct crash_vfs *crash)
{
	return (struct store_options){
		.vfs = crash_vfs_base(crash),
		.dir = "/data",
		.cluster = "sim",
		.node = "n1",
		.memtable_bytes = 4096,
		.cache_bytes = 65536,
		.inline_bytes = INLINE_BYTES,
		.log_retain_bytes = 128 * 1024,
		.log_retain_s = 600,
		.realtime_ns = simulated_clock,
	};
}

/* As a node that is alone does it. */
static int open_leading(const struct store_options *options, struct store **ret_store,
			char **ret_why)
{
	struct store *store = NULL;
	int r;

	*ret_store = NULL;
	r = store_open(options, &store, ret_why);
	if (r < 0)
		return r;
	r = store_lead_next(store, NODE_ID);
	if (r < 0) {
		store_close(store);
		return r;
	}
	*ret_store = store;
	return 0;
}

/* What is known of one key after its put, and perhaps a delete. */
enum fate { ABSENT, PRESENT, UNKNOWN };

struct call {
	struct store_write write;
	uint8_t data[FILE_LEN];
	bool answered;
};

static void on_done(struct store_write *write)
{
	((struct call *)write->state)->answered = true;
}

static void call_init(struct call *call, enum write_kind kind, unsigned key,
		      enum durability durability)
{
	*call = (struct call){ 0 };
	call->write.kind = kind;
	call->write.key = (struct key){ .len = 2, .bytes = { 'k', (uint8_t)key } };
	call->write.request.durability = durability;
	call->write.done = on_done;
	call->write.state = call;
}

static enum fate run(struct store *store, struct call *call, enum fate on_success, enum fate before)
{
	store_submit(store, &call->write);
	assert_true(call->answered);
	if (outcome_is_success(call->write.outcome))
		return on_success;
	return call->write.maybe_applied ? UNKNOWN : before;
}

static enum fate put_file(struct store *store, struct call *call)
{
	struct value_writer *writer;
	int r = value_writer_new(store_values(store), &writer);

	if (r < 0)
		return ABSENT;
	r = value_writer_append(writer, call->data, FILE_LEN);
	if (r < 0) {
		value_writer_abort(writer);
		return ABSENT;
	}
	if (value_writer_finish(writer, &call->write.file, &call->write.file_size,
				&call->write.file_hash, &call->write.file_utf8) < 0)
		return ABSENT;
	return run(store, call, PRESENT, ABSENT);
}

static enum fate put(struct store *store, unsigned key, enum durability durability)
{
	static struct call call;

	call_init(&call, WRITE_PUT, key, durability);
	memset(call.data, (int)key, FILE_LEN);
	if (key % 7 == 0)
		return put_file(store, &call);
	call.write.value = call.data;
	call.write.value_len = INLINE_BYTES;
	return run(store, &call, PRESENT, ABSENT);
}

static enum fate delete (struct store *store, unsigned key, enum fate before) {
	static struct call call;

	call_init(&call, WRITE_DELETE, key, DURABILITY_DISK);
	if (run(store, &call, ABSENT, before) == ABSENT) return ABSENT;
	if (call.write.outcome == OUTCOME_NOT_FOUND) return before == PRESENT ? PRESENT : ABSENT;
	return call.write.maybe_applied ? UNKNOWN : before;
}

static int get(struct store *store, unsigned key, struct store_record *ret_record)
{
	struct key k = { .len = 2, .bytes = { 'k', (uint8_t)key } };

	return store_get(store, &k, 0, ret_record);
}

/* Of a store whose disk works again. */
static void assert_fates(struct store *store, const enum fate *fates, const char *when,
			 uint64_t nth)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];

	for (unsigned key = 0; key < KEYS; key++) {
		struct store_record record;
		const uint8_t *data;
		int r = get(store, key, &record);

		if (r < 0) /* the failing call itself */
			r = get(store, key, &record);
		if (r < 0 || (r == 0 && fates[key] == ABSENT) ||
		    (r == STORE_NOT_FOUND && fates[key] == PRESENT)) {
			print_message("call %" PRIu64 ", %s: key %u: %d, fate %d\n", nth, when, key,
				      r, fates[key]);
			fail();
		}
		if (r != 0)
			continue;
		data = store_record_inline(&record);
		if (!data) {
			ssize_t n = value_file_read_chunk(record.held.file, FILE_LEN, 0, chunk, 0);

			if (n < 0)
				n = value_file_read_chunk(record.held.file, FILE_LEN, 0, chunk, 0);
			assert_int_equal(n, FILE_LEN);
			data = chunk;
		}
		assert_int_equal(data[0], key);
		store_record_release(&record);
	}
}

/* Only one call fails at a time, so the second attempt works. */
static void lead_again(struct store *store)
{
	struct store_standing before, after;

	assert_int_equal(store_standing(store, &before), 0);
	assert_int_equal(store_follow(store), 0);
	if (store_lead_next(store, NODE_ID) < 0) {
		simulated_ns += 2000000000;
		assert_int_equal(store_lead_next(store, NODE_ID), 0);
	}
	assert_int_equal(store_standing(store, &after), 0);
	assert_int_equal(after.role, STORE_LEADING);
	assert_true(after.epoch > before.epoch && after.epoch == after.promise);
}

static void write_all(struct store *store, enum fate *fates)
{
	for (unsigned key = 0; key < KEYS; key++) {
		fates[key] = put(store, key, key % 3 ? DURABILITY_DISK : DURABILITY_MEMORY);
		if (key % 5 == 4)
			fates[key - 2] = delete (store, key - 2, fates[key - 2]);
		if (key % 10 == 0)
			simulated_ns += 2000000000; /* retries are due */
		if (key % 15 == 14)
			lead_again(store);
	}
}

/* One run with one failing call; false once no call was left to fail. */
static bool run_failing(uint64_t nth, int error)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = options_for(crash);
	enum fate fates[KEYS] = { 0 };
	struct store *store;
	char *why = NULL;
	bool failed;

	crash_vfs_fail(crash, nth, 1, error);
	if (open_leading(&options, &store, &why) == 0) {
		write_all(store, fates);
		assert_fates(store, fates, "before the end", nth);
		store_close(store);
	}
	free(why);
	failed = crash_vfs_failures(crash) > 0;
	/* What only the memory promised may be gone. */
	for (unsigned key = 0; key < KEYS; key += 3)
		if (fates[key] == PRESENT)
			fates[key] = UNKNOWN;
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	why = NULL;
	if (open_leading(&options, &store, &why) < 0) {
		print_message("call %" PRIu64 ": %s\n", nth, why ? why : "not led");
		fail();
	}
	assert_fates(store, fates, "after the power cut", nth);
	store_close(store);
	crash_vfs_free(crash);
	return failed;
}

static void every_failing_call_loses_nothing(void **state)
{
	static const int errors[] = { EIO, ENOSPC };

	(void)state;
	for (int i = 0; i < 2; i++) {
		uint64_t nth = 1;

		while (run_failing(nth, errors[i]))
			assert_true(++nth < 20000);
		print_message("%" PRIu64 " calls failed with %s\n", nth - 1, strerror(errors[i]));
	}
}

static void a_full_disk_refuses_puts_serves_deletes_and_recovers(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store_stats stats;
	struct store *store;
	bool stored[KEYS_MANY] = { false };
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 170 * 1024);
	assert_int_equal(open_leading(&options, &store, &why), 0);
	for (unsigned i = 0;; i++) {
		enum fate fate = put(store, i % KEYS_MANY, DURABILITY_DISK);

		assert_true(i < 5000);
		store_stats(store, &stats);
		if (stats.full)
			break;
		/* Room for a value file may run out before room for the log does. */
		if (fate == PRESENT && i % 7 != 0)
			stored[i % KEYS_MANY] = true;
	}
	for (unsigned victim = 0; victim < KEYS_MANY / 2; victim++) {
		struct store_record record;

		if (!stored[victim])
			continue;
		assert_int_equal(get(store, victim, &record), 0);
		store_record_release(&record);
		assert_int_equal(delete (store, victim, PRESENT), ABSENT);
		assert_int_equal(get(store, victim, &record), STORE_NOT_FOUND);
	}
	/* Room returns: the next write finds it, without a restart. */
	crash_vfs_set_capacity(crash, 4 * 1024 * 1024);
	simulated_ns += 5000000000;
	assert_int_equal(put(store, 1, DURABILITY_DISK), PRESENT);
	store_stats(store, &stats);
	assert_false(stats.full);
	store_close(store);
	assert_int_equal(open_leading(&options, &store, &why), 0);
	assert_int_equal(get(store, 2, &(struct store_record){ 0 }), STORE_NOT_FOUND);
	store_close(store);
	crash_vfs_free(crash);
}

static void a_large_value_replaced_often_does_not_pile_up(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store_stats stats;
	struct store *store;
	char *why = NULL;

	(void)state;
	options.log_retain_bytes = 32 * 1024;
	options.memtable_bytes = 1024 * 1024; /* the entries alone never fill it */
	assert_int_equal(open_leading(&options, &store, &why), 0);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(put(store, 7, DURABILITY_DISK), PRESENT);
	store_stats(store, &stats);
	assert_true(stats.value_bytes < 2000 * FILE_LEN / 4);
	store_close(store);
	crash_vfs_free(crash);
}

/* Keys whose values are files. */
#define FILE_KEY(i) ((i)*7)
#define FILE_KEYS   36

static void large_values_that_are_deleted_give_their_room_back(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store_stats stats;
	struct store *store;
	char *why = NULL;

	(void)state;
	options.log_retain_bytes = 8 * FILE_LEN;
	options.memtable_bytes = 1024 * 1024; /* tombstones alone never fill it */
	assert_int_equal(open_leading(&options, &store, &why), 0);
	for (unsigned i = 0; i < FILE_KEYS; i++)
		assert_int_equal(put(store, FILE_KEY(i), DURABILITY_DISK), PRESENT);
	for (unsigned i = 0; i < FILE_KEYS; i++)
		assert_int_equal(delete (store, FILE_KEY(i), PRESENT), ABSENT);
	store_stats(store, &stats);
	assert_true(stats.value_bytes < 20 * FILE_LEN);
	store_close(store);
	crash_vfs_free(crash);
}

static void deletes_make_room_on_a_full_disk(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store *store;
	unsigned stored = 0;
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 100 * 1024);
	assert_int_equal(open_leading(&options, &store, &why), 0);
	while (stored < FILE_KEYS && put(store, FILE_KEY(stored), DURABILITY_DISK) == PRESENT)
		stored++;
	assert_in_range(stored, 3, FILE_KEYS - 1);
	for (unsigned i = 0; i < stored; i++)
		assert_int_equal(delete (store, FILE_KEY(i), PRESENT), ABSENT);
	simulated_ns += 5000000000;
	for (unsigned i = 0; i < stored / 2; i++)
		assert_int_equal(put(store, FILE_KEY(i), DURABILITY_DISK), PRESENT);
	store_close(store);
	crash_vfs_free(crash);
}

static void a_store_on_a_full_disk_still_opens(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store *store;
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 170 * 1024);
	assert_int_equal(open_leading(&options, &store, &why), 0);
	for (unsigned i = 0; put(store, i % KEYS_MANY, DURABILITY_DISK) == PRESENT; i++)
		assert_true(i < 5000);
	store_close(store);
	for (unsigned i = 0; i < 3; i++) {
		if (open_leading(&options, &store, &why) < 0)
			fail_msg("%s", why);
		assert_int_equal(delete (store, i, PRESENT), ABSENT);
		store_close(store);
	}
	crash_vfs_free(crash);
}

static void a_disk_that_stops_taking_syncs_acknowledges_nothing_until_it_works(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store_stats stats;
	enum fate fates[KEYS] = { 0 };
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(open_leading(&options, &store, &why), 0);
	fates[0] = put(store, 0, DURABILITY_MEMORY);
	fates[1] = put(store, 1, DURABILITY_MEMORY);
	crash_vfs_fail(crash, 1, UINT64_MAX, EIO);
	for (unsigned key = 2; key < 6; key++)
		assert_int_not_equal(put(store, key, DURABILITY_DISK), PRESENT);
	store_stats(store, &stats);
	assert_true(stats.failed);
	crash_vfs_fail(crash, 0, 0, EIO);
	simulated_ns += 5000000000;
	fates[8] = put(store, 8, DURABILITY_DISK);
	assert_int_equal(fates[8], PRESENT);
	store_stats(store, &stats);
	assert_false(stats.failed);
	assert_fates(store, fates, "after the failure", 0);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_restart(crash);
	assert_int_equal(open_leading(&options, &store, &why), 0);
	assert_fates(store, fates, "after the power cut", 0);
	store_close(store);
	crash_vfs_free(crash);
}

static bool may_be_applied(struct store *store, unsigned key, uint8_t id)
{
	static struct call call;

	call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	call.write.request.request_id.bytes[0] = id;
	call.write.value = call.data;
	call.write.value_len = INLINE_BYTES;
	assert_int_not_equal(run(store, &call, PRESENT, ABSENT), PRESENT);
	return call.write.maybe_applied;
}

static void a_repeat_of_an_unknown_outcome_is_never_told_that_it_was_not_applied(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(open_leading(&options, &store, &why), 0);
	assert_int_equal(put(store, 1, DURABILITY_DISK), PRESENT);
	crash_vfs_fail(crash, 2, UINT64_MAX, EIO); /* not the append, but its sync */
	assert_true(may_be_applied(store, 2, 77));
	assert_true(may_be_applied(store, 2, 77));
	assert_false(may_be_applied(store, 2, 78));
	crash_vfs_fail(crash, 0, 0, EIO);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_free(crash);
}

static void a_log_that_can_not_be_reopened_at_once_is_written_again_later(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = options_for(crash);
	struct store *store;
	struct call call;
	char *why = NULL;
	bool written = false;

	(void)state;
	assert_int_equal(open_leading(&options, &store, &why), 0);
	call_init(&call, WRITE_PUT, 1, DURABILITY_DISK);
	crash_vfs_fail(crash, 1, 1000, EIO);
	store_submit(store, &call.write);
	assert_false(outcome_is_success(call.write.outcome));
	crash_vfs_fail(crash, 0, 0, 0);
	for (int i = 0; i < 5 && !written; i++) {
		simulated_ns += 1100000000;
		call_init(&call, WRITE_PUT, 1, DURABILITY_DISK);
		store_submit(store, &call.write);
		written = outcome_is_success(call.write.outcome);
	}
	assert_true(written);
	store_close(store);
	crash_vfs_free(crash);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_that_can_not_be_reopened_at_once_is_written_again_later),
		cmocka_unit_test(every_failing_call_loses_nothing),
		cmocka_unit_test(a_full_disk_refuses_puts_serves_deletes_and_recovers),
		cmocka_unit_test(a_large_value_replaced_often_does_not_pile_up),
		cmocka_unit_test(large_values_that_are_deleted_give_their_room_back),
		cmocka_unit_test(deletes_make_room_on_a_full_disk),
		cmocka_unit_test(a_store_on_a_full_disk_still_opens),
		cmocka_unit_test(
			a_repeat_of_an_unknown_outcome_is_never_told_that_it_was_not_applied),
		cmocka_unit_test(
			a_disk_that_stops_taking_syncs_acknowledges_nothing_until_it_works),
	};

	(void)argv;
	/* Every fault makes the store complain, and rightly so; any argument lets it be heard. */
	if (argc == 1 && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

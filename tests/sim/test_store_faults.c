/* SPDX-License-Identifier: MIT */
/* The store on a disk whose calls fail, one at a time, and on one that is full. */
#include "tests/sim/fates.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS_MANY 200

/* One run with one failing call; false once no call was left to fail. */
static bool run_failing(uint64_t nth, int error)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	enum fate fates[FATE_KEYS] = { 0 };
	struct store *store;
	char *why = NULL;
	bool failed;

	crash_vfs_fail(crash, nth, 1, error);
	if (fates_open(&options, &store, &why) == 0) {
		fates_write(store, crash, fates);
		fates_check(store, fates, "before the end", nth);
		store_close(store);
	}
	free(why);
	failed = crash_vfs_failures(crash) > 0;
	fates_forget_unsynced(fates);
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	why = NULL;
	if (fates_open(&options, &store, &why) < 0) {
		print_message("call %" PRIu64 ": %s\n", nth, why ? why : "not led");
		fail();
	}
	fates_check(store, fates, "after the power cut", nth);
	store_close(store);
	crash_vfs_free(crash);
	return failed;
}

/* As run_failing(), while a store opens that has much in its log and did not end well. */
static bool recover_failing(uint64_t nth, int error)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	enum fate fates[FATE_KEYS] = { 0 };
	struct store *store;
	char *why = NULL;
	bool failed;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	fates_write(store, crash, fates);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_restart(crash);
	fates_forget_unsynced(fates);
	crash_vfs_fail(crash, nth, 1, error);
	if (fates_open(&options, &store, &why) == 0) {
		fates_check(store, fates, "after a recovery with a failure", nth);
		store_close(store);
	}
	failed = crash_vfs_failures(crash) > 0;
	free(why);
	why = NULL;
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	if (fates_open(&options, &store, &why) < 0) {
		print_message("call %" PRIu64 ": %s\n", nth, why ? why : "not led");
		fail();
	}
	fates_check(store, fates, "after a second recovery", nth);
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
		nth = 1;
		while (recover_failing(nth, errors[i]))
			assert_true(++nth < 2000);
		print_message("%" PRIu64 " more in a recovery\n", nth - 1);
	}
}

static void a_full_disk_refuses_puts_serves_deletes_and_recovers(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_stats stats;
	struct store *store;
	bool stored[KEYS_MANY] = { false };
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 170 * 1024);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned i = 0;; i++) {
		enum fate fate = fate_put(store, i % KEYS_MANY, DURABILITY_DISK);

		assert_true(i < 5000);
		store_stats(store, &stats);
		if (stats.full)
			break;
		/* Room for a value file may run out before room for the log does. */
		if (fate == FATE_PRESENT && i % 7 != 0)
			stored[i % KEYS_MANY] = true;
	}
	for (unsigned victim = 0; victim < KEYS_MANY / 2; victim++) {
		struct store_record record;

		if (!stored[victim])
			continue;
		assert_int_equal(fate_get(store, victim, &record), 0);
		store_record_release(&record);
		assert_int_equal(fate_delete(store, victim, FATE_PRESENT), FATE_ABSENT);
		assert_int_equal(fate_get(store, victim, &record), STORE_NOT_FOUND);
	}
	/* Room returns: the next write finds it, without a restart. */
	crash_vfs_set_capacity(crash, 4 * 1024 * 1024);
	fates_pass_time(5000000000);
	assert_int_equal(fate_put(store, 1, DURABILITY_DISK), FATE_PRESENT);
	store_stats(store, &stats);
	assert_false(stats.full);
	store_close(store);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	assert_int_equal(fate_get(store, 2, &(struct store_record){ 0 }), STORE_NOT_FOUND);
	store_close(store);
	crash_vfs_free(crash);
}

static void a_large_value_replaced_often_does_not_pile_up(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_stats stats;
	struct store *store;
	char *why = NULL;

	(void)state;
	options.log_retain_bytes = 32 * 1024;
	options.memtable_bytes = 1024 * 1024; /* the entries alone never fill it */
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(fate_put(store, 7, DURABILITY_DISK), FATE_PRESENT);
	store_stats(store, &stats);
	assert_true(stats.value_bytes < 2000 * FATE_FILE_BYTES / 4);
	store_close(store);
	crash_vfs_free(crash);
}

/* Keys whose values are files. */
#define FILE_KEY(i) ((i)*7)
#define FILE_KEYS   36

static void large_values_that_are_deleted_give_their_room_back(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_stats stats;
	struct store *store;
	char *why = NULL;

	(void)state;
	options.log_retain_bytes = 8 * FATE_FILE_BYTES;
	options.memtable_bytes = 1024 * 1024; /* tombstones alone never fill it */
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned i = 0; i < FILE_KEYS; i++)
		assert_int_equal(fate_put(store, FILE_KEY(i), DURABILITY_DISK), FATE_PRESENT);
	for (unsigned i = 0; i < FILE_KEYS; i++)
		assert_int_equal(fate_delete(store, FILE_KEY(i), FATE_PRESENT), FATE_ABSENT);
	store_stats(store, &stats);
	assert_true(stats.value_bytes < 20 * FATE_FILE_BYTES);
	store_close(store);
	crash_vfs_free(crash);
}

static void deletes_make_room_on_a_full_disk(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store *store;
	unsigned stored = 0;
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 100 * 1024);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	while (stored < FILE_KEYS &&
	       fate_put(store, FILE_KEY(stored), DURABILITY_DISK) == FATE_PRESENT)
		stored++;
	assert_in_range(stored, 3, FILE_KEYS - 1);
	for (unsigned i = 0; i < stored; i++)
		assert_int_equal(fate_delete(store, FILE_KEY(i), FATE_PRESENT), FATE_ABSENT);
	fates_pass_time(5000000000);
	for (unsigned i = 0; i < stored / 2; i++)
		assert_int_equal(fate_put(store, FILE_KEY(i), DURABILITY_DISK), FATE_PRESENT);
	store_close(store);
	crash_vfs_free(crash);
}

static void a_store_on_a_full_disk_still_opens(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store *store;
	char *why = NULL;

	(void)state;
	crash_vfs_set_capacity(crash, 170 * 1024);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	for (unsigned i = 0; fate_put(store, i % KEYS_MANY, DURABILITY_DISK) == FATE_PRESENT; i++)
		assert_true(i < 5000);
	store_close(store);
	for (unsigned i = 0; i < 3; i++) {
		if (fates_open(&options, &store, &why) < 0)
			fail_msg("%s", why);
		assert_int_equal(fate_delete(store, i, FATE_PRESENT), FATE_ABSENT);
		store_close(store);
	}
	crash_vfs_free(crash);
}

static void a_disk_that_stops_taking_syncs_acknowledges_nothing_until_it_works(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_stats stats;
	enum fate fates[FATE_KEYS] = { 0 };
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(fates_open(&options, &store, &why), 0);
	fates[0] = fate_put(store, 0, DURABILITY_MEMORY);
	fates[1] = fate_put(store, 1, DURABILITY_MEMORY);
	crash_vfs_fail(crash, 1, UINT64_MAX, EIO);
	for (unsigned key = 2; key < 6; key++)
		assert_int_not_equal(fate_put(store, key, DURABILITY_DISK), FATE_PRESENT);
	store_stats(store, &stats);
	assert_true(stats.failed);
	crash_vfs_fail(crash, 0, 0, EIO);
	fates_pass_time(5000000000);
	fates[8] = fate_put(store, 8, DURABILITY_DISK);
	assert_int_equal(fates[8], FATE_PRESENT);
	store_stats(store, &stats);
	assert_false(stats.failed);
	fates_check(store, fates, "after the failure", 0);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_restart(crash);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	fates_check(store, fates, "after the power cut", 0);
	store_close(store);
	crash_vfs_free(crash);
}

static bool may_be_applied(struct store *store, unsigned key, uint8_t id)
{
	static struct fate_call call;

	fate_call_init(&call, WRITE_PUT, key, DURABILITY_DISK);
	call.write.request.request_id.bytes[0] = id;
	call.write.value = call.data;
	call.write.value_len = FATE_INLINE_BYTES;
	assert_int_not_equal(fate_run(store, &call, FATE_PRESENT, FATE_ABSENT), FATE_PRESENT);
	return call.write.maybe_applied;
}

static void a_repeat_of_an_unknown_outcome_is_never_told_that_it_was_not_applied(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store *store;
	char *why = NULL;

	(void)state;
	assert_int_equal(fates_open(&options, &store, &why), 0);
	assert_int_equal(fate_put(store, 1, DURABILITY_DISK), FATE_PRESENT);
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
	struct store_options options = fates_options(crash);
	struct store *store;
	struct fate_call call;
	char *why = NULL;
	bool written = false;

	(void)state;
	assert_int_equal(fates_open(&options, &store, &why), 0);
	fate_call_init(&call, WRITE_PUT, 1, DURABILITY_DISK);
	crash_vfs_fail(crash, 1, 1000, EIO);
	store_submit(store, &call.write);
	assert_false(outcome_is_success(call.write.outcome));
	crash_vfs_fail(crash, 0, 0, 0);
	for (int i = 0; i < 5 && !written; i++) {
		fates_pass_time(1100000000);
		fate_call_init(&call, WRITE_PUT, 1, DURABILITY_DISK);
		store_submit(store, &call.write);
		written = outcome_is_success(call.write.outcome);
	}
	assert_true(written);
	store_close(store);
	crash_vfs_free(crash);
}

/* No write comes that would show it. */
static void what_the_disk_did_not_take_is_not_the_end_once_it_is_given_up(void **state)
{
	struct crash_vfs *crash = crash_vfs_new(1);
	struct store_options options = fates_options(crash);
	struct store_standing standing = { 0 };
	struct store *store;
	struct fate_call call;
	char *why = NULL;

	(void)state;
	assert_int_equal(fates_open(&options, &store, &why), 0);
	assert_int_equal(fate_put(store, 1, DURABILITY_DISK), FATE_PRESENT);
	/* It is written, but neither synced nor taken back. */
	fate_call_init(&call, WRITE_PUT, 2, DURABILITY_DISK);
	crash_vfs_fail(crash, 2, 1000, EIO);
	store_submit(store, &call.write);
	assert_false(outcome_is_success(call.write.outcome));
	assert_int_equal(store_standing(store, &standing), 0);
	assert_int_equal(standing.end.sequence, 2);
	assert_int_equal(standing.synced.sequence, 1);
	crash_vfs_fail(crash, 0, 0, 0);
	assert_int_equal(store_settle(store), 0);
	assert_int_equal(store_standing(store, &standing), 0);
	assert_int_equal(standing.synced.sequence, 1);
	assert_int_equal(standing.end.sequence, 1);
	store_close(store);
	crash_vfs_free(crash);
}

/* A store that is ahead of its log begins that anew before it leads: until then it knows the
 * requests that the old one holds. False once no call was left to fail. */
static bool renew_failing(uint64_t nth)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	struct store_standing before, after;
	struct fate_call call;
	struct store *store;
	char *why = NULL;
	bool failed;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	fate_call_init(&call, WRITE_PUT, 1, DURABILITY_DISK);
	request_id_generate(&call.write.request.request_id);
	call.write.value = call.data;
	call.write.value_len = FATE_INLINE_BYTES;
	assert_int_equal(fate_run(store, &call, FATE_PRESENT, FATE_ABSENT), FATE_PRESENT);
	store_follow(store);
	assert_int_equal(store_set_ahead(store, (struct version){ 1, UINT64_MAX }), 0);
	assert_int_equal(store_standing(store, &before), 0);
	crash_vfs_fail(crash, nth, 1, EIO);
	(void)store_lead_next(store, FATE_NODE_ID);
	failed = crash_vfs_failures(crash) > 0;
	assert_int_equal(store_standing(store, &after), 0);
	if (version_compare(before.log_begin, after.log_begin) == 0 &&
	    !store_knows_request(store, &call.write.request.request_id, &call.write.key))
		fail_msg("call %" PRIu64 ": the log is the old one, but a request is forgotten",
			 nth);
	store_close(store);
	crash_vfs_free(crash);
	return failed;
}

static void a_log_that_does_not_begin_anew_leaves_its_requests_known(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (renew_failing(nth))
		nth++;
	print_message("%" PRIu64 " calls failed\n", nth - 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_that_can_not_be_reopened_at_once_is_written_again_later),
		cmocka_unit_test(what_the_disk_did_not_take_is_not_the_end_once_it_is_given_up),
		cmocka_unit_test(every_failing_call_loses_nothing),
		cmocka_unit_test(a_full_disk_refuses_puts_serves_deletes_and_recovers),
		cmocka_unit_test(a_log_that_does_not_begin_anew_leaves_its_requests_known),
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

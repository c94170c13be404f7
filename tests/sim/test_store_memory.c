/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at the N-th request, for N = 1, 2, and so on until there is no N-th request any
 * more: while a store opens, writes, flushes, merges, copies itself and closes, and while it
 * recovers. Nothing that was acknowledged is lost, and the store works on.
 */
#include "node/checkpoint.h"
#include "tests/sim/failing_memory.h"
#include "tests/sim/fates.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int count_one(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

static void save_copy(struct store *store)
{
	struct checkpoint_saved saved;

	if (checkpoint_save(store, "copy", &saved) == 0)
		free(saved.path);
}

/* A listing is whole or says that it is not. */
static void list_all(struct store *store, uint64_t nth)
{
	struct key first = { 0 }, last;
	unsigned some = 0, all = 0;
	bool more;
	int r;

	r = store_list(store, &first, 1000, count_one, &some, &more, &last);
	failing_memory_stop();
	assert_int_equal(store_list(store, &first, 1000, count_one, &all, &more, &last), 0);
	if (r == 0 && some != all)
		fail_msg("request %" PRIu64 ": %u of %u records were listed", nth, some, all);
}

/* What is on the disk after a power cut is a whole store. */
static void check_after_cut(struct crash_vfs *crash, enum fate *fates, uint64_t nth)
{
	struct store_options options = fates_options(crash);
	struct store *store;
	char *why = NULL;

	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	fates_forget_unsynced(fates);
	if (fates_open(&options, &store, &why) < 0) {
		print_message("request %" PRIu64 ": %s\n", nth, why ? why : "not led");
		fail();
	}
	fates_check(store, fates, "after the power cut", nth);
	store_close(store);
}

static bool run_failing(uint64_t nth, uint64_t times)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	enum fate fates[FATE_KEYS] = { 0 };
	struct store *store;
	char *why = NULL;
	bool failed;

	failing_memory_set(nth, times);
	if (fates_open(&options, &store, &why) == 0) {
		fates_write(store, crash, fates);
		fates_check(store, fates, "before the end", nth);
		save_copy(store);
		store_close(store);
	}
	failed = failing_memory_stop() > 0;
	free(why);
	check_after_cut(crash, fates, nth);
	crash_vfs_free(crash);
	return failed;
}

static void a_request_for_memory_that_fails_loses_nothing(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (run_failing(nth, 1))
		assert_true(++nth < 100000);
	print_message("%" PRIu64 " requests failed\n", nth - 1);
	for (uint64_t times = 2; times < 40; times *= 3)
		for (nth = 1; run_failing(nth, times); nth += 3)
			assert_true(nth < 100000);
}

static bool recover_failing(uint64_t nth, uint64_t times)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	enum fate fates[FATE_KEYS] = { 0 };
	struct store *store;
	char *why = NULL;
	bool failed;
	int r;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	fates_write(store, crash, fates);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_restart(crash);
	fates_forget_unsynced(fates);
	failing_memory_set(nth, times);
	r = fates_open(&options, &store, &why);
	if (r == 0)
		list_all(store, nth);
	failed = failing_memory_stop() > 0;
	if (r == 0) {
		fates_check(store, fates, "after a recovery without memory", nth);
		store_close(store);
	} else if (r != -ENOMEM) {
		print_message("request %" PRIu64 ": %d, %s\n", nth, r, why ? why : "");
		fail();
	}
	free(why);
	check_after_cut(crash, fates, nth);
	crash_vfs_free(crash);
	return failed;
}

static void nor_does_one_in_a_recovery(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (recover_failing(nth, 1))
		assert_true(++nth < 100000);
	print_message("%" PRIu64 " requests failed\n", nth - 1);
	for (uint64_t times = 2; times < 40; times *= 3)
		for (nth = 1; recover_failing(nth, times); nth += 3)
			assert_true(nth < 100000);
}

static void put_under_id(struct store *store, const struct request_id *id, struct fate_call *call)
{
	fate_call_init(call, WRITE_PUT, 1, DURABILITY_DISK);
	call->write.request.request_id = *id;
	call->write.value = call->data;
	call->write.value_len = FATE_INLINE_BYTES;
	(void)fate_run(store, call, FATE_PRESENT, FATE_ABSENT);
}

/* Key 1 is put under one id while the log's disk fails: whether it may be found after a crash. */
static bool may_come_back(struct store *store, const struct request_id *id)
{
	struct fate_call call;

	put_under_id(store, id, &call);
	return outcome_is_success(call.write.outcome) || call.write.maybe_applied;
}

static bool doubt_failing(uint64_t nth)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	struct store_record record;
	struct request_id id;
	struct store *store;
	char *why = NULL;
	bool failed, maybe;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	request_id_generate(&id);
	/* It is written, but not synced, and then nothing works. */
	crash_vfs_fail(crash, 2, UINT64_MAX, EIO);
	failing_memory_set(nth, 1);
	(void)may_come_back(store, &id);
	maybe = may_come_back(store, &id);
	failed = failing_memory_stop() > 0;
	assert_true(maybe || failed);
	crash_vfs_cut(crash);
	store_close(store);
	crash_vfs_revive(crash);
	assert_int_equal(fates_open(&options, &store, &why), 0);
	if (fate_get(store, 1, &record) == 0) {
		store_record_release(&record);
		if (!maybe)
			fail_msg("request %" PRIu64
				 ": a write is there that was called not applied",
				 nth);
	}
	store_close(store);
	crash_vfs_free(crash);
	return failed;
}

static void what_may_come_back_is_never_called_not_applied(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (doubt_failing(nth))
		assert_true(++nth < 1000);
	print_message("%" PRIu64 " requests failed\n", nth - 1);
}

static void expect_repeated(struct store *store, const struct request_id *id, uint64_t nth)
{
	struct fate_call call;

	put_under_id(store, id, &call);
	if (!call.write.repeated)
		fail_msg("request %" PRIu64 ": a write was applied twice", nth);
}

/* At the write itself, and when a later opening reads the log. */
static bool repeat_failing(uint64_t nth)
{
	struct crash_vfs *crash = crash_vfs_new(nth);
	struct store_options options = fates_options(crash);
	struct fate_call call;
	struct request_id id;
	struct store *store;
	char *why = NULL;
	bool failed;
	int r;

	assert_int_equal(fates_open(&options, &store, &why), 0);
	request_id_generate(&id);
	failing_memory_set(nth, 1);
	put_under_id(store, &id, &call);
	failed = failing_memory_stop() > 0;
	if (!outcome_is_success(call.write.outcome))
		put_under_id(store, &id, &call);
	assert_true(outcome_is_success(call.write.outcome));
	expect_repeated(store, &id, nth);
	store_close(store);
	failing_memory_set(nth, 1);
	r = fates_open(&options, &store, &why);
	failed |= failing_memory_stop() > 0;
	if (r == 0) {
		expect_repeated(store, &id, nth);
		store_close(store);
	}
	free(why);
	crash_vfs_free(crash);
	return failed;
}

static void what_was_applied_is_not_applied_again(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (repeat_failing(nth))
		assert_true(++nth < 1000);
	print_message("%" PRIu64 " requests failed\n", nth - 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_for_memory_that_fails_loses_nothing),
		cmocka_unit_test(nor_does_one_in_a_recovery),
		cmocka_unit_test(what_may_come_back_is_never_called_not_applied),
		cmocka_unit_test(what_was_applied_is_not_applied_again),
	};

	(void)argv;
	/* Every failure makes the store complain, and rightly so. */
	if (argc == 1 && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

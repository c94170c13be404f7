/* SPDX-License-Identifier: MIT */
/*
 * Checkpoints on a disk that loses power and fails calls. What a store held after each of its
 * writes is remembered, so that a copy can be held against the state at its point.
 */
#include "lib/cleanup.h"
#include "node/checkpoint.h"
#include "node/log_read.h"
#include "node/store_batch.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/own_writes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const copy_dir = "/data/checkpoints/copy";

static void write_many(struct own_writes *own, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		own_writes_one(own);
}

/* The copy opens, is sound, and holds what the store held at @sequence. */
static void expect_copy(struct own_writes *own, const char *dir, uint64_t sequence)
{
	own_writes_expect_sound(own, dir);
	own_writes_expect_state(own, dir, sequence);
	own_writes_expect_sound(own, dir);
}

static void a_saved_checkpoint_holds_everything_that_was_acknowledged(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct own_writes own;
		struct checkpoint_saved saved;

		own_writes_init(&own, seed);
		own_writes_open(&own);
		write_many(&own, 5 + (unsigned)seed * 7);
		assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
		assert_string_equal(saved.path, copy_dir);
		assert_int_equal(saved.version.sequence, own.last.sequence);
		assert_int_equal(saved.version.epoch, own.last.epoch);
		assert_true(saved.files >= 6 && saved.bytes > 0);
		free(saved.path);
		/* What the store does from now on is not the copy's business. */
		write_many(&own, 150);
		own_writes_close(&own);
		expect_copy(&own, copy_dir, saved.version.sequence);
		own_writes_expect_sound(&own, "/data");
		own_writes_expect_state(&own, "/data", own.last.sequence);
		own_writes_deinit(&own);
	}
}

static void an_empty_store_is_saved_too(void **state)
{
	struct checkpoint_saved saved;
	struct own_writes own;

	(void)state;
	own_writes_init(&own, 1);
	own_writes_open(&own);
	assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
	assert_int_equal(saved.version.sequence, 0);
	free(saved.path);
	own_writes_close(&own);
	expect_copy(&own, copy_dir, 0);
	own_writes_deinit(&own);
}

static void a_saved_checkpoint_knows_the_requests_it_holds(void **state)
{
	struct checkpoint_saved saved;
	struct request_id id;
	struct key key;
	struct own_writes own;

	(void)state;
	own_writes_init(&own, 3);
	own_writes_open(&own);
	write_many(&own, 20);
	own_writes_put_with_id(&own, &id, &key);
	assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
	free(saved.path);
	own_writes_close(&own);
	own.dir = copy_dir;
	own_writes_open(&own);
	assert_true(store_knows_request(own.store, &id, &key));
	own_writes_close(&own);
	own_writes_deinit(&own);
}

static void a_name_is_taken_once_and_must_be_a_plain_one(void **state)
{
	static const char *const bad[] = { "", ".x", "a/b", "..", "a b", "\xc3\xbc" };
	char longest[CHECKPOINT_NAME_MAX + 2];
	struct checkpoint_saved saved;
	struct own_writes own;

	(void)state;
	own_writes_init(&own, 1);
	own_writes_open(&own);
	write_many(&own, 3);
	assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
	free(saved.path);
	assert_int_equal(checkpoint_save(own.store, "copy", &saved), -EEXIST);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(checkpoint_save(own.store, bad[i], &saved), -EINVAL);
	memset(longest, 'a', sizeof(longest));
	longest[CHECKPOINT_NAME_MAX + 1] = '\0';
	assert_int_equal(checkpoint_save(own.store, longest, &saved), -EINVAL);
	assert_int_equal(checkpoint_save(own.store, longest + 1, &saved), 0);
	free(saved.path);
	own_writes_close(&own);
	own_writes_deinit(&own);
}

static char *fetched_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static void fetch(struct own_writes *own, struct checkpoint *checkpoint)
{
	struct checkpoint_view view;
	struct hash128 sum;
	uint8_t byte;

	assert_int_equal(vfs_mkdir(own->vfs, "/fetched"), 0);
	assert_int_equal(vfs_mkdir(own->vfs, "/fetched/value"), 0);
	assert_int_equal(vfs_mkdir(own->vfs, "/fetched/log"), 0);
	own_writes_fetch(own, checkpoint, fetched_path, "/fetched");
	checkpoint_view(checkpoint, &view);
	assert_int_equal(checkpoint_read(checkpoint, view.count, 0, &byte, 1), -EINVAL);
	assert_int_equal(checkpoint_sum(checkpoint, view.count, 1, &sum), -EINVAL);
}

static int count_record(const struct shipped_record *record, void *state)
{
	*(uint64_t *)state += record->count;
	return 0;
}

static void one_for_bootstrap_stands_at_its_point_and_the_log_goes_on_there(void **state)
{
	bool was_behind = false;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct checkpoint *checkpoint;
		struct checkpoint_view view;
		struct own_writes own;
		uint64_t follows = 0;

		own_writes_init(&own, seed);
		own.retain_bytes = 1;
		own_writes_open(&own);
		write_many(&own, (unsigned)seed * 13);
		assert_int_equal(checkpoint_new(own.store, &checkpoint), 0);
		checkpoint_view(checkpoint, &view);
		assert_true(view.point.sequence <= own.last.sequence);
		was_behind |= view.point.sequence < own.last.sequence;
		/* Merges, deletions, trimming: all it needs stays. */
		write_many(&own, 200);
		own_writes_let_time_pass(&own);
		fetch(&own, checkpoint);
		assert_int_equal(
			store_log_read(own.store, view.point, SIZE_MAX, count_record, &follows), 0);
		assert_int_equal(follows, own.last.sequence - view.point.sequence);
		own_writes_expect_state(&own, "/fetched", view.point.sequence);
		checkpoint_free(checkpoint);
		own_writes_close(&own);
		own_writes_deinit(&own);
	}
	assert_true(was_behind);
}

static void a_store_under_repair_is_not_copied_and_then_only_repaired(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct checkpoint *before, *checkpoint;
		struct checkpoint_saved saved;
		struct checkpoint_view view;
		struct own_writes own;
		uint64_t back = 10 + seed;

		own_writes_init(&own, seed);
		own_writes_open(&own);
		write_many(&own, 60);
		own_writes_barrier(&own);
		assert_int_equal(checkpoint_new(own.store, &before), 0);
		own_writes_repair(&own, back);
		/* What was repaired may be flushed or not. */
		assert_int_equal(checkpoint_new(own.store, &checkpoint), -EAGAIN);
		assert_int_equal(checkpoint_save(own.store, "copy", &saved), -EAGAIN);
		own_writes_reset(&own, back);
		assert_int_equal(checkpoint_new(own.store, &checkpoint), 0);
		checkpoint_view(checkpoint, &view);
		assert_int_equal(view.point.sequence, back);
		fetch(&own, checkpoint);
		own_writes_expect_sound(&own, "/fetched");
		own_writes_expect_state(&own, "/fetched", back);
		checkpoint_free(checkpoint);
		checkpoint_free(before);
		assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
		free(saved.path);
		own_writes_close(&own);
		expect_copy(&own, copy_dir, back);
		own_writes_deinit(&own);
	}
}

static void it_goes_when_it_is_freed_and_at_every_opening(void **state)
{
	struct checkpoint *first, *second;
	struct checkpoint_view view, other;
	struct own_writes own;

	(void)state;
	own_writes_init(&own, 5);
	own_writes_open(&own);
	write_many(&own, 40);
	assert_int_equal(checkpoint_new(own.store, &first), 0);
	assert_int_equal(checkpoint_new(own.store, &second), 0);
	checkpoint_view(first, &view);
	checkpoint_view(second, &other);
	assert_true(view.id != other.id && view.id > 0);
	assert_int_equal(own_writes_count_names(&own, "/data/checkpoints"), 2);
	checkpoint_free(first);
	assert_int_equal(own_writes_count_names(&own, "/data/checkpoints"), 1);
	crash_vfs_cut(own.crash);
	checkpoint_free(second);
	own_writes_close(&own);
	crash_vfs_restart(own.crash);
	own_writes_open(&own);
	assert_int_equal(own_writes_count_names(&own, "/data/checkpoints"), 0);
	assert_int_equal(checkpoint_new(own.store, &first), 0);
	checkpoint_view(first, &view);
	assert_true(view.id != other.id);
	checkpoint_free(first);
	own_writes_close(&own);
	own_writes_deinit(&own);
}

/* Whether there is a checkpoint "copy", which then must be whole. */
static bool expect_copy_or_none(struct own_writes *own, uint64_t sequence)
{
	if (own_writes_count_names(own, copy_dir) < 0)
		return false;
	expect_copy(own, copy_dir, sequence);
	return true;
}

static void a_power_cut_at_any_call_leaves_a_whole_checkpoint_or_none(void **state)
{
	bool done = false;

	(void)state;
	for (uint64_t nth = 1; !done; nth++) {
		struct checkpoint_saved saved;
		struct own_writes own;
		bool there;
		int r;

		own_writes_init(&own, nth);
		own_writes_open(&own);
		write_many(&own, 30);
		own_writes_barrier(&own);
		crash_vfs_cut_after(own.crash, nth);
		r = checkpoint_save(own.store, "copy", &saved);
		if (r == 0)
			free(saved.path);
		done = !crash_vfs_is_cut(own.crash);
		crash_vfs_cut(own.crash);
		own_writes_close(&own);
		crash_vfs_restart(own.crash);
		own_writes_open(&own);
		/* Nothing half made stays. */
		there = own_writes_count_names(&own, copy_dir) >= 0;
		assert_true(there || r < 0);
		assert_true(own_writes_count_names(&own, "/data/checkpoints") <= there);
		own_writes_close(&own);
		expect_copy_or_none(&own, own.last.sequence);
		own_writes_expect_sound(&own, "/data");
		own_writes_expect_state(&own, "/data", own.last.sequence);
		own_writes_deinit(&own);
	}
}

static void a_call_that_fails_leaves_nothing_behind_and_the_next_attempt_works(void **state)
{
	uint64_t failures = 1;

	(void)state;
	for (uint64_t nth = 1; failures > 0; nth++) {
		struct checkpoint_saved saved;
		struct own_writes own;
		int r;

		own_writes_init(&own, nth);
		own_writes_open(&own);
		write_many(&own, 30);
		crash_vfs_fail(own.crash, nth, 1, ENOSPC);
		r = checkpoint_save(own.store, "copy", &saved);
		failures = crash_vfs_failures(own.crash);
		crash_vfs_fail(own.crash, 1, 0, 0);
		if (r == 0)
			free(saved.path);
		own_writes_settle(&own);
		r = checkpoint_save(own.store, "second", &saved);
		assert_int_equal(r, 0);
		free(saved.path);
		own_writes_close(&own);
		expect_copy(&own, "/data/checkpoints/second", own.last.sequence);
		expect_copy_or_none(&own, own.last.sequence);
		own_writes_deinit(&own);
	}
}

static int count_entry(const struct entry *entry, void *state)
{
	(void)entry;
	++*(unsigned *)state;
	return 0;
}

static int list_all(struct own_writes *own, unsigned *ret_count)
{
	struct key first = { 0 }, last;
	bool more;

	*ret_count = 0;
	return store_list(own->store, &first, OWN_KEYS, count_entry, ret_count, &more, &last);
}

static void a_disk_that_failed_for_a_moment_hinders_no_checkpoint(void **state)
{
	struct checkpoint *checkpoint;
	struct checkpoint_saved saved;
	struct own_writes own;
	unsigned count;

	(void)state;
	own_writes_init(&own, 1);
	own_writes_open(&own);
	write_many(&own, 60);
	assert_int_equal(checkpoint_save(own.store, "copy", &saved), 0);
	free(saved.path);
	crash_vfs_fail(own.crash, 1, UINT64_MAX, EIO);
	assert_true(list_all(&own, &count) < 0);
	crash_vfs_fail(own.crash, 1, 0, 0);
	assert_int_equal(checkpoint_new(own.store, &checkpoint), 0);
	fetch(&own, checkpoint);
	own_writes_expect_sound(&own, "/fetched");
	checkpoint_free(checkpoint);
	assert_int_equal(list_all(&own, &count), 0);
	assert_true(count > 0);
	own_writes_close(&own);
	own_writes_deinit(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_saved_checkpoint_holds_everything_that_was_acknowledged),
		cmocka_unit_test(an_empty_store_is_saved_too),
		cmocka_unit_test(a_saved_checkpoint_knows_the_requests_it_holds),
		cmocka_unit_test(a_name_is_taken_once_and_must_be_a_plain_one),
		cmocka_unit_test(one_for_bootstrap_stands_at_its_point_and_the_log_goes_on_there),
		cmocka_unit_test(a_store_under_repair_is_not_copied_and_then_only_repaired),
		cmocka_unit_test(it_goes_when_it_is_freed_and_at_every_opening),
		cmocka_unit_test(a_power_cut_at_any_call_leaves_a_whole_checkpoint_or_none),
		cmocka_unit_test(
			a_call_that_fails_leaves_nothing_behind_and_the_next_attempt_works),
		cmocka_unit_test(a_disk_that_failed_for_a_moment_hinders_no_checkpoint),
	};

	if (!getenv("HEXKV_TEST_LOG") && !freopen("/dev/null", "w", stderr))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

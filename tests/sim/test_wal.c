/* SPDX-License-Identifier: MIT */
/* The log alone, on a disk that loses, scrambles and fails. */
#include "node/wal.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_BYTES (16 * 1024)

static struct wal_options options_for(struct crash_vfs *crash)
{
	return (struct wal_options){
		.vfs = crash_vfs_base(crash),
		.dir = "/d",
		.store_id = { 1, 2, 3 },
		.file_bytes = FILE_BYTES,
	};
}

static struct crash_vfs *new_disk(uint64_t seed)
{
	struct crash_vfs *crash = crash_vfs_new(seed);
	struct vfs *vfs = crash_vfs_base(crash);

	assert_int_equal(vfs_mkdir(vfs, "/d"), 0);
	assert_int_equal(vfs_sync_dir(vfs, "/"), 0);
	return crash;
}

/* The payload of a record is made of its position, so that replay can tell what it must be. */
static size_t make_payload(uint64_t position, uint8_t *out)
{
	size_t len = (size_t)(1 + position * 37 % 599);

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(position * 7 + i);
	return len;
}

static int append(struct wal *wal, uint32_t count)
{
	uint8_t payload[600];
	struct wal_record record = {
		.epoch = 0x10001,
		.first_sequence = wal_last(wal).position + 1,
		.first_position = wal_last(wal).position + 1,
		.count = count,
		.time_ns = 5,
		.payload = payload,
	};

	record.payload_len = make_payload(record.first_position, payload);
	return wal_append(wal, &record);
}

struct seen {
	uint64_t last; /* position */
	bool wrong;
};

static int see(const struct wal_record *record, void *state)
{
	struct seen *seen = state;
	uint8_t payload[600];
	size_t len = make_payload(record->first_position, payload);

	if (record->first_position != seen->last + 1 && seen->last > 0)
		seen->wrong = true;
	if (len != record->payload_len || memcmp(payload, record->payload, len) != 0)
		seen->wrong = true;
	seen->last = record->first_position + record->count - 1;
	return 0;
}

static int open_log(struct crash_vfs *crash, struct wal **ret_wal, struct seen *ret_seen,
		    char **ret_why)
{
	struct wal_options options = options_for(crash);

	*ret_seen = (struct seen){ 0 };
	return wal_open(&options, see, ret_seen, ret_wal, ret_why);
}

static struct wal *must_open(struct crash_vfs *crash, uint64_t expect_last)
{
	char *why = NULL;
	struct seen seen;
	struct wal *wal;
	int r = open_log(crash, &wal, &seen, &why);

	if (r != 0)
		fail_msg("%d: %s", r, why);
	assert_false(seen.wrong);
	assert_int_equal(seen.last, expect_last);
	return wal;
}

static void must_refuse(struct crash_vfs *crash, const char *word)
{
	char *why = NULL;
	struct seen seen;
	struct wal *wal;

	assert_int_equal(open_log(crash, &wal, &seen, &why), -EBADMSG);
	assert_non_null(why);
	if (!strstr(why, word))
		fail_msg("no \"%s\" in: %s", word, why);
	free(why);
}

static void records_come_back_over_many_files_and_openings(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	uint64_t last = 0;

	(void)state;
	for (int round = 0; round < 5; round++) {
		struct wal *wal = must_open(crash, last);

		for (int i = 0; i < 200; i++)
			assert_int_equal(append(wal, 1 + i % 3), 0);
		last = wal_last(wal).position;
		assert_true(wal_files(wal) > 3);
		if (round % 2 == 0) {
			wal_close(wal);
		} else {
			assert_int_equal(wal_sync(wal), 0);
			wal_abandon(wal);
			crash_vfs_cut(crash);
			crash_vfs_restart(crash);
		}
	}
	wal_close(must_open(crash, last));
	crash_vfs_free(crash);
}

static void a_record_larger_than_a_file_gets_a_file_of_its_own(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal *wal = must_open(crash, 0);
	uint8_t *payload = calloc(1, WAL_RECORD_BYTES_MAX);
	struct wal_record record = {
		.first_sequence = 1,
		.first_position = 1,
		.count = 1,
		.payload = payload,
		.payload_len = WAL_RECORD_BYTES_MAX,
	};
	char *why = NULL;
	struct seen seen;

	(void)state;
	assert_int_equal(wal_append(wal, &record), 0);
	assert_int_equal(append(wal, 1), 0);
	wal_close(wal);
	assert_int_equal(open_log(crash, &wal, &seen, &why), 0);
	assert_int_equal(seen.last, 2);
	wal_close(wal);
	free(payload);
	crash_vfs_free(crash);
}

static void replay_stops_at_a_torn_record(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal *wal = must_open(crash, 0);

	(void)state;
	assert_int_equal(append(wal, 1), 0);
	assert_int_equal(append(wal, 1), 0);
	assert_int_equal(append(wal, 1), 0);
	wal_abandon(wal);
	/* Record 2 begins behind record 1, whose payload has 38 bytes. */
	assert_int_equal(crash_vfs_flip(crash, "/d/log/00000001.wal", 512 + 120 + 90, 3), 0);
	wal = must_open(crash, 1);
	assert_int_equal(append(wal, 1), 0);
	wal_close(wal);
	wal_close(must_open(crash, 2));
	crash_vfs_free(crash);
}

static void damage_below_a_promise_is_refused(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal *wal = must_open(crash, 0);

	(void)state;
	for (int i = 0; i < 4; i++) {
		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(wal_sync(wal), 0);
	}
	wal_abandon(wal);
	assert_int_equal(crash_vfs_flip(crash, "/d/log/00000001.wal", 512 + 120 + 90, 3), 0);
	must_refuse(crash, "00000001.wal is damaged at offset 632");
	crash_vfs_free(crash);
}

static void any_damage_to_a_closed_log_is_refused(void **state)
{
	uint64_t size = UINT64_MAX;

	(void)state;
	for (uint64_t at = 0; at < size; at++) {
		struct crash_vfs *crash = new_disk(1);
		struct vfs_file *file;
		struct seen seen;
		struct wal *wal = must_open(crash, 0);
		char *why = NULL;
		int r;

		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(append(wal, 1), 0);
		wal_close(wal);
		assert_int_equal(
			vfs_open(crash_vfs_base(crash), "/d/log/00000001.wal", VFS_READ, &file), 0);
		assert_int_equal(vfs_size(file, &size), 0);
		vfs_close(file);
		assert_int_equal(crash_vfs_flip(crash, "/d/log/00000001.wal", at, at % 8), 0);
		r = open_log(crash, &wal, &seen, &why);
		assert_false(seen.wrong);
		/* Without the mark itself the records are still there and whole. */
		if (r == 0) {
			assert_true(at >= size - 80 || seen.last == 2);
			assert_int_equal(seen.last, 2);
			wal_close(wal);
		} else {
			assert_int_equal(r, -EBADMSG);
		}
		free(why);
		crash_vfs_free(crash);
	}
}

static void a_missing_file_is_noticed(void **state)
{
	for (int missing = 1; missing <= 3; missing++) {
		struct crash_vfs *crash = new_disk(1);
		struct wal *wal;
		char path[64];

		(void)state;
		for (uint64_t round = 0; round < 4; round++) {
			wal = must_open(crash, round);
			assert_int_equal(append(wal, 1), 0);
			wal_close(wal);
		}
		snprintf(path, sizeof(path), "/d/log/%08x.wal", missing);
		assert_int_equal(vfs_unlink(crash_vfs_base(crash), path), 0);
		must_refuse(crash, "missing");
		crash_vfs_free(crash);
	}
}

static void a_file_cut_short_is_noticed(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct vfs_file *file;
	struct wal *wal;

	(void)state;
	for (uint64_t round = 0; round < 2; round++) {
		wal = must_open(crash, round);
		assert_int_equal(append(wal, 1), 0);
		wal_close(wal);
	}
	assert_int_equal(vfs_open(crash_vfs_base(crash), "/d/log/00000001.wal", VFS_WRITE, &file),
			 0);
	assert_int_equal(vfs_truncate(file, 512), 0);
	vfs_close(file);
	must_refuse(crash, "goes on behind this place");
	crash_vfs_free(crash);
}

static void a_log_of_another_store_is_refused(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal_options options = options_for(crash);
	char *why = NULL;
	struct seen seen = { 0 };
	struct wal *wal;

	(void)state;
	wal_close(must_open(crash, 0));
	options.store_id[0]++;
	assert_int_equal(wal_open(&options, see, &seen, &wal, &why), -EBADMSG);
	assert_non_null(strstr(why, "another store"));
	free(why);
	crash_vfs_free(crash);
}

static void a_failed_sync_goes_on_in_a_new_file(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct crash_vfs *crash = new_disk(seed);
		struct wal *wal = must_open(crash, 0);

		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(append(wal, 1), 0);
		crash_vfs_fail(crash, 1, 1, EIO);
		assert_int_equal(wal_sync(wal), -EIO);
		assert_true(wal_is_broken(wal));
		assert_int_equal(append(wal, 1), -EIO);
		/* Record 2 is not wanted again: it must never come back. */
		assert_int_equal(wal_reopen(wal, 1, 0), 0);
		assert_int_equal(wal_last(wal).position, 1);
		wal_abandon(wal);
		crash_vfs_cut(crash);
		crash_vfs_restart(crash);
		wal_close(must_open(crash, 1));
		crash_vfs_free(crash);
	}
}

static uint64_t dropped_up_to;

static void note_dropped(uint64_t position, void *state)
{
	(void)state;
	dropped_up_to = position;
}

static int trim(struct wal *wal, uint64_t position, uint64_t bytes, int64_t after_ns)
{
	struct wal_keep keep = { .bytes = bytes, .after_ns = after_ns };

	return wal_trim(wal, position, &keep, note_dropped, NULL);
}

static void old_files_are_trimmed_by_position_weight_and_age(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal_options options = options_for(crash);
	struct wal *wal = must_open(crash, 0);
	char *why = NULL;
	struct seen seen = { 0 };

	(void)state;
	while (wal_files(wal) < 6)
		assert_int_equal(append(wal, 1), 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(trim(wal, UINT64_MAX, UINT64_MAX, 5), 0);
	assert_int_equal(wal_files(wal), 6);
	assert_int_equal(trim(wal, 0, 0, INT64_MAX), 0);
	assert_int_equal(wal_files(wal), 6);
	wal_add_weight(wal, 1, FILE_BYTES * 8);
	assert_int_equal(trim(wal, UINT64_MAX, FILE_BYTES * 7, 5), 0);
	assert_int_equal(wal_files(wal), 5);
	assert_true(dropped_up_to > 0);
	assert_int_equal(trim(wal, UINT64_MAX, UINT64_MAX, 6), 0);
	assert_int_equal(wal_files(wal), 1);
	options.flushed_position = dropped_up_to;
	wal_close(wal);
	must_refuse(crash, "missing");
	assert_int_equal(wal_open(&options, see, &seen, &wal, &why), 0);
	wal_close(wal);
	crash_vfs_free(crash);
}

static void what_is_young_may_weigh_more(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal *wal = must_open(crash, 0);
	struct wal_keep keep = { .spare_bytes = FILE_BYTES * 9, .spare_to_ns = 9 };

	(void)state;
	while (wal_files(wal) < 6)
		assert_int_equal(append(wal, 1), 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &keep, note_dropped, NULL), 0);
	assert_int_equal(wal_files(wal), 6);
	wal_add_weight(wal, 1, FILE_BYTES * 8);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &keep, note_dropped, NULL), 0);
	assert_int_equal(wal_files(wal), 5);
	/* Of a time to come it is after a clock was set back: not spared for so long. */
	keep.spare_to_ns = 4;
	assert_int_equal(wal_trim(wal, UINT64_MAX, &keep, note_dropped, NULL), 0);
	assert_int_equal(wal_files(wal), 1);
	wal_close(wal);
	crash_vfs_free(crash);
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

/* Runs until the power goes. *synced: promised; *appended: written. */
static void run_until_cut(struct crash_vfs *crash, struct wal *wal, uint64_t *random,
			  uint64_t *synced, uint64_t *appended)
{
	while (!crash_vfs_is_cut(crash)) {
		if (wal_is_broken(wal)) {
			wal_reopen(wal, UINT64_MAX, 0);
			continue;
		}
		if (next_random(random) % 4 == 0) {
			if (wal_sync(wal) == 0)
				*synced = wal_last(wal).position;
			continue;
		}
		*appended = wal_last(wal).position + 1 + next_random(random) % 3;
		append(wal, (uint32_t)(*appended - wal_last(wal).position));
		if (next_random(random) % 50 == 0)
			crash_vfs_fail(crash, 1 + next_random(random) % 5, 1, EIO);
	}
}

static void every_power_cut_leaves_a_prefix_with_all_that_was_synced(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 600; seed++) {
		struct crash_vfs *crash = new_disk(seed);
		uint64_t random = seed, synced = 0, appended = 0;

		for (int cut = 0; cut < 6; cut++) {
			char *why = NULL;
			struct seen seen;
			struct wal *wal;
			int r;

			crash_vfs_cut_after(crash, 1 + next_random(&random) % 60);
			r = open_log(crash, &wal, &seen, &why);
			if (r == 0) {
				if (seen.wrong || seen.last < synced || seen.last > appended)
					fail_msg("seed %llu: last %llu, synced %llu, appended %llu",
						 (unsigned long long)seed,
						 (unsigned long long)seen.last,
						 (unsigned long long)synced,
						 (unsigned long long)appended);
				synced = appended = seen.last;
				run_until_cut(crash, wal, &random, &synced, &appended);
				wal_abandon(wal);
			} else if (!crash_vfs_is_cut(crash)) {
				fail_msg("seed %llu: %s", (unsigned long long)seed, why);
			}
			free(why);
			crash_vfs_restart(crash);
		}
		crash_vfs_free(crash);
	}
}

/* What a killed process wrote can be read, but need not be on stable storage: an opening must not
 * go on behind it. */
static void a_power_cut_after_a_killed_opening_leaves_what_was_synced(void **state)
{
	(void)state;
	for (uint64_t run = 0; run < 25 * 20; run++) {
		struct crash_vfs *crash = new_disk(run);
		struct wal *wal = must_open(crash, 0);
		char *why = NULL;
		struct seen seen;

		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(wal_sync(wal), 0);
		crash_vfs_cut(crash);
		wal_abandon(wal);
		crash_vfs_revive(crash);
		crash_vfs_cut_after(crash, 1 + run % 25);
		if (open_log(crash, &wal, &seen, &why) == 0)
			wal_abandon(wal);
		free(why);
		crash_vfs_cut(crash);
		crash_vfs_revive(crash);
		wal = must_open(crash, 2);
		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(wal_sync(wal), 0);
		crash_vfs_cut(crash);
		wal_abandon(wal);
		crash_vfs_restart(crash);
		wal_abandon(must_open(crash, 3));
		crash_vfs_free(crash);
	}
}

static void a_power_cut_after_a_close_that_was_killed_leaves_what_was_synced(void **state)
{
	(void)state;
	for (uint64_t run = 0; run < 5 * 20; run++) {
		struct crash_vfs *crash = new_disk(run);
		struct wal *wal = must_open(crash, 0);

		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(wal_sync(wal), 0);
		crash_vfs_cut_after(crash, 1 + run % 5);
		wal_close(wal);
		crash_vfs_cut(crash);
		crash_vfs_revive(crash);
		wal = must_open(crash, 2);
		assert_int_equal(append(wal, 1), 0);
		assert_int_equal(wal_sync(wal), 0);
		crash_vfs_cut(crash);
		wal_abandon(wal);
		crash_vfs_restart(crash);
		wal_abandon(must_open(crash, 3));
		crash_vfs_free(crash);
	}
}

static void every_failing_call_leaves_a_log_that_opens(void **state)
{
	static const int errors[] = { EIO, ENOSPC };

	(void)state;
	for (int e = 0; e < 2; e++) {
		for (uint64_t nth = 1;; nth++) {
			struct crash_vfs *crash = new_disk(nth);
			uint64_t synced = 0, failures;
			char *why = NULL;
			struct seen seen;
			struct wal *wal;

			crash_vfs_fail(crash, nth, 1, errors[e]);
			if (open_log(crash, &wal, &seen, &why) == 0) {
				for (int i = 0; i < 80; i++) {
					if (wal_is_broken(wal))
						wal_reopen(wal, UINT64_MAX, 0);
					append(wal, 1);
					if (i % 8 == 0 && wal_sync(wal) == 0)
						synced = wal_last(wal).position;
				}
				wal_close(wal);
			}
			free(why);
			failures = crash_vfs_failures(crash);
			crash_vfs_cut(crash);
			crash_vfs_restart(crash);
			why = NULL;
			if (open_log(crash, &wal, &seen, &why) != 0)
				fail_msg("call %llu: %s", (unsigned long long)nth, why);
			assert_false(seen.wrong);
			assert_true(seen.last >= synced);
			wal_close(wal);
			crash_vfs_free(crash);
			if (failures == 0)
				break;
			assert_true(nth < 10000);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back_over_many_files_and_openings),
		cmocka_unit_test(a_record_larger_than_a_file_gets_a_file_of_its_own),
		cmocka_unit_test(replay_stops_at_a_torn_record),
		cmocka_unit_test(damage_below_a_promise_is_refused),
		cmocka_unit_test(any_damage_to_a_closed_log_is_refused),
		cmocka_unit_test(a_missing_file_is_noticed),
		cmocka_unit_test(a_file_cut_short_is_noticed),
		cmocka_unit_test(a_log_of_another_store_is_refused),
		cmocka_unit_test(a_failed_sync_goes_on_in_a_new_file),
		cmocka_unit_test(old_files_are_trimmed_by_position_weight_and_age),
		cmocka_unit_test(what_is_young_may_weigh_more),
		cmocka_unit_test(every_power_cut_leaves_a_prefix_with_all_that_was_synced),
		cmocka_unit_test(a_power_cut_after_a_killed_opening_leaves_what_was_synced),
		cmocka_unit_test(a_power_cut_after_a_close_that_was_killed_leaves_what_was_synced),
		cmocka_unit_test(every_failing_call_leaves_a_log_that_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

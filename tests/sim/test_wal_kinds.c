/* SPDX-License-Identifier: MIT */
/* What a log needs to be shipped and repaired: repairs, resets, pins, what is synced, and logs that
 * begin somewhere. */
#include "node/wal.h"
#include "tests/sim/crash_vfs.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct wal_options options_for(struct crash_vfs *crash)
{
	return (struct wal_options){
		.vfs = crash_vfs_base(crash),
		.dir = "/d",
		.store_id = { 1, 2, 3 },
		.file_bytes = 4096,
	};
}

static struct crash_vfs *new_disk(uint64_t seed)
{
	struct crash_vfs *crash = crash_vfs_new(seed);

	assert_int_equal(vfs_mkdir(crash_vfs_base(crash), "/d"), 0);
	assert_int_equal(vfs_sync_dir(crash_vfs_base(crash), "/"), 0);
	return crash;
}

/* The records that replay brought: flags and mark of each. */
struct seen {
	unsigned count;
	uint16_t flags[64];
	struct wal_mark mark;
};

static int see(const struct wal_record *record, void *state)
{
	struct seen *seen = state;

	if (seen->count == 0)
		seen->mark = (struct wal_mark){ record->first_position - 1, 0,
						record->first_sequence - 1 };
	assert_true(wal_mark_advance(&seen->mark, record));
	seen->flags[seen->count++ % 64] = record->flags;
	return 0;
}

static struct wal *must_open(struct crash_vfs *crash, struct seen *seen)
{
	struct wal_options options = options_for(crash);
	struct wal *wal;
	char *why = NULL;
	int r;

	*seen = (struct seen){ 0 };
	r = wal_open(&options, see, seen, &wal, &why);
	if (r != 0)
		fail_msg("%d: %s", r, why);
	return wal;
}

static int append(struct wal *wal, uint16_t flags, uint64_t epoch, uint64_t first_sequence,
		  uint32_t count)
{
	static const uint8_t payload[100];
	struct wal_record record = {
		.flags = flags,
		.epoch = epoch,
		.first_sequence = first_sequence,
		.first_position = wal_last(wal).position + 1,
		.count = count,
		.payload = payload,
		.payload_len = count > 0 ? sizeof(payload) : 0,
	};

	return wal_append(wal, &record);
}

static void assert_mark(struct wal_mark mark, uint64_t position, uint64_t epoch, uint64_t sequence)
{
	assert_int_equal(mark.position, position);
	assert_int_equal(mark.epoch, epoch);
	assert_int_equal(mark.sequence, sequence);
}

/* Ordinary records up to (2, 6), two repairs, a reset to (1, 3), and on from there. */
static void write_all_kinds(struct wal *wal, unsigned up_to)
{
	static const struct {
		uint16_t flags;
		uint64_t epoch, first_sequence;
		uint32_t count;
	} records[] = {
		{ 0, 1, 1, 4 },          { 0, 2, 5, 2 },         { WAL_REPAIR, 2, 7, 3 },
		{ WAL_REPAIR, 2, 7, 1 }, { WAL_RESET, 1, 4, 0 }, { 0, 3, 4, 2 },
	};

	for (unsigned i = 0; i < up_to; i++)
		assert_int_equal(append(wal, records[i].flags, records[i].epoch,
					records[i].first_sequence, records[i].count),
				 0);
}

static void repairs_and_resets_come_back(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);

	(void)state;
	write_all_kinds(wal, 4);
	assert_mark(wal_last(wal), 10, 2, 6);
	wal_close(wal);
	wal = must_open(crash, &seen);
	assert_int_equal(seen.count, 4);
	assert_mark(wal_last(wal), 10, 2, 6);
	assert_int_equal(append(wal, WAL_RESET, 1, 4, 0), 0);
	assert_mark(wal_last(wal), 10, 1, 3);
	assert_int_equal(append(wal, 0, 3, 4, 2), 0);
	wal_close(wal);
	wal = must_open(crash, &seen);
	assert_int_equal(seen.count, 6);
	assert_int_equal(seen.flags[4], WAL_RESET);
	assert_mark(wal_last(wal), 12, 3, 5);
	wal_close(wal);
	crash_vfs_free(crash);
}

static void a_log_may_be_reset_to_its_very_beginning(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);

	(void)state;
	assert_int_equal(append(wal, 0, 7, 1, 3), 0);
	assert_int_equal(append(wal, WAL_RESET, 0, 1, 0), 0);
	assert_mark(wal_last(wal), 3, 0, 0);
	wal_close(wal);
	wal = must_open(crash, &seen);
	assert_mark(wal_last(wal), 3, 0, 0);
	assert_int_equal(append(wal, 0, 2, 1, 1), 0);
	assert_mark(wal_last(wal), 4, 2, 1);
	wal_close(wal);
	crash_vfs_free(crash);
}

/* Whatever survives is a prefix, also when it goes through the window of a new file. */
static void every_power_cut_leaves_a_prefix_of_all_kinds(void **state)
{
	static const struct wal_mark marks[] = { { 0, 0, 0 }, { 4, 1, 4 },  { 6, 2, 6 },
						 { 9, 2, 6 }, { 10, 2, 6 }, { 10, 1, 3 },
						 { 12, 3, 5 } };

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		struct crash_vfs *crash = new_disk(seed);
		unsigned written = (unsigned)(seed % 7);
		struct seen seen, again;
		struct wal *wal = must_open(crash, &seen);

		write_all_kinds(wal, written);
		wal_abandon(wal);
		crash_vfs_cut(crash);
		crash_vfs_restart(crash);
		wal = must_open(crash, &seen);
		assert_true(seen.count <= written);
		assert_memory_equal(&seen.mark, &marks[seen.count], sizeof(seen.mark));
		assert_mark(wal_last(wal), seen.mark.position, seen.mark.epoch, seen.mark.sequence);
		wal_abandon(wal);
		crash_vfs_cut(crash);
		crash_vfs_restart(crash);
		wal_close(must_open(crash, &again));
		assert_int_equal(again.count, seen.count);
		crash_vfs_free(crash);
	}
}

static void a_reset_that_was_not_synced_can_be_taken_back(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);

	(void)state;
	assert_int_equal(append(wal, 0, 1, 1, 3), 0);
	assert_int_equal(append(wal, WAL_REPAIR, 1, 4, 2), 0);
	assert_int_equal(append(wal, WAL_RESET, 1, 2, 0), 0);
	crash_vfs_fail(crash, 1, 1, EIO);
	assert_int_equal(wal_sync(wal), -EIO);
	assert_int_equal(wal_reopen(wal, 5, 0), 0);
	assert_mark(wal_last(wal), 5, 1, 3);
	wal_close(wal);
	wal = must_open(crash, &seen);
	assert_int_equal(seen.count, 2);
	wal_close(wal);
	crash_vfs_free(crash);
}

static void what_continues_nothing_is_not_taken(void **state)
{
	static const uint8_t byte;
	const struct wal_mark at = { 10, 5, 20 };
	struct wal_record record = { .epoch = 5,
				     .first_sequence = 21,
				     .first_position = 11,
				     .count = 1,
				     .payload = &byte,
				     .payload_len = 1 };
	struct wal_record wrong;
	struct wal_mark mark = at;

	(void)state;
	assert_true(wal_mark_advance(&mark, &record));
#define REFUSED(change)                                                                            \
	do {                                                                                       \
		wrong = record;                                                                    \
		mark = at;                                                                         \
		change;                                                                            \
		assert_false(wal_mark_advance(&mark, &wrong));                                     \
	} while (0)
	REFUSED(wrong.epoch = 4);
	REFUSED(wrong.first_sequence = 20);
	REFUSED(wrong.first_sequence = 22);
	REFUSED(wrong.first_position = 12);
	REFUSED(wrong.count = 0);
	REFUSED(wrong.payload_len = 0);
	REFUSED(wrong.flags = WAL_REPAIR; wrong.epoch = 6);
	REFUSED(wrong.flags = WAL_REPAIR; wrong.first_sequence = 20);
	REFUSED(wrong.flags = WAL_RESET);
	REFUSED(wrong.flags = 6);
	record.flags = WAL_RESET;
	record.count = 0;
	record.payload_len = 0;
	REFUSED(wrong.epoch = 6);
	REFUSED(wrong.first_sequence = 22);
	REFUSED(wrong.first_sequence = 0);
}

static void a_created_log_goes_on_from_there(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal_options options = options_for(crash);
	struct seen seen = { 0 };
	char *why = NULL;
	struct wal *wal;

	(void)state;
	assert_int_equal(wal_create(&options, (struct wal_mark){ 100, 7, 80 }), 0);
	crash_vfs_cut(crash);
	crash_vfs_restart(crash);
	assert_int_equal(wal_open(&options, see, &seen, &wal, &why), -EBADMSG);
	free(why);
	options.flushed_position = 100;
	assert_int_equal(wal_open(&options, see, &seen, &wal, &why), 0);
	assert_int_equal(seen.count, 0);
	assert_mark(wal_last(wal), 100, 7, 80);
	assert_int_equal(append(wal, 0, 7, 81, 2), 0);
	wal_close(wal);
	assert_int_equal(wal_open(&options, see, &seen, &wal, &why), 0);
	assert_int_equal(seen.count, 1);
	assert_mark(wal_last(wal), 102, 7, 82);
	wal_close(wal);
	crash_vfs_free(crash);
}

static void nothing(uint64_t position, void *state)
{
	(void)position;
	(void)state;
}

static void a_pin_keeps_what_is_behind_it(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal_pin *early = NULL, *late = NULL, *none = NULL;
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);
	struct wal_extent *extents;
	struct wal_mark synced;
	size_t count;

	(void)state;
	while (wal_files(wal) < 8)
		assert_int_equal(append(wal, 0, 1, wal_last(wal).sequence + 1, 1), 0);
	assert_int_equal(wal_extents(wal, &extents, &count, &synced), 0);
	assert_int_equal(count, 8);
	assert_int_equal(wal_pin(wal, extents[2].base.position, &early), 0);
	assert_int_equal(wal_pin(wal, extents[5].base.position + 1, &late), 0);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &(struct wal_keep){ 0 }, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 6);
	assert_int_equal(wal_pin(wal, extents[2].base.position - 1, &none), WAL_TRIMMED);
	early = wal_unpin(wal, early);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &(struct wal_keep){ 0 }, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 3);
	late = wal_unpin(wal, late);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &(struct wal_keep){ 0 }, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 1);
	free(extents);
	wal_close(wal);
	crash_vfs_free(crash);
}

/* Every record has a file of its own. */
static void what_is_held_moves_and_yields_to_its_bound(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct wal_keep plenty = { .hold_bytes = UINT64_MAX };
	struct wal_pin *hold = NULL, *none = NULL, *pin = NULL;
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);
	struct wal_extent *extents;
	struct wal_mark synced;
	size_t count;

	(void)state;
	while (wal_files(wal) < 8)
		assert_int_equal(append(wal, 0, 1, wal_last(wal).sequence + 1, 1), 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(wal_extents(wal, &extents, &count, &synced), 0);
	assert_int_equal(wal_hold(wal, extents[2].base.sequence, &hold), 0);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &plenty, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 6);
	assert_int_equal(wal_hold(wal, extents[2].base.sequence - 1, &none), WAL_TRIMMED);
	assert_null(none);
	assert_int_equal(wal_hold(wal, extents[2].base.sequence - 1, &hold), WAL_TRIMMED);
	assert_int_equal(wal_hold(wal, extents[5].base.sequence, &hold), 0);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &plenty, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 3);
	assert_int_equal(wal_pin(wal, extents[6].base.position, &pin), 0);
	assert_false(wal_pin_is_broken(wal, hold));
	assert_int_equal(wal_trim(wal, UINT64_MAX, &(struct wal_keep){ 0 }, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 2);
	assert_true(wal_pin_is_broken(wal, hold));
	wal_pin_yield(wal, pin);
	assert_int_equal(wal_trim(wal, UINT64_MAX, &(struct wal_keep){ 0 }, nothing, NULL), 0);
	assert_int_equal(wal_files(wal), 1);
	assert_true(wal_pin_is_broken(wal, pin));
	wal_unpin(wal, hold);
	wal_unpin(wal, pin);
	free(extents);
	wal_close(wal);
	crash_vfs_free(crash);
}

static uint64_t last_extent(struct wal *wal, struct wal_mark *ret_synced)
{
	struct wal_extent *extents;
	size_t count;
	uint64_t bytes;

	assert_int_equal(wal_extents(wal, &extents, &count, ret_synced), 0);
	bytes = extents[count - 1].bytes;
	free(extents);
	return bytes;
}

static void only_what_is_synced_is_shown(void **state)
{
	struct crash_vfs *crash = new_disk(1);
	struct seen seen;
	struct wal *wal = must_open(crash, &seen);
	struct wal_mark synced;

	(void)state;
	assert_int_equal(append(wal, 0, 1, 1, 1), 0);
	assert_int_equal(last_extent(wal, &synced), WAL_FILE_HEADER_BYTES);
	assert_mark(synced, 0, 0, 0);
	assert_int_equal(wal_sync(wal), 0);
	assert_int_equal(last_extent(wal, &synced), WAL_FILE_HEADER_BYTES + wal_record_bytes(100));
	assert_mark(synced, 1, 1, 1);
	assert_int_equal(append(wal, 0, 1, 2, 1), 0);
	crash_vfs_fail(crash, 1, 1, EIO);
	assert_int_equal(wal_sync(wal), -EIO);
	assert_mark(wal_synced(wal), 1, 1, 1);
	assert_int_equal(wal_reopen(wal, 2, 0), 0);
	assert_mark(wal_synced(wal), 2, 1, 2);
	assert_int_equal(last_extent(wal, &synced), WAL_FILE_HEADER_BYTES + wal_record_bytes(100));
	wal_close(wal);
	crash_vfs_free(crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(repairs_and_resets_come_back),
		cmocka_unit_test(a_log_may_be_reset_to_its_very_beginning),
		cmocka_unit_test(every_power_cut_leaves_a_prefix_of_all_kinds),
		cmocka_unit_test(a_reset_that_was_not_synced_can_be_taken_back),
		cmocka_unit_test(what_continues_nothing_is_not_taken),
		cmocka_unit_test(a_created_log_goes_on_from_there),
		cmocka_unit_test(a_pin_keeps_what_is_behind_it),
		cmocka_unit_test(what_is_held_moves_and_yields_to_its_bound),
		cmocka_unit_test(only_what_is_synced_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* One store's log read into another: what is shipped, and what becomes of it. */
#include "node/request_ids_file.h"
#include "node/store_private.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/shipping.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int64_t simulated_ns = 1700000000000000000;

static int64_t simulated_clock(void)
{
	return simulated_ns += 1000000;
}

struct pair {
	struct crash_vfs *crash;
	struct store *leader, *follower;
};

static struct store *must_open(struct crash_vfs *crash, const char *dir)
{
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = dir,
		.cluster = "sim",
		.node = dir + 1,
		.memtable_bytes = 16384,
		.inline_bytes = 256,
		.log_retain_bytes = 1 << 20,
		.log_retain_s = 600,
		.realtime_ns = simulated_clock,
	};
	struct store *store = NULL;
	char *why = NULL;
	int r = store_open(&options, &store, &why);

	if (r != 0)
		fail_msg("%d: %s", r, why);
	return store;
}

static int setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair->crash = crash_vfs_new(1);
	pair->leader = must_open(pair->crash, "/leader");
	pair->follower = must_open(pair->crash, "/follower");
	assert_int_equal(store_lead_next(pair->leader, 1), 0);
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;

	store_close(pair->leader);
	store_close(pair->follower);
	crash_vfs_free(pair->crash);
	free(pair);
	return 0;
}

static void on_done(struct store_write *write)
{
	*(bool *)write->state = true;
}

/* The write's outcome. */
static enum outcome submit(struct store *store, struct store_write *write)
{
	bool answered = false;

	write->done = on_done;
	write->state = &answered;
	store_submit(store, write);
	assert_true(answered);
	return write->outcome;
}

static struct key key_of(const char *name)
{
	struct key key;

	assert_int_equal(key_from_bytes(name, strlen(name), &key), 0);
	return key;
}

static struct store_write put_of(const char *name, const char *value)
{
	struct store_write write = {
		.kind = WRITE_PUT,
		.key = key_of(name),
		.value = value,
		.value_len = strlen(value),
		.request = { .durability = DURABILITY_DISK },
	};

	return write;
}

static void put(struct store *store, const char *name, const char *value)
{
	struct store_write write = put_of(name, value);

	assert_true(outcome_is_success(submit(store, &write)));
}

static void put_large(struct store *store, const char *name, uint8_t fill)
{
	struct store_write write = put_of(name, "");
	struct value_writer *writer;
	uint8_t data[1000];

	memset(data, fill, sizeof(data));
	assert_int_equal(value_writer_new(store_values(store), &writer), 0);
	assert_int_equal(value_writer_append(writer, data, sizeof(data)), 0);
	assert_int_equal(value_writer_finish(writer, &write.file, &write.file_size,
					     &write.file_hash, &write.file_utf8),
			 0);
	assert_true(outcome_is_success(submit(store, &write)));
}

static void delete_record(struct store *store, const char *name)
{
	struct store_write write = {
		.kind = WRITE_DELETE,
		.key = key_of(name),
		.request = { .durability = DURABILITY_DISK },
	};

	assert_int_equal(submit(store, &write), OUTCOME_NO_CONTENT);
}

/* NULL: there is none. */
static void assert_value(struct store *store, const char *name, const char *value)
{
	struct key key = key_of(name);
	struct store_record record;
	int r = store_get(store, &key, 0, &record);

	if (!value) {
		assert_int_equal(r, STORE_NOT_FOUND);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(record.meta.size_bytes, strlen(value));
	assert_memory_equal(store_record_inline(&record), value, strlen(value));
	store_record_release(&record);
}

static void assert_large(struct store *store, const char *name, uint8_t fill)
{
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct key key = key_of(name);
	struct store_record record;

	assert_int_equal(store_get(store, &key, 0, &record), 0);
	assert_int_equal(value_file_read_chunk(record.held.file, 1000, 0, chunk, 0), 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(chunk[i], fill);
	store_record_release(&record);
}

static void a_follower_gets_what_the_leader_wrote(void **state)
{
	struct pair *pair = *state;
	struct version end;

	put(pair->leader, "a", "one");
	put(pair->leader, "b", "two");
	put_large(pair->leader, "c", 7);
	put(pair->leader, "a", "three");
	delete_record(pair->leader, "b");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 5);
	assert_value(pair->follower, "a", "three");
	assert_value(pair->follower, "b", NULL);
	assert_large(pair->follower, "c", 7);
	end = shipping_end(pair->follower);
	assert_int_equal(version_compare(end, shipping_end(pair->leader)), 0);
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 0);
	pair->follower = store_close(pair->follower);
	pair->follower = must_open(pair->crash, "/follower");
	assert_value(pair->follower, "a", "three");
	assert_large(pair->follower, "c", 7);
}

static void reopen_follower(struct pair *pair)
{
	pair->follower = store_close(pair->follower);
	pair->follower = must_open(pair->crash, "/follower");
}

/* For a while it writes what nobody else has. */
static void lead(struct store *store)
{
	assert_int_equal(store_lead_next(store, 2), 0);
}

struct seen {
	unsigned records, entries;
	unsigned stop_at; /* records; 0: never */
	struct version last;
	char keys[256]; /* the first byte of each */
};

static int see(const struct shipped_record *shipped, void *state)
{
	struct bytes_reader reader = bytes_reader(shipped->payload, shipped->payload_len);
	struct seen *seen = state;

	if (seen->stop_at > 0 && seen->records == seen->stop_at)
		return 1;
	for (uint32_t i = 0; i < shipped->count; i++) {
		struct entry entry;

		assert_int_equal(entry_decode(&reader, &entry), 0);
		assert_int_equal(entry.version.epoch, shipped->epoch);
		assert_int_equal(entry.version.sequence, shipped->first_sequence + i);
		assert_int_equal(entry.version.sequence, seen->last.sequence + 1);
		seen->last = entry.version;
		seen->keys[seen->entries++] = (char)entry.key[0];
	}
	assert_int_equal(bytes_left(&reader), 0);
	seen->records++;
	return 0;
}

static struct seen must_read(struct store *store, struct version after, size_t bytes_max,
			     unsigned stop_at)
{
	struct seen seen = { .last = after, .stop_at = stop_at };

	assert_int_equal(store_log_read(store, after, bytes_max, see, &seen), 0);
	return seen;
}

static void a_reader_gets_what_it_wants_but_at_least_one_record(void **state)
{
	struct pair *pair = *state;
	const struct version start = { 0 };
	struct seen seen;

	put(pair->leader, "a", "0123456789");
	put(pair->leader, "b", "0123456789");
	put(pair->leader, "c", "0123456789");
	assert_string_equal(must_read(pair->leader, start, SIZE_MAX, 0).keys, "abc");
	seen = must_read(pair->leader, start, 1, 0);
	assert_string_equal(seen.keys, "a");
	assert_string_equal(must_read(pair->leader, seen.last, 1, 0).keys, "b");
	assert_string_equal(must_read(pair->leader, start, SIZE_MAX, 2).keys, "ab");
	assert_string_equal(must_read(pair->leader, seen.last, SIZE_MAX, 0).keys, "bc");
	assert_string_equal(must_read(pair->leader, shipping_end(pair->leader), 1, 0).keys, "");
}

static void a_record_is_cut_where_the_reader_stands(void **state)
{
	struct pair *pair = *state;
	struct store_write writes[] = { put_of("a", "1"), put_of("b", "2"), put_of("c", "3") };
	bool answered[3] = { 0 };
	struct seen seen;

	for (int i = 0; i < 3; i++) {
		writes[i].done = on_done;
		writes[i].state = &answered[i];
		writes[i].next = i < 2 ? &writes[i + 1] : NULL;
	}
	store_submit_batch(pair->leader, writes);
	assert_true(answered[2]);
	put(pair->leader, "d", "4");
	seen = must_read(pair->leader, writes[0].meta.version, SIZE_MAX, 0);
	assert_string_equal(seen.keys, "bcd");
	assert_int_equal(seen.records, 2);
}

static void only_what_is_on_disk_is_shipped(void **state)
{
	struct pair *pair = *state;
	struct store_write write = put_of("m", "memory");
	const struct version start = { 0 };

	put(pair->leader, "a", "1");
	write.request.durability = DURABILITY_MEMORY;
	assert_true(outcome_is_success(submit(pair->leader, &write)));
	assert_string_equal(must_read(pair->leader, start, SIZE_MAX, 0).keys, "a");
	simulated_ns += 1000000000;
	store_tick(pair->leader);
	assert_string_equal(must_read(pair->leader, start, SIZE_MAX, 0).keys, "am");
}

static void count_call(void *state)
{
	++*(unsigned *)state;
}

static void who_waits_hears_of_every_sync(void **state)
{
	struct pair *pair = *state;
	struct store_write write = put_of("m", "memory");
	unsigned calls = 0;

	store_on_synced(pair->leader, count_call, &calls);
	put(pair->leader, "a", "1");
	assert_int_equal(calls, 1);
	write.request.durability = DURABILITY_MEMORY;
	assert_true(outcome_is_success(submit(pair->leader, &write)));
	assert_int_equal(calls, 1);
	simulated_ns += 100000000; /* sooner than if nobody waited */
	store_tick(pair->leader);
	assert_int_equal(calls, 2);
	store_on_synced(pair->leader, NULL, NULL);
	put(pair->leader, "a", "2");
	assert_int_equal(calls, 2);
}

static void what_is_gone_or_unknown_is_not_shipped(void **state)
{
	struct pair *pair = *state;
	struct version start = { 0 }, first, second;
	struct wal_pin *pin = NULL;
	struct seen seen = { 0 };
	char value[256] = { 0 };

	put(pair->leader, "a", "1");
	first = shipping_end(pair->leader);
	assert_int_equal(store_log_distance(pair->leader, first), 0);
	memset(value, 'v', 255);
	assert_int_equal(store_log_pin(pair->leader, 1, &pin), 0);
	for (int i = 0; i < 8000; i++) {
		put(pair->leader, "b", value);
		if (i == 0)
			second = shipping_end(pair->leader);
	}
	/* Far more than is retained, but for the pin. */
	assert_true(store_log_distance(pair->leader, first) > 8000 * 255);
	assert_int_equal(must_read(pair->leader, first, SIZE_MAX, 1).records, 1);
	pin = store_log_unpin(pair->leader, pin);
	for (int i = 0; i < 200; i++)
		put(pair->leader, "b", value);
	assert_int_equal(store_log_read(pair->leader, start, 1, see, &seen), STORE_LOG_TRIMMED);
	assert_int_equal(store_log_read(pair->leader, second, 1, see, &seen), STORE_LOG_TRIMMED);
	assert_int_equal(store_log_pin(pair->leader, 1, &pin), STORE_LOG_TRIMMED);
	first.epoch++;
	assert_int_equal(store_log_read(pair->leader, first, 1, see, &seen), STORE_LOG_FOREIGN);
	first = shipping_end(pair->leader);
	first.sequence++;
	assert_int_equal(store_log_read(pair->leader, first, 1, see, &seen), STORE_LOG_FOREIGN);
}

/* One entry that follows @after in @epoch. */
static struct store_batch batch_of(struct entry *entry, const char *name, struct version version)
{
	*entry = (struct entry){
		.kind = ENTRY_INLINE,
		.key = (const uint8_t *)name,
		.key_len = (uint8_t)strlen(name),
		.version = version,
		.content_type = "t",
		.content_type_len = 1,
		.encoding = "e",
		.encoding_len = 1,
		.value = (const uint8_t *)"new",
		.size_bytes = 3,
		.hash = hash128("new", 3),
	};
	return (struct store_batch){
		.entries = entry,
		.count = 1,
		.epoch = version.epoch,
		.first_sequence = version.sequence,
		.time_ns = simulated_clock(),
	};
}

static void what_does_not_continue_the_log_is_refused(void **state)
{
	struct pair *pair = *state;
	struct version end, next;
	struct store_batch batch;
	struct entry entry;

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "2");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	end = shipping_end(pair->follower);
	next = (struct version){ end.epoch, end.sequence + 1 };
#define REFUSED(error, change)                                                                     \
	do {                                                                                       \
		batch = batch_of(&entry, "x", next);                                               \
		change;                                                                            \
		assert_int_equal(shipping_apply(pair->follower, &batch), error);                   \
	} while (0)
	REFUSED(-ESTALE, batch = batch_of(&entry, "x", end));
	REFUSED(-ESTALE, next.sequence++; batch = batch_of(&entry, "x", next); next.sequence--);
	REFUSED(-ESTALE, next.epoch++; batch = batch_of(&entry, "x", next); next.epoch--);
	REFUSED(-ESTALE, next.epoch--; batch = batch_of(&entry, "x", next); next.epoch++);
	REFUSED(-EINVAL, entry.version.sequence++);
	REFUSED(-EINVAL, entry.version.epoch++);
	REFUSED(-EINVAL, batch.count = 0);
	REFUSED(-EINVAL, batch.kind = BATCH_RESET);
	REFUSED(-EINVAL, batch.kind = BATCH_REPAIR; batch.count = 0);
	REFUSED(-ESTALE, batch.kind = BATCH_RESET; batch.count = 0);
	REFUSED(-ESTALE, batch.kind = BATCH_RESET; batch.count = 0; batch.first_sequence = 1;
		batch.epoch--);
	assert_int_equal(version_compare(shipping_end(pair->follower), end), 0);
	assert_value(pair->follower, "x", NULL);
	batch = batch_of(&entry, "x", next);
	assert_int_equal(shipping_apply(pair->follower, &batch), 0);
	assert_value(pair->follower, "x", "new");
}

static void a_repair_installs_other_versions_and_leaves_the_end(void **state)
{
	struct pair *pair = *state;
	struct version end, old = { 1, 1 };
	struct store_batch batch;
	struct entry entries[2];
	struct store_record record;
	struct key key = key_of("a");

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "2");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	end = shipping_end(pair->follower);
	batch = batch_of(&entries[1], "b", old);
	entries[1].kind = ENTRY_TOMBSTONE;
	entries[1].content_type_len = entries[1].encoding_len = 0;
	entries[1].size_bytes = 0;
	batch = batch_of(&entries[0], "a", old);
	batch.count = 2;
	batch.kind = BATCH_REPAIR;
	assert_int_equal(shipping_apply(pair->follower, &batch), 0);
	for (int i = 0; i < 2; i++) {
		assert_value(pair->follower, "a", "new");
		assert_value(pair->follower, "b", NULL);
		assert_int_equal(store_get(pair->follower, &key, 0, &record), 0);
		assert_int_equal(version_compare(record.meta.version, old), 0);
		store_record_release(&record);
		assert_int_equal(version_compare(shipping_end(pair->follower), end), 0);
		reopen_follower(pair);
	}
}

static void count_problem(const char *sentence, void *state)
{
	print_message("%s\n", sentence);
	++*(unsigned *)state;
}

/* What @follower wrote as a leader of its own is lost; it goes on with what the leader has. */
static void a_reset_takes_back_what_diverged(void **state)
{
	struct pair *pair = *state;
	struct store_write write = put_of("lost", "x");
	struct store *third = must_open(pair->crash, "/third");
	unsigned problems = 0;

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "2");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	lead(pair->follower);
	request_id_generate(&write.request.request_id);
	assert_true(outcome_is_success(submit(pair->follower, &write)));
	put(pair->follower, "a", "lost");
	assert_int_equal(store_follow(pair->follower), 0);
	put(pair->leader, "c", "3");
	put(pair->leader, "d", "4");
	assert_true(store_knows_request(pair->follower, &write.request.request_id, &write.key));
	assert_int_equal(shipping_reset(pair->leader, pair->follower), 0);
	assert_int_equal(shipping_end(pair->follower).sequence, 2);
	assert_false(store_knows_request(pair->follower, &write.request.request_id, &write.key));
	/* Nothing dead is read, though no later epoch says so yet. */
	assert_string_equal(must_read(pair->follower, (struct version){ 0 }, SIZE_MAX, 0).keys,
			    "ab");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	assert_int_equal(version_compare(shipping_end(pair->follower), shipping_end(pair->leader)),
			 0);
	assert_int_equal(shipping_pull(pair->follower, third, UINT_MAX), 4);
	assert_string_equal(must_read(third, (struct version){ 0 }, SIZE_MAX, 0).keys, "abcd");
	assert_value(third, "lost", NULL);
	store_close(third);
	pair->follower = store_close(pair->follower);
	assert_int_equal(
		store_check(crash_vfs_base(pair->crash), "/follower", count_problem, &problems), 0);
	pair->follower = must_open(pair->crash, "/follower");
	assert_false(store_knows_request(pair->follower, &write.request.request_id, &write.key));
}

/* All files of the log that are left begin in what was lost. */
static void a_log_that_begins_in_what_was_taken_back_can_be_read(void **state)
{
	struct pair *pair = *state;
	struct version start = { 0 }, common, oldest;
	struct store_standing standing;
	struct seen seen = { 0 };
	char value[256] = { 0 };

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "2");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	common = shipping_end(pair->follower);
	assert_int_equal(store_log_oldest(pair->follower, &oldest), 0);
	assert_int_equal(version_compare(oldest, start), 0);
	lead(pair->follower);
	memset(value, 'v', 255);
	for (int i = 0; i < 8000; i++)
		put(pair->follower, "lost", value);
	assert_int_equal(store_follow(pair->follower), 0);
	assert_int_equal(shipping_reset(pair->leader, pair->follower), 0);
	assert_int_equal(store_standing(pair->follower, &standing), 0);
	assert_true(standing.log_begin.sequence > common.sequence);
	assert_int_equal(store_log_oldest(pair->follower, &oldest), 0);
	assert_int_equal(version_compare(oldest, common), 0);
	put(pair->leader, "c", "3");
	put(pair->leader, "d", "4");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	assert_int_equal(store_log_oldest(pair->follower, &oldest), 0);
	assert_int_equal(version_compare(oldest, common), 0);
	assert_string_equal(must_read(pair->follower, common, SIZE_MAX, 0).keys, "cd");
	assert_int_equal(store_log_read(pair->follower, start, 1, see, &seen), STORE_LOG_TRIMMED);
}

/* The epoch of what was lost is the one in which the rest was written. */
static void a_leader_that_was_replaced_goes_on_as_a_follower(void **state)
{
	struct pair *pair = *state;
	struct store_write write = put_of("c", "lost");
	struct version end;

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "2");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	request_id_generate(&write.request.request_id);
	assert_true(outcome_is_success(submit(pair->leader, &write)));
	assert_int_equal(store_follow(pair->leader), 0);
	lead(pair->follower);
	put(pair->follower, "d", "3");
	end = shipping_end(pair->leader);
	assert_int_equal(shipping_reset(pair->follower, pair->leader), 0);
	for (int i = 0; i < 2; i++) {
		struct seen seen = { 0 };

		assert_string_equal(
			must_read(pair->leader, (struct version){ 0 }, SIZE_MAX, 0).keys, "ab");
		assert_int_equal(store_log_read(pair->leader, end, 1, see, &seen),
				 STORE_LOG_FOREIGN);
		assert_false(
			store_knows_request(pair->leader, &write.request.request_id, &write.key));
		pair->leader = store_close(pair->leader);
		pair->leader = must_open(pair->crash, "/leader");
	}
	assert_int_equal(shipping_pull(pair->follower, pair->leader, UINT_MAX), 1);
	assert_string_equal(must_read(pair->leader, (struct version){ 0 }, SIZE_MAX, 0).keys,
			    "abd");
}

/* The history could not be cut: it is tried again, and done by an opening. */
static void a_reset_that_breaks_off_is_finished_later(void **state)
{
	struct pair *pair = *state;

	for (int round = 0; round < 4; round++) {
		bool by_opening = round % 2;
		unsigned problems = 0;
		uint64_t nth = 0;
		int r = 0;

		put(pair->leader, "a", "1");
		assert_true(shipping_pull(pair->leader, pair->follower, UINT_MAX) > 0);
		/* The calls of a reset, one after the other: fails it before or after it counts. */
		do {
			struct version end;

			lead(pair->follower);
			put(pair->follower, "lost", "x");
			assert_int_equal(store_follow(pair->follower), 0);
			end = shipping_end(pair->follower);
			crash_vfs_fail(pair->crash, ++nth, 1, round < 2 ? EIO : ENOSPC);
			r = shipping_reset(pair->leader, pair->follower);
			crash_vfs_fail(pair->crash, 0, 0, 0);
			if (version_compare(shipping_end(pair->follower), end) == 0)
				assert_true(r < 0);
			if (by_opening) {
				pair->follower = store_close(pair->follower);
				assert_int_equal(store_check(crash_vfs_base(pair->crash),
							     "/follower", count_problem, &problems),
						 0);
				pair->follower = must_open(pair->crash, "/follower");
			}
			simulated_ns += 2000000000;
			store_tick(pair->follower);
			assert_int_equal(shipping_reset(pair->leader, pair->follower), 0);
			assert_false(store_in_history(pair->follower, end));
			put(pair->leader, "b", "2");
			assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 1);
			assert_int_equal(version_compare(shipping_end(pair->follower),
							 shipping_end(pair->leader)),
					 0);
		} while (r < 0 || nth < 12);
	}
}

static void a_follower_knows_the_requests_it_was_given(void **state)
{
	struct pair *pair = *state;
	struct store_write write = put_of("a", "1"), again;

	request_id_generate(&write.request.request_id);
	assert_int_equal(submit(pair->leader, &write), OUTCOME_CREATED);
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 1);
	for (int i = 0; i < 2; i++) {
		lead(pair->follower);
		again = put_of("a", "1");
		again.request.request_id = write.request.request_id;
		assert_int_equal(submit(pair->follower, &again), OUTCOME_CREATED);
		assert_true(again.repeated);
		assert_int_equal(version_compare(again.meta.version, write.meta.version), 0);
		reopen_follower(pair);
	}
}

static void a_follower_without_room_goes_on_once_there_is_some(void **state)
{
	struct pair *pair = *state;
	int r;

	put(pair->leader, "a", "1");
	put(pair->leader, "b", "1");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	delete_record(pair->leader, "a");
	put(pair->leader, "c", "1");
	/* Nothing has room. */
	crash_vfs_fail(pair->crash, 1, 1000000, ENOSPC);
	r = shipping_pull(pair->leader, pair->follower, UINT_MAX);
	crash_vfs_fail(pair->crash, 0, 0, 0);
	assert_true(r < 0);
	assert_value(pair->follower, "a", "1");
	simulated_ns += 2000000000;
	store_tick(pair->follower);
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 2);
	assert_value(pair->follower, "a", NULL);
	assert_value(pair->follower, "c", "1");
}

/* Its disk is smaller than the leader's: deletes come behind puts that it has no room for. */
static void a_full_follower_still_comes_to_the_deletes(void **state)
{
	struct pair *pair = *state;
	struct crash_vfs *small = crash_vfs_new(2);
	struct store *follower = must_open(small, "/follower");
	struct store_stats stats = { 0 };
	char name[16], value[201] = { 0 };
	unsigned count = 0, tries = 0;
	int r = 0;

	memset(value, 'v', 200);
	crash_vfs_set_capacity(small, 600 << 10);
	while (!stats.full) {
		snprintf(name, sizeof(name), "%u", count++);
		put(pair->leader, name, value);
		r = shipping_pull(pair->leader, follower, UINT_MAX);
		store_stats(follower, &stats);
		assert_true(count < 10000);
	}
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "%u", count++);
		put(pair->leader, name, value);
	}
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "%u", i);
		delete_record(pair->leader, name);
	}
	do {
		simulated_ns += 1100000000;
		store_tick(follower);
		r = shipping_pull(pair->leader, follower, UINT_MAX);
		assert_true(r == -ENOSPC || r >= 0);
		assert_true(++tries < 100);
	} while (r != 0);
	assert_value(follower, "0", NULL);
	store_close(follower);
	crash_vfs_free(small);
}

static void a_store_made_of_a_copy_knows_the_requests_of_its_maker(void **state)
{
	struct pair *pair = *state;
	struct request_ids *ids = request_ids_new();
	struct request_answer answer = { 0 };
	struct request_id known = { { 1 } }, later = { { 2 } };
	struct key key = key_of("a");

	put(pair->leader, "a", "1");
	assert_int_equal(shipping_pull(pair->leader, pair->follower, UINT_MAX), 1);
	answer.key_hash = request_key_hash(key.bytes, key.len);
	answer.version = shipping_end(pair->follower);
	assert_int_equal(request_ids_add(ids, &known, &answer, simulated_clock()), 0);
	answer.version.sequence++;
	assert_int_equal(request_ids_add(ids, &later, &answer, simulated_clock()), 0);
	pair->follower = store_close(pair->follower);
	assert_int_equal(
		request_ids_save(ids, crash_vfs_base(pair->crash), "/follower", UINT64_MAX), 0);
	pair->follower = must_open(pair->crash, "/follower");
	assert_true(store_knows_request(pair->follower, &known, &key));
	/* What it does not hold it must not take for done. */
	assert_false(store_knows_request(pair->follower, &later, &key));
	request_ids_free(ids);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_follower_gets_what_the_leader_wrote),
		TEST(a_reader_gets_what_it_wants_but_at_least_one_record),
		TEST(a_record_is_cut_where_the_reader_stands),
		TEST(only_what_is_on_disk_is_shipped),
		TEST(who_waits_hears_of_every_sync),
		TEST(what_is_gone_or_unknown_is_not_shipped),
		TEST(what_does_not_continue_the_log_is_refused),
		TEST(a_repair_installs_other_versions_and_leaves_the_end),
		TEST(a_reset_takes_back_what_diverged),
		TEST(a_log_that_begins_in_what_was_taken_back_can_be_read),
		TEST(a_leader_that_was_replaced_goes_on_as_a_follower),
		TEST(a_reset_that_breaks_off_is_finished_later),
		TEST(a_follower_knows_the_requests_it_was_given),
		TEST(a_follower_without_room_goes_on_once_there_is_some),
		TEST(a_full_follower_still_comes_to_the_deletes),
		TEST(a_store_made_of_a_copy_knows_the_requests_of_its_maker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

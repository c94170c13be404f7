/* SPDX-License-Identifier: MIT */
/* One store's log read into another: what is shipped, and what becomes of it. */
#include "node/store_private.h"
#include "tests/sim/crash_vfs.h"
#include "tests/sim/shipping.h"

#include <errno.h>
#include <inttypes.h>
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

static struct store *must_open(struct crash_vfs *crash, const char *dir, uint16_t node)
{
	struct store_options options = {
		.vfs = crash_vfs_base(crash),
		.dir = dir,
		.cluster = "sim",
		.node = dir + 1,
		.node_id = node,
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
	pair->leader = must_open(pair->crash, "/leader", 1);
	pair->follower = must_open(pair->crash, "/follower", 2);
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
	assert_int_equal(shipping_pull(pair->leader, pair->follower, 1 << 20), 5);
	assert_value(pair->follower, "a", "three");
	assert_value(pair->follower, "b", NULL);
	assert_large(pair->follower, "c", 7);
	end = shipping_end(pair->follower);
	assert_int_equal(version_compare(end, shipping_end(pair->leader)), 0);
	assert_int_equal(shipping_pull(pair->leader, pair->follower, 1 << 20), 0);
	pair->follower = store_close(pair->follower);
	pair->follower = must_open(pair->crash, "/follower", 2);
	assert_value(pair->follower, "a", "three");
	assert_large(pair->follower, "c", 7);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_follower_gets_what_the_leader_wrote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

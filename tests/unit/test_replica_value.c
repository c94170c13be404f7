/* SPDX-License-Identifier: MIT */
/* Which value file a follower takes for an entry: one that it has, or one that it fetches. */
#include "node/replica_private.h"

#include "node/value_file.h"
#include "tests/sim/crash_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE 1000

struct test {
	struct crash_vfs *crash;
	struct replica *replica; /* of which only what concerns values is there */
	struct replica_node peers[1];
	uint64_t asked; /* the last question; 0: none since it was looked at */
	uint8_t value[SIZE];
};

static void send_message(void *state, unsigned place, uint64_t call, struct buf *message,
			 uint32_t timeout_ms)
{
	struct test *test = state;
	struct replica_message question;

	(void)timeout_ms;
	assert_int_equal(place, 1);
	assert_int_equal(replica_message_decode(message->data, message->len, &question), 0);
	assert_int_equal(question.kind, REPLICA_VALUE);
	test->asked = call;
	buf_deinit(message);
}

/* Nothing waits for the tick: replica_work() has done everything. */
static void wake(void *state)
{
	(void)state;
}

static const struct replica_transport transport = { .send = send_message, .wake = wake };

static int set_up(void **state)
{
	struct test *test = calloc(1, sizeof(*test));
	struct store_options options = {
		.dir = "/data",
		.cluster = "c",
		.node = "n0",
		.memtable_bytes = 1 << 20,
		.inline_bytes = 64,
	};
	struct replica *replica = calloc(1, sizeof(*replica));
	char *why;

	assert_true(test && replica);
	test->crash = crash_vfs_new(1);
	options.vfs = crash_vfs_base(test->crash);
	assert_int_equal(vfs_mkdir(options.vfs, options.dir), 0);
	assert_int_equal(store_open(&options, &replica->options.store, &why), 0);
	mutex_init(&replica->lock);
	condition_init(&replica->idle);
	replica->peers = test->peers;
	replica->peer_count = 1;
	test->peers[0].place = 1;
	replica->transport = &transport;
	replica->options.state = test;
	replica->role = REPLICA_STARTING;
	replica->id = 1;
	replica->source = 1;
	memset(replica->job.source, 's', 16);
	test->replica = replica;
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	replica_value_forget(test->replica);
	store_close(test->replica->options.store);
	condition_deinit(&test->replica->idle);
	mutex_deinit(&test->replica->lock);
	free(test->replica);
	crash_vfs_free(test->crash);
	free(test);
	return 0;
}

/* An entry of the source that names its file @id; the value is so many bytes of @fill. */
static struct entry entry_of(struct test *test, uint64_t id, char fill, size_t size)
{
	struct entry entry = {
		.kind = ENTRY_FILE,
		.key = (const uint8_t *)"key",
		.key_len = 3,
		.file_id = id,
		.size_bytes = size,
	};

	memset(test->value, fill, size);
	entry.hash = hash128(test->value, size);
	return entry;
}

static bool asks(struct test *test)
{
	bool asked = test->asked > 0;

	test->asked = 0;
	return asked;
}

/* The source's answer: test->value. */
static void answer(struct test *test, size_t size)
{
	struct replica_message message = {
		.kind = REPLICA_VALUE,
		.is_answer = true,
		.status = REPLICA_OK,
		.bytes = test->value,
		.bytes_len = size,
	};

	memset(message.head.store_id, 's', 16);
	assert_true(replica_value_answered(test->replica, test->asked, 0, &message));
	test->asked = 0;
}

static struct value_file *fetch(struct test *test, const struct entry *entry)
{
	struct value_file *file = NULL;

	assert_int_equal(replica_value(test->replica, entry, 1, 0, &file), VALUE_COMES);
	answer(test, entry->size_bytes);
	assert_int_equal(replica_value(test->replica, entry, 1, 0, &file), VALUE_COMES);
	assert_int_equal(replica_value(test->replica, entry, 1, 0, &file), 0);
	return file;
}

static void a_value_that_was_fetched_serves_later_entries_that_name_its_file(void **state)
{
	struct test *test = *state;
	struct entry entry = entry_of(test, 29, 'a', SIZE);
	struct value_file *first = fetch(test, &entry), *again = NULL;

	assert_int_equal(replica_value(test->replica, &entry, 1, 0, &again), 0);
	assert_ptr_equal(again, first);
	assert_false(asks(test));
	value_file_unref(again);
	value_file_unref(first);
}

/* A source that has installed a copy of another store has that one's ids. */
static void a_file_id_may_stand_for_another_value_later(void **state)
{
	struct test *test = *state;
	struct entry before = entry_of(test, 29, 'a', SIZE);
	struct value_file *first = fetch(test, &before), *second;
	struct entry as_long = entry_of(test, 29, 'b', SIZE);
	static uint8_t chunk[VALUE_CHUNK_BYTES];
	struct entry shorter;

	second = fetch(test, &as_long);
	assert_ptr_not_equal(second, first);
	assert_int_equal(value_file_read_chunk(second, SIZE, 0, chunk, 0), SIZE);
	assert_memory_equal(chunk, test->value, SIZE);
	value_file_unref(second);
	shorter = entry_of(test, 29, 'a', SIZE / 2);
	second = fetch(test, &shorter);
	assert_int_equal(value_file_read_chunk(second, SIZE / 2, 0, chunk, 0), SIZE / 2);
	assert_memory_equal(chunk, test->value, SIZE / 2);
	value_file_unref(second);
	value_file_unref(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_value_that_was_fetched_serves_later_entries_that_name_its_file, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_file_id_may_stand_for_another_value_later, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

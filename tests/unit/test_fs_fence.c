/* SPDX-License-Identifier: MIT */
/*
 * What is written after a write without an answer, against a leader that remembers what it applied
 * and may get the older write late.
 */
#include "fs/remote_call.h"
#include "lib/http_client.h"
#include "tests/unit/fs_leader.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIMEOUT_MS 700

struct world {
	struct fs_router router;
	struct fs_leader leader;
};

static void set_fault(struct world *world, enum fs_fault fault)
{
	pthread_mutex_lock(&world->router.lock);
	world->leader.fault = fault;
	pthread_mutex_unlock(&world->router.lock);
}

static void assert_writes(struct world *world, unsigned count)
{
	pthread_mutex_lock(&world->router.lock);
	assert_int_equal(world->leader.writes, count);
	pthread_mutex_unlock(&world->router.lock);
}

/* The node that stood still goes on. */
static void late_write_comes(struct world *world)
{
	pthread_mutex_lock(&world->router.lock);
	fs_leader_go_on(&world->leader);
	pthread_mutex_unlock(&world->router.lock);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	fs_router_start(&world->router, fs_leader_answer, &world->leader, TIMEOUT_MS);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static ssize_t text_source(void *state, uint64_t offset, void *data, size_t len)
{
	const char *text = state;
	size_t left = strlen(text) - offset;

	len = len < left ? len : left;
	memcpy(data, text + offset, len);
	return (ssize_t)len;
}

static int put(struct world *world, const char *key, const char *value, bool only_new)
{
	const struct remote_put request = {
		.key = key,
		.only_new = only_new,
		.size_bytes = strlen(value),
		.source = text_source,
		.state = (void *)value, /* NOLINT: only read */
	};
	struct remote_stored stored;

	return remote_put(world->router.remote, &request, NULL, &stored);
}

static int delete (struct world *world, const char *key)
{
	return remote_delete(world->router.remote, key, NULL, DURABILITY_MEMORY, NULL);
}

static void put_without_answer(struct world *world, const char *value, enum fs_fault fault)
{
	set_fault(world, fault);
	assert_int_equal(put(world, "00", value, false), -ETIMEDOUT);
	assert_true(remote_is_in_doubt(world->router.remote, "00"));
}

static void assert_record(struct world *world, int index, const char *value)
{
	struct fs_leader_record record;

	pthread_mutex_lock(&world->router.lock);
	record = world->leader.records[index];
	pthread_mutex_unlock(&world->router.lock);
	assert_int_equal(record.exists, value != NULL);
	if (value)
		assert_string_equal(record.value, value);
}

static void an_older_write_that_comes_late_changes_nothing(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", FS_LATE);
	assert_int_equal(put(world, "00", "again", false), 0);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	assert_writes(world, 2);
	late_write_comes(world);
	assert_record(world, 0, "again");
	/* And one after it has an id of its own. */
	assert_int_equal(put(world, "00", "third", false), 0);
	assert_writes(world, 3);
	assert_record(world, 0, "third");
}

static void an_older_write_that_was_applied_is_replaced(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", FS_APPLIED_UNSEEN);
	assert_record(world, 0, "first");
	assert_int_equal(put(world, "00", "again", false), 0);
	assert_writes(world, 3);
	assert_record(world, 0, "again");
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
}

static void doubt_outlasts_errors(void **state)
{
	struct world *world = *state;

	put_without_answer(world, "first", FS_LATE);
	set_fault(world, FS_REFUSED);
	assert_int_equal(put(world, "00", "again", false), -ENOSPC);
	assert_true(remote_is_in_doubt(world->router.remote, "00"));
	put_without_answer(world, "again", FS_APPLIED_UNSEEN);
	assert_int_equal(put(world, "00", "third", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "third");
}

static void what_was_refused_is_not_in_doubt(void **state)
{
	struct world *world = *state;

	set_fault(world, FS_REFUSED);
	assert_int_equal(put(world, "00", "first", false), -ENOSPC);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	assert_int_equal(delete (world, "00"), -ENOENT);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
}

static void a_claim_never_succeeds_twice(void **state)
{
	struct world *world = *state;

	set_fault(world, FS_LATE);
	assert_int_equal(put(world, "00", "first", true), -ETIMEDOUT);
	assert_int_equal(put(world, "00", "again", true), 0);
	late_write_comes(world);
	assert_record(world, 0, "again");
	assert_int_equal(put(world, "00", "third", true), -ESTALE);
	assert_record(world, 0, "again");
}

static void what_was_deleted_does_not_come_back(void **state)
{
	struct world *world = *state;

	/* There is nothing to delete yet. */
	put_without_answer(world, "first", FS_LATE);
	assert_int_equal(delete (world, "00"), -ENOENT);
	assert_false(remote_is_in_doubt(world->router.remote, "00"));
	late_write_comes(world);
	assert_record(world, 0, NULL);
	/* There is. */
	assert_int_equal(put(world, "00", "again", false), 0);
	put_without_answer(world, "third", FS_LATE);
	assert_int_equal(delete (world, "00"), 0);
	late_write_comes(world);
	assert_record(world, 0, NULL);
	/* There was by the time. */
	put_without_answer(world, "first", FS_APPLIED_UNSEEN);
	assert_int_equal(delete (world, "00"), 0);
	assert_record(world, 0, NULL);
}

static void a_delete_that_comes_late_deletes_nothing_newer(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	set_fault(world, FS_LATE);
	assert_int_equal(delete (world, "00"), -ETIMEDOUT);
	assert_int_equal(put(world, "00", "again", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "again");
}

static int move(struct world *world)
{
	struct version version = { .epoch = FS_EPOCH };
	struct remote_stored stored;

	pthread_mutex_lock(&world->router.lock);
	version.sequence = world->leader.records[0].version;
	pthread_mutex_unlock(&world->router.lock);
	return remote_move(world->router.remote, "00", "01", true, &version, NULL, &stored);
}

static void a_move_that_comes_late_replaces_nothing_newer(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	set_fault(world, FS_LATE);
	assert_int_equal(move(world), -ETIMEDOUT);
	assert_int_equal(put(world, "01", "again", false), 0);
	late_write_comes(world);
	assert_record(world, 0, "first");
	assert_record(world, 1, "again");
	assert_int_equal(move(world), 0);
	assert_record(world, 0, NULL);
	assert_record(world, 1, "first");
}

static void a_move_waits_until_nothing_is_in_doubt(void **state)
{
	struct world *world = *state;

	assert_int_equal(put(world, "00", "first", false), 0);
	put_without_answer(world, "again", FS_LATE);
	/* The version has changed by settling. */
	assert_int_equal(move(world), -ESTALE);
	assert_int_equal(move(world), 0);
	late_write_comes(world);
	assert_record(world, 0, NULL);
	assert_record(world, 1, "first");
}

static void too_many_doubts_are_forgotten_from_the_oldest_on(void **state)
{
	struct doubts *doubts = calloc(1, sizeof(*doubts));
	struct doubt doubt = { .id = { { 1 } } }, found;
	char key[16];

	(void)state;
	assert_non_null(doubts);
	doubts_init(doubts);
	for (int i = 0; i <= DOUBTS_MAX; i++) {
		snprintf(key, sizeof(key), "%08x", i);
		assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), 0);
		assert_true(doubts_concern(doubts, key));
		doubts_end(doubts, key, &doubt);
	}
	assert_false(doubts_concern(doubts, "00000000"));
	assert_true(doubts_find(doubts, "00000001", &found));
	assert_true(doubts_find(doubts, key, &found));
	doubt.id.bytes[0] = 2;
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), DOUBT_OTHER);
	doubts_settled(doubts, key, &found.id);
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1000, NULL), 0);
	assert_int_equal(doubts_begin(doubts, key, &doubt.id, 1, NULL), -ETIMEDOUT);
	doubts_end(doubts, key, NULL);
	assert_false(doubts_concern(doubts, key));
	doubts_deinit(doubts);
	free(doubts);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_older_write_that_comes_late_changes_nothing),
		TEST(an_older_write_that_was_applied_is_replaced),
		TEST(doubt_outlasts_errors),
		TEST(what_was_refused_is_not_in_doubt),
		TEST(a_claim_never_succeeds_twice),
		TEST(what_was_deleted_does_not_come_back),
		TEST(a_delete_that_comes_late_deletes_nothing_newer),
		TEST(a_move_that_comes_late_replaces_nothing_newer),
		TEST(a_move_waits_until_nothing_is_in_doubt),
		cmocka_unit_test(too_many_doubts_are_forgotten_from_the_oldest_on),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

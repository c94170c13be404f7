/* SPDX-License-Identifier: MIT */
/* When a name is asked for, and what a newer version from elsewhere does to those who have the
 * older one. */
#include "fs/resolve.h"
#include "lib/clock.h"
#include "lib/http_client.h"
#include "tests/unit/fs_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 5000
#define THREAD      4711

/* The record "00ff": version @sequence, or absent. */
struct world {
	struct fs_router router;
	struct mount_options options;
	struct mount mount;
	bool absent;
	bool stale;
	uint64_t sequence;
	const char *value;
};

static enum fs_answer answer_record(void *state, const char *request, struct buf *ret_answer)
{
	const struct world *world = state;
	char fields[512], etag[64];

	if (world->absent) {
		fs_write_answer(ret_answer, 404, "", NULL, 0);
		return FS_ANSWER;
	}
	fs_record_fields(fields, sizeof(fields), world->sequence, strlen(world->value));
	if (world->stale)
		strncat(fields, "HexKV-Stale: true\r\n", sizeof(fields) - strlen(fields) - 1);
	snprintf(etag, sizeof(etag), "\"%x-%llx\"", FS_EPOCH, (unsigned long long)world->sequence);
	if (strcmp(fs_request_field(request, "If-None-Match"), etag) == 0)
		fs_write_answer(ret_answer, 304, fields, NULL, 0);
	else
		fs_write_answer(ret_answer, 206, fields, world->value, strlen(world->value));
	return FS_ANSWER;
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	world->sequence = 1;
	world->value = "first";
	fs_router_start(&world->router, answer_record, world, PATIENCE_MS);
	world->options.attr_timeout_ms = 1000;
	world->mount.options = &world->options;
	world->mount.remote = world->router.remote;
	inode_table_init(&world->mount.inodes, 0644);
	opens_init(&world->mount.opens);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	inode_table_deinit(&world->mount.inodes);
	fs_router_stop(&world->router);
	free(world);
	return 0;
}

static struct inode *look_up(struct world *world)
{
	struct inode *inode;

	assert_int_equal(resolve_lookup(&world->mount, "00ff", THREAD, NULL, &inode), 0);
	return inode;
}

static int open_it(struct world *world, struct inode *inode, pid_t pid)
{
	struct resolve_try try;
	int r = resolve_check_current(&world->mount, inode, pid, NULL, &try);

	if (r == -ESTALE)
		resolve_try_failed(&world->mount, inode, pid, &try);
	return r;
}

static void replace(struct world *world, uint64_t sequence, const char *value)
{
	pthread_mutex_lock(&world->router.lock);
	world->sequence = sequence;
	world->value = value;
	pthread_mutex_unlock(&world->router.lock);
}

static void put_back(struct world *world, struct inode *inode)
{
	inode_unref(&world->mount.inodes, inode);
}

static void age(struct inode *inode)
{
	inode->fresh_until_ms = 0;
}

static void a_look_up_brings_a_small_value_and_serves_the_open_behind_it(void **state)
{
	struct world *world = *state;
	struct inode *inode = look_up(world);

	assert_int_equal(inode->version.sequence, 1);
	assert_memory_equal(inode->value->data, "first", 5);
	/* An entry of a name that was asked for is not kept, so that each open has its own. */
	mutex_lock(&world->mount.inodes.lock);
	assert_true(resolve_entry_timeout_locked(&world->mount, inode) == 0);
	mutex_unlock(&world->mount.inodes.lock);
	assert_int_equal(open_it(world, inode, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), 1);
	/* The next one is not served by it. */
	assert_int_equal(open_it(world, inode, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), 2);
	put_back(world, inode);
}

static void a_second_look_up_within_the_timeout_asks_nobody_and_serves_no_open(void **state)
{
	struct world *world = *state;
	struct inode *first = look_up(world), *second = look_up(world);

	assert_ptr_equal(first, second);
	assert_int_equal(fs_router_requests(&world->router), 1);
	mutex_lock(&world->mount.inodes.lock);
	assert_true(resolve_entry_timeout_locked(&world->mount, first) > 0);
	assert_true(resolve_entry_timeout_locked(&world->mount, first) <= 1);
	mutex_unlock(&world->mount.inodes.lock);
	assert_int_equal(open_it(world, first, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), 2);
	/* Only whether it is still the same. */
	assert_string_equal(fs_request_field(world->router.last, "If-None-Match"), "\"10001-1\"");
	put_back(world, first);
	put_back(world, second);
}

static void a_newer_version_is_another_inode_under_the_same_number(void **state)
{
	struct world *world = *state;
	struct inode *old = look_up(world), *new;

	old->mode = 0600;
	replace(world, 2, "second");
	age(old);
	new = look_up(world);
	assert_ptr_not_equal(old, new);
	assert_int_equal(old->st_ino, new->st_ino);
	assert_int_not_equal(old->birth, new->birth);
	assert_int_equal(new->mode, 0600);
	assert_false(old->linked);
	assert_true(new->linked);
	assert_memory_equal(old->value->data, "first", 5);
	assert_memory_equal(new->value->data, "second", 6);
	put_back(world, old);
	put_back(world, new);
}

static void an_open_of_an_older_version_is_stale_and_the_next_try_is_not(void **state)
{
	struct world *world = *state;
	struct inode *old = look_up(world), *new;
	unsigned requests;

	assert_int_equal(open_it(world, old, THREAD), 0);
	replace(world, 2, "second");
	assert_int_equal(open_it(world, old, THREAD), -ESTALE);
	new = look_up(world);
	assert_int_equal(new->version.sequence, 2);
	/* What was said since the first try is as good as an answer of its own. */
	requests = fs_router_requests(&world->router);
	assert_int_equal(open_it(world, new, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), requests);
	put_back(world, old);
	put_back(world, new);
}

static void an_open_that_lost_its_version_after_the_check_has_a_next_try_too(void **state)
{
	struct world *world = *state;
	struct inode *old = look_up(world), *new;
	struct resolve_try try;

	assert_int_equal(resolve_check_current(&world->mount, old, THREAD, NULL, &try), 0);
	assert_int_equal(try.which, REOPEN_FIRST);
	resolve_try_failed(&world->mount, old, THREAD, &try);
	/* The look-up asks, although what was said before is not old. */
	replace(world, 2, "second");
	new = look_up(world);
	assert_int_equal(new->version.sequence, 2);
	/* The open may have that answer, also when the next version has come since. */
	replace(world, 3, "third");
	assert_int_equal(open_it(world, new, THREAD), 0);
	put_back(world, old);
	put_back(world, new);
}

static void a_note_that_was_left_behind_takes_no_try_away(void **state)
{
	struct world *world = *state;
	struct inode *first = look_up(world), *second, *third, *none;

	/* This open ends with its look-up. */
	assert_int_equal(open_it(world, first, THREAD), 0);
	world->absent = true;
	assert_int_equal(open_it(world, first, THREAD), -ESTALE);
	assert_int_equal(resolve_lookup(&world->mount, "00ff", THREAD, NULL, &none), -ENOENT);
	world->absent = false;
	replace(world, 2, "second");
	second = look_up(world);
	/* Its value had to make way, so the answer is not good for the open. */
	mutex_lock(&world->mount.inodes.lock);
	inode_set_value_locked(&world->mount.inodes, second, NULL);
	mutex_unlock(&world->mount.inodes.lock);
	replace(world, 3, "third");
	assert_int_equal(open_it(world, second, THREAD), -ESTALE);
	third = look_up(world);
	replace(world, 4, "fourth");
	assert_int_equal(open_it(world, third, THREAD), 0);
	put_back(world, first);
	put_back(world, second);
	put_back(world, third);
}

static void an_older_answer_changes_nothing(void **state)
{
	struct world *world = *state;
	struct inode *inode, *same;

	replace(world, 5, "fifth");
	inode = look_up(world);
	/* It was on its way while the record was stored through this mount. */
	inode->learnt_at = UINT64_MAX;
	replace(world, 4, "fourth");
	age(inode);
	same = look_up(world);
	assert_ptr_equal(inode, same);
	assert_int_equal(inode->version.sequence, 5);
	assert_memory_equal(inode->value->data, "fifth", 5);
	put_back(world, inode);
	put_back(world, same);
}

static void a_follower_that_is_behind_changes_nothing_but_is_remembered(void **state)
{
	struct world *world = *state;
	struct inode *inode, *same;

	replace(world, 5, "fifth");
	inode = look_up(world);
	assert_false(inode->stale);
	replace(world, 4, "fourth");
	world->stale = true;
	age(inode);
	same = look_up(world);
	assert_ptr_equal(inode, same);
	assert_int_equal(inode->version.sequence, 5);
	assert_true(inode->stale);
	put_back(world, same);
	/* The leader is back. */
	replace(world, 5, "fifth");
	world->stale = false;
	age(inode);
	same = look_up(world);
	assert_ptr_equal(inode, same);
	assert_false(inode->stale);
	put_back(world, inode);
	put_back(world, same);
}

static void a_version_that_the_leader_has_lost_is_shown_no_more(void **state)
{
	struct world *world = *state;
	struct inode *lost, *older;

	replace(world, 5, "fifth");
	lost = look_up(world);
	replace(world, 4, "fourth");
	age(lost);
	older = look_up(world);
	assert_ptr_not_equal(lost, older);
	assert_int_equal(older->version.sequence, 4);
	assert_memory_equal(older->value->data, "fourth", 6);
	/* Who has it open stays on it. */
	assert_int_equal(lost->version.sequence, 5);
	put_back(world, lost);
	put_back(world, older);
}

static void a_record_that_is_gone_has_no_name_any_more(void **state)
{
	struct world *world = *state;
	struct inode *inode = look_up(world), *none;

	assert_int_equal(open_it(world, inode, THREAD), 0);
	world->absent = true;
	assert_int_equal(open_it(world, inode, THREAD), -ESTALE);
	assert_false(inode->linked);
	assert_int_equal(resolve_lookup(&world->mount, "00ff", THREAD, NULL, &none), -ENOENT);
	put_back(world, inode);
}

static void absence_is_asked_for_each_time(void **state)
{
	struct world *world = *state;
	struct inode *inode;

	world->absent = true;
	for (unsigned i = 1; i <= 3; i++) {
		/* By a thread that exists and creates nothing. */
		assert_int_equal(resolve_lookup(&world->mount, "00ff", getpid(), NULL, &inode),
				 -ENOENT);
		assert_int_equal(fs_router_requests(&world->router), i);
	}
	world->absent = false;
	assert_int_equal(resolve_lookup(&world->mount, "00ff", getpid(), NULL, &inode), 0);
	put_back(world, inode);
}

static void unsaved_content_is_found_without_asking(void **state)
{
	struct world *world = *state;
	struct inode *inode = look_up(world), *same;
	unsigned requests = fs_router_requests(&world->router);

	inode->unsaved = true;
	replace(world, 2, "second");
	age(inode);
	same = look_up(world);
	assert_ptr_equal(inode, same);
	assert_int_equal(open_it(world, inode, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), requests);
	put_back(world, inode);
	put_back(world, same);
}

static void what_was_listed_needs_no_look_up_but_its_open_does(void **state)
{
	struct world *world = *state;
	const struct remote_name name = {
		.key = "00ff",
		.version = { .epoch = FS_EPOCH, .sequence = 1 },
		.size_bytes = 5,
		.mtime_ns = 77,
	};
	struct inode *listed, *found;

	listed = resolve_listed(&world->mount, &name, clock_monotonic_ms());
	assert_non_null(listed);
	found = look_up(world);
	assert_ptr_equal(listed, found);
	assert_int_equal(fs_router_requests(&world->router), 0);
	/* It has no value at hand, so the answer is to bring it. */
	assert_int_equal(open_it(world, listed, THREAD), 0);
	assert_int_equal(fs_router_requests(&world->router), 1);
	assert_memory_equal(listed->value->data, "first", 5);
	put_back(world, listed);
	put_back(world, found);
}

static void a_listing_from_before_a_change_replaces_nothing(void **state)
{
	struct world *world = *state;
	struct remote_name name = {
		.key = "00ff",
		.version = { .epoch = FS_EPOCH, .sequence = 4 },
		.size_bytes = 3,
	};
	struct inode *inode, *listed;

	replace(world, 5, "fifth");
	inode = look_up(world);
	listed = resolve_listed(&world->mount, &name, clock_monotonic_ms());
	assert_ptr_equal(inode, listed);
	assert_int_equal(inode->size_bytes, 5);
	put_back(world, listed);
	name.version.sequence = 6;
	listed = resolve_listed(&world->mount, &name, clock_monotonic_ms());
	assert_ptr_not_equal(inode, listed);
	assert_int_equal(listed->size_bytes, 3);
	assert_false(inode->linked);
	put_back(world, listed);
	put_back(world, inode);
}

static void mark_open(struct world *world, struct inode *inode)
{
	mutex_lock(&world->mount.inodes.lock);
	inode->handles++;
	mutex_unlock(&world->mount.inodes.lock);
}

static void an_open_beside_a_removal_gets_nothing_that_only_others_have_open(void **state)
{
	struct world *world = *state;
	struct inode *inode = look_up(world), *none;

	mark_open(world, inode);
	/* A newer version came from elsewhere, and that was removed here. */
	replace(world, 2, "second");
	world->absent = true;
	inode_mark_deleted(&world->mount.inodes, inode);
	assert_int_equal(open_it(world, inode, THREAD), -ESTALE);
	assert_int_equal(resolve_lookup(&world->mount, "00ff", THREAD, NULL, &none), -ENOENT);
	assert_int_equal(open_it(world, inode, THREAD), -ESTALE);
	put_back(world, inode);
}

static void what_is_open_can_be_opened_past_its_name(void **state)
{
	struct world *world = *state;
	struct inode *removed = look_up(world), *replaced;

	mark_open(world, removed);
	inode_mark_deleted(&world->mount.inodes, removed);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(open_it(world, removed, THREAD), -ESTALE);
		assert_int_equal(open_it(world, removed, THREAD), 0);
	}
	/* Where the kernel does not tell whose second try it is. */
	assert_int_equal(open_it(world, removed, 0), 0);
	replaced = look_up(world);
	assert_int_equal(open_it(world, replaced, THREAD), 0);
	mark_open(world, replaced);
	replace(world, 2, "second");
	assert_int_equal(open_it(world, replaced, THREAD), -ESTALE);
	assert_false(replaced->linked);
	assert_int_equal(open_it(world, replaced, THREAD), 0);
	put_back(world, replaced);
	put_back(world, removed);
}

static void what_is_written_without_a_name_is_not_what_the_name_stands_for(void **state)
{
	struct world *world = *state;
	struct inode *old = look_up(world), *new;

	mark_open(world, old);
	replace(world, 2, "second");
	age(old);
	new = look_up(world);
	mutex_lock(&world->mount.inodes.lock);
	old->unsaved = true;
	mutex_unlock(&world->mount.inodes.lock);
	assert_int_equal(open_it(world, old, THREAD), -ESTALE);
	put_back(world, look_up(world));
	assert_int_equal(open_it(world, new, THREAD), 0);
	put_back(world, new);
	put_back(world, old);
}

static void what_a_look_up_found_is_opened_though_it_is_removed_by_then(void **state)
{
	struct world *world = *state;
	struct inode *old = look_up(world), *new;

	assert_int_equal(open_it(world, old, THREAD), 0);
	replace(world, 2, "second");
	assert_int_equal(open_it(world, old, THREAD), -ESTALE);
	new = look_up(world);
	mark_open(world, new);
	inode_mark_deleted(&world->mount.inodes, new);
	assert_int_equal(open_it(world, new, THREAD), 0);
	put_back(world, old);
	put_back(world, new);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_look_up_brings_a_small_value_and_serves_the_open_behind_it),
		TEST(a_second_look_up_within_the_timeout_asks_nobody_and_serves_no_open),
		TEST(a_newer_version_is_another_inode_under_the_same_number),
		TEST(an_open_of_an_older_version_is_stale_and_the_next_try_is_not),
		TEST(an_open_that_lost_its_version_after_the_check_has_a_next_try_too),
		TEST(a_note_that_was_left_behind_takes_no_try_away),
		TEST(an_older_answer_changes_nothing),
		TEST(a_follower_that_is_behind_changes_nothing_but_is_remembered),
		TEST(a_version_that_the_leader_has_lost_is_shown_no_more),
		TEST(a_record_that_is_gone_has_no_name_any_more),
		TEST(absence_is_asked_for_each_time),
		TEST(unsaved_content_is_found_without_asking),
		TEST(what_was_listed_needs_no_look_up_but_its_open_does),
		TEST(a_listing_from_before_a_change_replaces_nothing),
		TEST(an_open_beside_a_removal_gets_nothing_that_only_others_have_open),
		TEST(what_is_open_can_be_opened_past_its_name),
		TEST(what_is_written_without_a_name_is_not_what_the_name_stands_for),
		TEST(what_a_look_up_found_is_opened_though_it_is_removed_by_then),
	};

	if (http_client_global_init() < 0)
		return 1;
	return cmocka_run_group_tests_name("fs_resolve", tests, NULL, NULL);
}

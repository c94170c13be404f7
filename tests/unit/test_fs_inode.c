/* SPDX-License-Identifier: MIT */
#include "fs/inode.h"

#include "lib/clock.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int set_up(void **state)
{
	struct inode_table *table = calloc(1, sizeof(*table));

	inode_table_init(table, 0644);
	*state = table;
	return 0;
}

static int tear_down(void **state)
{
	inode_table_deinit(*state);
	free(*state);
	return 0;
}

static void a_newer_version_takes_the_name_and_the_older_stays_with_its_holder(void **state)
	NO_THREAD_SAFETY_ANALYSIS
{
	struct inode_table *table = *state;
	struct inode *old, *new;

	mutex_lock(&table->lock);
	old = inode_new_locked(table, INODE_RECORD, "00ff");
	inode_link_locked(table, old);
	new = inode_new_locked(table, INODE_RECORD, "00ff");
	inode_link_locked(table, new);
	assert_ptr_equal(inode_find_locked(table, "00ff"), new);
	assert_false(old->linked);
	assert_int_equal(old->st_ino, new->st_ino);
	assert_int_not_equal(old->birth, new->birth);
	inode_unref_locked(table, old, 1);
	assert_int_equal(table->count, 1);
	inode_unref_locked(table, new, 1);
	assert_null(inode_find_locked(table, "00ff"));
	mutex_unlock(&table->lock);
}

static unsigned count_nameless(struct inode_table *table, const char *name) REQUIRES(&table->lock)
{
	const struct inode *inode = NULL;
	unsigned count = 0;

	while ((inode = inode_next_nameless_locked(table, name, inode)))
		count++;
	return count;
}

static void files_that_lost_their_name_are_known_by_it(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	struct inode_table *table = *state;
	struct inode *inodes[3];

	mutex_lock(&table->lock);
	for (int i = 0; i < 3; i++) {
		inodes[i] = inode_new_locked(table, INODE_RECORD, "00ff");
		inode_link_locked(table, inodes[i]);
	}
	assert_int_equal(count_nameless(table, "00ff"), 2);
	assert_int_equal(count_nameless(table, "00fe"), 0);
	/* Stored once more. */
	inode_link_locked(table, inodes[0]);
	assert_int_equal(count_nameless(table, "00ff"), 2);
	assert_ptr_equal(inode_find_locked(table, "00ff"), inodes[0]);
	mutex_unlock(&table->lock);
	inode_mark_deleted(table, inodes[0]);
	inode_mark_deleted(table, inodes[1]);
	assert_int_equal(inode_reserve_name(table, inodes[2]), 0);
	mutex_lock(&table->lock);
	assert_int_equal(count_nameless(table, "00ff"), 1);
	inode_rename_locked(table, inodes[2], "00fe");
	assert_int_equal(count_nameless(table, "00ff"), 0);
	inode_unlink_locked(table, inodes[2]);
	assert_int_equal(count_nameless(table, "00fe"), 1);
	for (int i = 0; i < 3; i++)
		inode_unref_locked(table, inodes[i], 1);
	assert_int_equal(count_nameless(table, "00fe"), 0);
	mutex_unlock(&table->lock);
}

static void a_temporary_file_lives_as_long_as_its_name(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	struct inode_table *table = *state;
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_new_locked(table, INODE_TEMPORARY, "00ff~");
	inode_link_locked(table, inode);
	inode_unref_locked(table, inode, 1);
	assert_ptr_equal(inode_find_locked(table, "00ff~"), inode);
	mutex_unlock(&table->lock);
	assert_int_equal(inode_reserve_name(table, inode), 0);
	mutex_lock(&table->lock);
	inode_rename_locked(table, inode, "11.tmp");
	assert_ptr_equal(inode_find_locked(table, "11.tmp"), inode);
	inode_unlink_locked(table, inode);
	assert_int_equal(table->count, 0);
	mutex_unlock(&table->lock);
}

static void a_record_that_became_temporary_hides_its_version_and_none_newer(void **state)
	NO_THREAD_SAFETY_ANALYSIS
{
	const struct version old = { .epoch = 1, .sequence = 5 };
	const struct version new = { .epoch = 1, .sequence = 6 };
	struct inode_table *table = *state;
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_new_locked(table, INODE_TEMPORARY, "00ff~");
	inode_set_hides_locked(table, inode, strdup("00ff"), old);
	assert_true(inode_is_hidden_locked(table, "00ff", old));
	assert_false(inode_is_hidden_locked(table, "00ff", new));
	assert_false(inode_is_hidden_locked(table, "00fe", old));
	inode_unref_locked(table, inode, 1);
	assert_false(inode_is_hidden_locked(table, "00ff", old));
	mutex_unlock(&table->lock);
}

static void kept_values_are_bounded_and_the_oldest_go_first(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	static uint8_t bytes[VALUE_SMALL_MAX];
	struct inode_table *table = *state;
	struct inode *inodes[1000];
	char name[32];

	mutex_lock(&table->lock);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%08x", i);
		inodes[i] = inode_new_locked(table, INODE_RECORD, name);
		inode_set_value_locked(table, inodes[i], value_new(bytes, sizeof(bytes)));
	}
	assert_true(table->value_bytes <= 16 * 1024 * 1024);
	assert_null(inodes[0]->value);
	assert_non_null(inodes[999]->value);
	inode_set_value_locked(table, inodes[998], NULL);
	for (int i = 0; i < 1000; i++)
		inode_unref_locked(table, inodes[i], 1);
	assert_int_equal(table->value_bytes, 0);
	mutex_unlock(&table->lock);
}

static void those_from_elsewhere_come_up_oldest_first_and_in_turn(void **state)
	NO_THREAD_SAFETY_ANALYSIS
{
	struct inode_table *table = *state;
	struct inode *inodes[4], *own;
	uint64_t ids[8];
	char name[8];

	mutex_lock(&table->lock);
	own = inode_new_locked(table, INODE_RECORD, "ff");
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		inodes[i] = inode_new_from_elsewhere_locked(table, name);
	}
	assert_int_equal(inode_oldest_locked(table, ids, 3), 3);
	assert_int_equal(ids[0], (uintptr_t)inodes[0]);
	assert_int_equal(ids[2], (uintptr_t)inodes[2]);
	inode_unref_locked(table, inodes[0], 1);
	assert_int_equal(table->from_elsewhere_count, 3);
	assert_int_equal(inode_oldest_locked(table, ids, 8), 3);
	assert_int_equal(ids[0], (uintptr_t)inodes[3]);
	assert_int_equal(ids[1], (uintptr_t)inodes[1]);
	/* One that gets a name of this mount's own is none of them any more. */
	mutex_unlock(&table->lock);
	assert_int_equal(inode_reserve_name(table, inodes[1]), 0);
	mutex_lock(&table->lock);
	inode_rename_locked(table, inodes[1], "ee.tmp");
	assert_int_equal(table->from_elsewhere_count, 2);
	assert_int_equal(inode_oldest_locked(table, ids, 8), 2);
	inode_unlink_locked(table, inodes[1]);
	for (int i = 1; i < 4; i++)
		inode_unref_locked(table, inodes[i], 1);
	inode_unref_locked(table, own, 1);
	assert_int_equal(table->count, 0);
	mutex_unlock(&table->lock);
}

static bool is_unsaved(const struct inode *inode)
{
	return inode->unsaved;
}

static void any_inode_is_found_wherever_it_is_from(void **state) NO_THREAD_SAFETY_ANALYSIS
{
	struct inode_table *table = *state;
	struct inode *own, *other;

	mutex_lock(&table->lock);
	own = inode_new_locked(table, INODE_RECORD, "00");
	other = inode_new_from_elsewhere_locked(table, "01");
	assert_null(inode_any_locked(table, is_unsaved));
	other->unsaved = true;
	assert_ptr_equal(inode_any_locked(table, is_unsaved), other);
	own->unsaved = true;
	assert_ptr_equal(inode_any_locked(table, is_unsaved), own);
	inode_unref_locked(table, own, 1);
	inode_unref_locked(table, other, 1);
	mutex_unlock(&table->lock);
}

static bool always(void *state)
{
	(void)state;
	return true;
}

static void whoever_waits_for_a_send_can_be_interrupted(void **state)
{
	const struct interrupt interrupt = { .raised = always };
	struct inode_table *table = *state;
	struct inode *inode;

	mutex_lock(&table->lock);
	inode = inode_new_locked(table, INODE_RECORD, "00ff");
	mutex_unlock(&table->lock);
	assert_int_equal(inode_begin_send(table, inode, NULL), 0);
	assert_int_equal(inode_begin_change(table, inode, &interrupt), -EINTR);
	assert_int_equal(inode_begin_send(table, inode, &interrupt), -EINTR);
	inode_end_send(table, inode);
	assert_int_equal(inode_begin_change(table, inode, &interrupt), 0);
	assert_int_equal(inode_begin_send(table, inode, &interrupt), -EINTR);
	inode_end_change(table, inode);
	inode_unref(table, inode);
}

struct sender {
	struct inode_table *table;
	struct inode *inode;
};

static void *send_once(void *state)
{
	struct sender *sender = state;

	assert_int_equal(inode_begin_send(sender->table, sender->inode, NULL), 0);
	inode_end_send(sender->table, sender->inode);
	return NULL;
}

static bool sender_waits(struct sender *sender)
{
	bool waits;

	mutex_lock(&sender->table->lock);
	waits = sender->inode->senders > 0;
	mutex_unlock(&sender->table->lock);
	return waits;
}

static void writers_that_overlap_let_a_waiting_send_go_first(void **state)
{
	const struct interrupt interrupt = { .raised = always };
	struct sender sender = { .table = *state };
	uint64_t deadline_ms = clock_monotonic_ms() + 10000;
	pthread_t thread;

	mutex_lock(&sender.table->lock);
	sender.inode = inode_new_locked(sender.table, INODE_RECORD, "00ff");
	mutex_unlock(&sender.table->lock);
	assert_int_equal(inode_begin_change(sender.table, sender.inode, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, send_once, &sender), 0);
	while (!sender_waits(&sender) && clock_monotonic_ms() < deadline_ms)
		sched_yield();
	assert_int_equal(inode_begin_change(sender.table, sender.inode, &interrupt), -EINTR);
	inode_end_change(sender.table, sender.inode);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(inode_begin_change(sender.table, sender.inode, NULL), 0);
	inode_end_change(sender.table, sender.inode);
	inode_unref(sender.table, sender.inode);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_newer_version_takes_the_name_and_the_older_stays_with_its_holder, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(files_that_lost_their_name_are_known_by_it, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_temporary_file_lives_as_long_as_its_name, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_record_that_became_temporary_hides_its_version_and_none_newer, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(kept_values_are_bounded_and_the_oldest_go_first,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			those_from_elsewhere_come_up_oldest_first_and_in_turn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_inode_is_found_wherever_it_is_from, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(whoever_waits_for_a_send_can_be_interrupted, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(writers_that_overlap_let_a_waiting_send_go_first,
						set_up, tear_down),
	};

	return cmocka_run_group_tests_name("fs_inode", tests, NULL, NULL);
}

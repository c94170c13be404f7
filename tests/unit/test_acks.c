/* SPDX-License-Identifier: MIT */
#include "node/acks.h"

#include "lib/container_of.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define EPOCH 77

struct waiter {
	struct ack_wait wait;
	enum acks_result result;
	_Atomic unsigned told;
};

static void on_done(struct ack_wait *wait, enum acks_result result)
{
	struct waiter *waiter = container_of(wait, struct waiter, wait);

	waiter->result = result;
	waiter->told++;
}

static enum acks_result begin(struct acks *acks, struct waiter *waiter, unsigned followers,
			      uint64_t sequence)
{
	*waiter = (struct waiter){
		.wait = { .point = { EPOCH, sequence }, .followers = followers, .done = on_done },
	};
	waiter->result = acks_wait(acks, &waiter->wait);
	return waiter->result;
}

static struct acks *leading(unsigned nodes)
{
	struct acks *acks = acks_new(nodes);

	assert_non_null(acks);
	acks_lead(acks, EPOCH);
	return acks;
}

static void a_quorum_is_a_majority_with_the_leader(void **state)
{
	(void)state;
	assert_int_equal(acks_followers(ACK_LEADER, 5), 0);
	assert_int_equal(acks_followers(ACK_QUORUM, 1), 0);
	assert_int_equal(acks_followers(ACK_QUORUM, 2), 1);
	assert_int_equal(acks_followers(ACK_QUORUM, 3), 1);
	assert_int_equal(acks_followers(ACK_QUORUM, 4), 2);
	assert_int_equal(acks_followers(ACK_QUORUM, 5), 2);
	assert_int_equal(acks_followers(ACK_ALL, 1), 0);
	assert_int_equal(acks_followers(ACK_ALL, 3), 2);
}

static void what_needs_no_follower_never_waits(void **state)
{
	struct acks *acks = acks_new(1);
	struct waiter waiter;

	(void)state;
	assert_non_null(acks);
	assert_int_equal(begin(acks, &waiter, 0, 9), ACKS_HELD);
	acks_free(acks);
}

static void a_write_waits_for_as_many_followers_as_it_needs(void **state)
{
	struct acks *acks = leading(3);
	struct waiter quorum, all;

	(void)state;
	assert_int_equal(begin(acks, &quorum, 1, 10), ACKS_WAITING);
	assert_int_equal(begin(acks, &all, 2, 10), ACKS_WAITING);
	acks_passed(acks, 1, EPOCH, 9);
	assert_int_equal(quorum.told, 0);
	acks_passed(acks, 1, EPOCH, 12);
	assert_int_equal(quorum.told, 1);
	assert_int_equal(quorum.result, ACKS_HELD);
	assert_int_equal(all.told, 0);
	acks_passed(acks, 2, EPOCH, 10);
	assert_int_equal(all.result, ACKS_HELD);
	assert_int_equal(acks_waiting(acks), 0);
	assert_int_equal(acks_waited(acks), 2);
	/* What lies below both need not wait at all. */
	assert_int_equal(begin(acks, &all, 2, 10), ACKS_HELD);
	assert_int_equal(begin(acks, &all, 2, 11), ACKS_WAITING);
	assert_int_equal(begin(acks, &quorum, 1, 12), ACKS_HELD);
	acks_stop(acks);
	acks_free(acks);
}

static void one_follower_counts_once_however_often_it_asks(void **state)
{
	struct acks *acks = leading(5);
	struct waiter waiter;

	(void)state;
	begin(acks, &waiter, 2, 5);
	acks_passed(acks, 3, EPOCH, 5);
	acks_passed(acks, 3, EPOCH, 6);
	assert_int_equal(waiter.told, 0);
	/* A late message does not take back what is known. */
	acks_passed(acks, 3, EPOCH, 1);
	acks_passed(acks, 4, EPOCH, 5);
	assert_int_equal(waiter.told, 1);
	acks_free(acks);
}

static void waits_come_in_any_order_of_their_sequences(void **state)
{
	static const uint64_t sequences[] = { 5, 9, 7, 3, 7, 8, 1 };
	struct waiter waiters[7];
	struct acks *acks = leading(2);

	(void)state;
	for (size_t i = 0; i < 7; i++)
		begin(acks, &waiters[i], 1, sequences[i]);
	for (uint64_t passed = 0; passed <= 10; passed++) {
		acks_passed(acks, 1, EPOCH, passed);
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(waiters[i].told, sequences[i] <= passed);
	}
	acks_free(acks);
}

static void nobody_can_tell_once_the_node_leads_no_longer(void **state)
{
	struct acks *acks = leading(2);
	struct waiter before, after;

	(void)state;
	begin(acks, &before, 1, 5);
	acks_stop(acks);
	assert_int_equal(before.told, 1);
	assert_int_equal(before.result, ACKS_LOST);
	assert_int_equal(begin(acks, &after, 1, 5), ACKS_LOST);
	acks_passed(acks, 1, EPOCH, 9);
	assert_int_equal(begin(acks, &after, 1, 5), ACKS_LOST);
	acks_free(acks);
}

static void a_later_epoch_says_nothing_of_an_earlier_one(void **state)
{
	struct acks *acks = leading(2);
	struct waiter waiter;

	(void)state;
	begin(acks, &waiter, 1, 5);
	acks_lead(acks, EPOCH + 1);
	assert_int_equal(waiter.result, ACKS_LOST);
	acks_passed(acks, 1, EPOCH + 1, 9);
	assert_int_equal(begin(acks, &waiter, 1, 5), ACKS_LOST);
	/* Nor the other way round. */
	acks_lead(acks, EPOCH);
	acks_passed(acks, 1, EPOCH + 1, 9);
	assert_int_equal(begin(acks, &waiter, 1, 5), ACKS_WAITING);
	assert_true(acks_cancel(acks, &waiter.wait));
	acks_free(acks);
}

static void a_cancelled_wait_is_told_nothing(void **state)
{
	struct acks *acks = leading(2);
	struct waiter waiters[3];

	(void)state;
	for (uint64_t i = 0; i < 3; i++)
		begin(acks, &waiters[i], 1, i + 1);
	assert_true(acks_cancel(acks, &waiters[1].wait));
	assert_false(acks_cancel(acks, &waiters[1].wait));
	acks_passed(acks, 1, EPOCH, 3);
	assert_int_equal(waiters[0].told, 1);
	assert_int_equal(waiters[1].told, 0);
	assert_int_equal(waiters[2].told, 1);
	assert_false(acks_cancel(acks, &waiters[2].wait));
	acks_free(acks);
}

#define THREAD_WAITS 20000

/* The follower of a leader that writes while it waits. */
static void *follow(void *state)
{
	for (uint64_t sequence = 1; sequence <= THREAD_WAITS; sequence++)
		acks_passed(state, 1, EPOCH, sequence);
	return NULL;
}

static void every_wait_is_told_once_though_threads_race(void **state)
{
	static struct waiter waiters[THREAD_WAITS];
	struct acks *acks = leading(2);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, follow, acks), 0);
	for (uint64_t i = 0; i < THREAD_WAITS; i++) {
		struct waiter *waiter = &waiters[i];

		waiter->wait = (struct ack_wait){ .point = { EPOCH, i + 1 },
						  .followers = 1,
						  .done = on_done };
		if (acks_wait(acks, &waiter->wait) != ACKS_WAITING ||
		    (i % 3 == 0 && acks_cancel(acks, &waiter->wait)))
			waiter->told++;
	}
	pthread_join(thread, NULL);
	for (size_t i = 0; i < THREAD_WAITS; i++)
		assert_int_equal(waiters[i].told, 1);
	acks_free(acks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quorum_is_a_majority_with_the_leader),
		cmocka_unit_test(what_needs_no_follower_never_waits),
		cmocka_unit_test(a_write_waits_for_as_many_followers_as_it_needs),
		cmocka_unit_test(one_follower_counts_once_however_often_it_asks),
		cmocka_unit_test(waits_come_in_any_order_of_their_sequences),
		cmocka_unit_test(nobody_can_tell_once_the_node_leads_no_longer),
		cmocka_unit_test(a_later_epoch_says_nothing_of_an_earlier_one),
		cmocka_unit_test(a_cancelled_wait_is_told_nothing),
		cmocka_unit_test(every_wait_is_told_once_though_threads_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

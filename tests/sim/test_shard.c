/* SPDX-License-Identifier: MIT */
/* The parts of a simulated shard that must be right for the rest to mean anything. */
#include "tests/sim/shard_events.h"
#include "tests/sim/shard_net.h"
#include "tests/sim/shard_truth.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void note_order(void *state, struct shard_event *event)
{
	struct buf *order = state;

	buf_append_u8(order, (uint8_t)event->node);
}

static void events_come_in_the_order_of_their_times(void **state)
{
	struct shard_events events = { 0 };
	static const uint64_t times[] = { 50, 10, 30, 10, 90, 30 };
	static const uint8_t expect[] = { 1, 3, 2, 5, 0 };
	struct buf order = { 0 };

	(void)state;
	for (unsigned i = 0; i < 6; i++)
		shard_events_add(&events, times[i], note_order, &order)->node = i;
	while (shard_events_step(&events, 90))
		;
	assert_int_equal(events.now_us, 90);
	assert_int_equal(order.len, sizeof(expect));
	assert_memory_equal(order.data, expect, sizeof(expect));
	buf_deinit(&order);
	shard_events_deinit(&events);
}

/* 1: keys 0, 1, 2; from its second entry on 2: keys 1 (deleted), 3; from there 3: key 0. */
static void plant_tree(struct truth *truth)
{
	assert_true(truth_begin(truth, &(struct truth_epoch){ .epoch = 1 }));
	assert_true(truth_begin(truth, &(struct truth_epoch){ .epoch = 2, .parent = { 1, 2 } }));
	assert_true(truth_begin(truth, &(struct truth_epoch){ .epoch = 3, .parent = { 2, 4 } }));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(truth_learn(truth, (struct version){ 1, i + 1 },
					     &(struct truth_entry){ .key = (uint16_t)i,
								    .value = 10 + i,
								    .write = 1 + i }),
				 TRUTH_NEW);
	assert_int_equal(truth_learn(truth, (struct version){ 2, 3 },
				     &(struct truth_entry){ .key = 1, .write = 4 }),
			 TRUTH_NEW);
	assert_int_equal(truth_learn(truth, (struct version){ 2, 4 },
				     &(struct truth_entry){ .key = 3, .value = 20, .write = 5 }),
			 TRUTH_NEW);
	assert_int_equal(truth_learn(truth, (struct version){ 3, 5 },
				     &(struct truth_entry){ .key = 0, .value = 30, .write = 6 }),
			 TRUTH_NEW);
}

static void a_point_stands_for_the_state_at_the_end_of_its_path(void **state)
{
	struct truth truth = { 0 };
	const struct truth_state *at;

	(void)state;
	plant_tree(&truth);
	at = truth_state(&truth, (struct version){ 3, 5 });
	assert_non_null(at);
	assert_int_equal(at->cells[0].value, 30);
	assert_int_equal(at->cells[1].value, 0);
	assert_int_equal(at->cells[2].value, 0);
	assert_int_equal(at->cells[3].value, 20);
	assert_int_equal(at->cells[3].version.epoch, 2);
	at = truth_state(&truth, (struct version){ 1, 3 });
	assert_non_null(at);
	assert_int_equal(at->cells[0].value, 10);
	assert_int_equal(at->cells[1].value, 11);
	assert_int_equal(at->cells[2].value, 12);
	assert_null(truth_state(&truth, (struct version){ 3, 6 }));
	truth_deinit(&truth);
}

static void paths_part_where_their_epochs_do(void **state)
{
	struct truth truth = { 0 };
	struct version common;

	(void)state;
	plant_tree(&truth);
	assert_true(truth_contains(&truth, (struct version){ 3, 5 }, (struct version){ 1, 2 }));
	assert_false(truth_contains(&truth, (struct version){ 3, 5 }, (struct version){ 1, 3 }));
	assert_true(truth_contains(&truth, (struct version){ 1, 3 }, (struct version){ 0, 0 }));
	common = truth_common(&truth, (struct version){ 1, 3 }, (struct version){ 3, 5 });
	assert_int_equal(common.epoch, 1);
	assert_int_equal(common.sequence, 2);
	common = truth_common(&truth, (struct version){ 2, 3 }, (struct version){ 3, 5 });
	assert_int_equal(common.epoch, 2);
	assert_int_equal(common.sequence, 3);
	truth_deinit(&truth);
}

static void a_version_that_names_two_things_is_noticed(void **state)
{
	struct truth truth = { 0 };
	struct truth_entry other = { .key = 0, .value = 99, .write = 7 };

	(void)state;
	plant_tree(&truth);
	assert_int_equal(truth_learn(&truth, (struct version){ 1, 1 }, &other), TRUTH_OTHER);
	assert_int_equal(truth_learn(&truth, (struct version){ 2, 2 }, &other), TRUTH_NOWHERE);
	assert_int_equal(truth_learn(&truth, (struct version){ 7, 1 }, &other), TRUTH_NOWHERE);
	assert_false(truth_begin(&truth, &(struct truth_epoch){ .epoch = 2 }));
	truth_deinit(&truth);
}

struct wire {
	struct shard_net net;
	struct shard_events events;
	struct shard_random random;
	bool listens;
	unsigned asked, answered;
	int error;
};

static bool on_asked(void *state, unsigned to, uint64_t ask, const struct buf *message)
{
	struct wire *wire = state;
	struct buf answer = { 0 };

	assert_int_equal(to, 1);
	assert_int_equal(message->len, 3);
	if (!wire->listens)
		return false;
	wire->asked++;
	buf_append_str(&answer, "fine");
	shard_net_answer(&wire->net, ask, &answer);
	return true;
}

static void on_answered(void *state, unsigned from, uint64_t call, int error,
			const struct buf *message)
{
	struct wire *wire = state;

	assert_int_equal(from, 0);
	assert_int_equal(call, 7);
	assert_true(error < 0 || message->len == 4);
	wire->answered++;
	wire->error = error;
}

static void on_seen(void *state, unsigned from, unsigned to, const struct buf *message)
{
	(void)state;
	(void)from;
	(void)to;
	(void)message;
}

static void ask(struct wire *wire)
{
	struct buf message = { 0 };

	wire->net.events = &wire->events;
	wire->net.random = &wire->random;
	wire->net.hooks = (struct shard_net_hooks){ on_asked, on_answered, on_seen };
	wire->net.state = wire;
	buf_append_str(&message, "ask");
	shard_net_send(&wire->net, 0, 1, 7, &message, 1000);
	while (shard_events_step(&wire->events, 5000000))
		;
	shard_net_deinit(&wire->net);
	shard_events_deinit(&wire->events);
	assert_int_equal(wire->answered, 1);
}

static void a_call_ends_once_whatever_becomes_of_its_messages(void **state)
{
	struct wire fine = { .listens = true };
	struct wire twice = { .listens = true, .net.weather.twice_percent = 100 };
	struct wire deaf = { .listens = false };
	struct wire lost = { .listens = true, .net.weather.loss_percent = 100 };
	struct wire one_way = { .listens = true, .net.cut[1][0] = true };

	(void)state;
	ask(&fine);
	assert_int_equal(fine.error, 0);
	ask(&twice);
	assert_int_equal(twice.asked, 2);
	assert_int_equal(twice.error, 0);
	ask(&deaf);
	assert_int_equal(deaf.error, -ECONNREFUSED);
	ask(&lost);
	assert_int_equal(lost.asked, 0);
	assert_int_equal(lost.error, -ETIMEDOUT);
	ask(&one_way);
	assert_int_equal(one_way.asked, 1);
	assert_int_equal(one_way.error, -ETIMEDOUT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_the_order_of_their_times),
		cmocka_unit_test(a_point_stands_for_the_state_at_the_end_of_its_path),
		cmocka_unit_test(paths_part_where_their_epochs_do),
		cmocka_unit_test(a_version_that_names_two_things_is_noticed),
		cmocka_unit_test(a_call_ends_once_whatever_becomes_of_its_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Who leads when a node starts, and what it takes to. */
#include "tests/unit/replica_fixture.h"

#include "node/replica_private.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define A 0 /* the cluster file's leader */
#define B 1
#define C 2

static const struct version nothing;

struct test {
	struct replica_fixture *node;
	struct lineage lineage;
	uint64_t first; /* epoch, of A */
};

/* With one entry in A's first epoch, which only A itself has led in. */
static void set_up(struct test *test, unsigned self, bool has_data)
{
	test->node = replica_fixture_new(self);
	lineage_begin(1700000000000000000, &test->lineage);
	test->first = epoch_first(&test->lineage, replica_fixture_id(test->node, A));
	if (!has_data)
		return;
	replica_fixture_lead(test->node, test->first, &test->lineage);
	replica_fixture_write(test->node, "key", "value", 0);
	assert_int_equal(store_follow(test->node->store), 0);
}

static void an_empty_shard_is_led_by_the_node_that_its_file_names(void **state)
{
	struct test test;

	(void)state;
	set_up(&test, A, false);
	replica_fixture_start(test.node);
	replica_fixture_state(test.node, B, nothing, REPLICA_EMPTY);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_STARTING);
	replica_fixture_state(test.node, C, nothing, REPLICA_EMPTY);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_LEADER);
	assert_int_equal(epoch_node(replica_fixture_standing(test.node).promise),
			 replica_fixture_id(test.node, A));
	replica_fixture_free(test.node);
	set_up(&test, B, false);
	replica_fixture_start(test.node);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_FOLLOWER);
	replica_fixture_free(test.node);
}

static void a_node_with_nothing_waits_longer_for_those_that_may_have_something(void **state)
{
	struct test test;

	(void)state;
	set_up(&test, A, false);
	replica_fixture_start(test.node);
	replica_fixture_pass(test.node, START_WAIT_EMPTY_MS - 1);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_STARTING);
	replica_fixture_pass(test.node, 1);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_LEADER);
	replica_fixture_free(test.node);
	set_up(&test, A, true);
	replica_fixture_start(test.node);
	replica_fixture_pass(test.node, START_WAIT_MS - 1);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_STARTING);
	replica_fixture_pass(test.node, 1);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_LEADER);
	replica_fixture_free(test.node);
}

static void a_start_counts_on_from_the_promise(void **state)
{
	struct test test;
	uint16_t id;

	(void)state;
	set_up(&test, A, true);
	id = replica_fixture_id(test.node, A);
	replica_fixture_start(test.node);
	replica_fixture_pass(test.node, START_WAIT_MS);
	assert_int_equal(replica_fixture_standing(test.node).promise,
			 epoch_after_start(test.first, id));
	replica_fixture_free(test.node);
}

static void a_higher_promise_is_kept_and_followed(void **state)
{
	struct test test;
	uint64_t theirs;
	struct replica_question question;

	(void)state;
	set_up(&test, A, true);
	theirs = epoch_after_promotion(test.first, replica_fixture_id(test.node, C));
	replica_fixture_agree(test.node, &test.lineage, theirs);
	replica_fixture_start(test.node);
	replica_fixture_state(test.node, B, nothing, 0);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_FOLLOWER);
	assert_int_equal(replica_fixture_standing(test.node).promise, theirs);
	question = replica_fixture_take(test.node, C, REPLICA_PULL);
	assert_int_equal(question.message.end.sequence, 1);
	replica_fixture_refuse(test.node, &question);
	replica_fixture_free(test.node);
}

static void a_leader_steps_down_when_it_hears_of_a_higher_promise(void **state)
{
	struct replica_message question = { .kind = REPLICA_STATE }, answer;
	struct test test;

	(void)state;
	set_up(&test, A, true);
	replica_fixture_start(test.node);
	replica_fixture_pass(test.node, START_WAIT_MS);
	assert_int_equal(replica_fixture_standing(test.node).role, STORE_LEADING);
	replica_fixture_agree(test.node, &test.lineage,
			      epoch_after_promotion(test.first, replica_fixture_id(test.node, C)));
	assert_true(replica_fixture_ask(test.node, B, &question, &answer));
	assert_int_equal(answer.head.promise, test.node->heads[B].promise);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_FOLLOWER);
	assert_int_equal(replica_fixture_standing(test.node).role, STORE_FOLLOWING);
	replica_fixture_free(test.node);
}

/* It was wiped, or comes from a backup: its old epochs may have given its versions to others. */
static void a_promise_that_it_forgot_is_led_in_only_after_a_new_one(void **state)
{
	struct replica_message accepted = { .status = REPLICA_OK };
	struct replica_question question;
	struct test test;
	uint64_t forgotten, next;

	(void)state;
	set_up(&test, A, true);
	forgotten = epoch_after_start(test.first, replica_fixture_id(test.node, A));
	next = epoch_after_promotion(forgotten, replica_fixture_id(test.node, A));
	replica_fixture_agree(test.node, &test.lineage, forgotten);
	replica_fixture_start(test.node);
	replica_fixture_state(test.node, B, nothing, 0);
	replica_fixture_state(test.node, C, nothing, 0);
	replica_fixture_state(test.node, B, nothing, 0);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_STARTING);
	question = replica_fixture_take(test.node, B, REPLICA_FENCE);
	assert_int_equal(question.message.id, next);
	replica_fixture_agree(test.node, &test.lineage, next);
	accepted.id = next;
	replica_fixture_answer(test.node, &question, &accepted);
	question = replica_fixture_take(test.node, C, REPLICA_FENCE);
	replica_fixture_refuse(test.node, &question);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_LEADER);
	assert_int_equal(replica_fixture_standing(test.node).promise, next);
	replica_fixture_free(test.node);
}

static void who_has_more_of_what_it_forgot_is_asked_first(void **state)
{
	struct version more;
	struct replica_question question;
	struct test test;

	(void)state;
	set_up(&test, A, true);
	more = (struct version){ test.first, 5 };
	replica_fixture_agree(test.node, &test.lineage,
			      epoch_after_start(test.first, replica_fixture_id(test.node, A)));
	replica_fixture_start(test.node);
	replica_fixture_state(test.node, B, more, REPLICA_WHOLE);
	replica_fixture_state(test.node, C, nothing, 0);
	replica_fixture_state(test.node, B, more, REPLICA_WHOLE);
	assert_int_equal(replica_fixture_role(test.node), REPLICA_RECOVERING);
	question = replica_fixture_take(test.node, B, REPLICA_PULL);
	replica_fixture_refuse(test.node, &question);
	replica_fixture_free(test.node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_shard_is_led_by_the_node_that_its_file_names),
		cmocka_unit_test(
			a_node_with_nothing_waits_longer_for_those_that_may_have_something),
		cmocka_unit_test(a_start_counts_on_from_the_promise),
		cmocka_unit_test(a_higher_promise_is_kept_and_followed),
		cmocka_unit_test(a_leader_steps_down_when_it_hears_of_a_higher_promise),
		cmocka_unit_test(a_promise_that_it_forgot_is_led_in_only_after_a_new_one),
		cmocka_unit_test(who_has_more_of_what_it_forgot_is_asked_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

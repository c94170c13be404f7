/* SPDX-License-Identifier: MIT */
/* A node is made the leader: the others are asked, or told. */
#include "tests/unit/replica_fixture.h"

#include "node/replica_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A 0
#define B 1
#define C 2

struct test {
	struct replica_fixture *node; /* B, which follows A */
	struct lineage lineage;
	uint64_t before, next; /* promises */
};

static int set_up(void **state)
{
	struct test *test = calloc(1, sizeof(*test));
	uint64_t first;

	assert_non_null(test);
	test->node = replica_fixture_new(B);
	lineage_begin(1700000000000000000, &test->lineage);
	first = epoch_first(&test->lineage, replica_fixture_id(test->node, B));
	replica_fixture_lead(test->node, first, &test->lineage);
	replica_fixture_write(test->node, "key", "value", 0);
	assert_int_equal(store_follow(test->node->store), 0);
	test->before = epoch_after_promotion(first, replica_fixture_id(test->node, A));
	test->next = epoch_after_promotion(test->before, replica_fixture_id(test->node, B));
	assert_int_equal(store_promise(test->node->store, test->before), 0);
	replica_fixture_agree(test->node, &test->lineage, test->before);
	replica_fixture_start(test->node);
	assert_int_equal(replica_fixture_role(test->node), REPLICA_FOLLOWER);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	replica_fixture_free(test->node);
	free(test);
	return 0;
}

static void nobody_is_there(struct test *test, unsigned place)
{
	struct replica_question question;

	while (replica_fixture_asks(test->node, place, REPLICA_STATE, &question))
		replica_fixture_refuse(test->node, &question);
}

static void the_others_follow_nobody_below_before_it_leads(void **state)
{
	struct replica_message accepted = { .status = REPLICA_OK };
	struct replica_question question;
	struct test *test = *state;

	replica_fixture_promote(test->node, true);
	nobody_is_there(test, A);
	replica_fixture_state(test->node, C, (struct version){ 0 }, 0);
	question = replica_fixture_take(test->node, C, REPLICA_FENCE);
	assert_int_equal(question.message.id, test->next);
	assert_int_equal(replica_fixture_standing(test->node).promise, test->next);
	assert_false(test->node->promoted);
	assert_int_not_equal(replica_fixture_role(test->node), REPLICA_LEADER);
	accepted.id = test->next;
	test->node->heads[C].promise = test->next;
	replica_fixture_answer(test->node, &question, &accepted);
	question = replica_fixture_take(test->node, A, REPLICA_FENCE);
	replica_fixture_refuse(test->node, &question);
	assert_true(test->node->promoted);
	assert_int_equal(test->node->outcome, OUTCOME_OK);
	assert_string_equal(test->node->sentence, "fenced: c; not reached: a");
	assert_int_equal(replica_fixture_role(test->node), REPLICA_LEADER);
}

static void a_higher_promise_of_another_begins_it_anew(void **state)
{
	struct replica_message refused = { .status = REPLICA_REFUSED };
	struct replica_question question;
	struct test *test = *state;
	uint64_t theirs = epoch_after_promotion(test->next, replica_fixture_id(test->node, C));

	replica_fixture_promote(test->node, true);
	nobody_is_there(test, A);
	replica_fixture_state(test->node, C, (struct version){ 0 }, 0);
	question = replica_fixture_take(test->node, C, REPLICA_FENCE);
	test->node->heads[C].promise = refused.id = theirs;
	replica_fixture_answer(test->node, &question, &refused);
	question = replica_fixture_take(test->node, C, REPLICA_FENCE);
	assert_int_equal(question.message.id,
			 epoch_after_promotion(theirs, replica_fixture_id(test->node, B)));
	assert_false(test->node->promoted);
	replica_fixture_refuse(test->node, &question);
}

static void force_what_is_not_whole(struct test *test, const struct lineage *of_c)
{
	assert_int_equal(
		store_set_ahead(test->node->store, (struct version){ test->before, UINT64_MAX }),
		0);
	test->node->heads[C].lineage = *of_c;
	test->node->heads[C].promise = lineage_equal(of_c, &test->lineage) ? test->before : 1;
	replica_fixture_promote(test->node, true);
	replica_fixture_state(test->node, A, (struct version){ 0 }, 0);
	replica_fixture_state(test->node, C, (struct version){ 0 }, REPLICA_WHOLE);
}

static void half_a_copy_does_not_lead_while_a_whole_one_is_there(void **state)
{
	struct test *test = *state;

	force_what_is_not_whole(test, &test->lineage);
	assert_true(test->node->promoted);
	assert_int_equal(test->node->outcome, OUTCOME_FORBIDDEN);
	assert_int_equal(replica_fixture_standing(test->node).promise, test->before);
}

/* That one's data give way to what is left of these. */
static void a_whole_copy_of_a_younger_lineage_is_no_hindrance(void **state)
{
	struct test *test = *state;
	struct lineage younger;
	struct replica_question question;

	lineage_begin(test->lineage.created_ns + 1, &younger);
	force_what_is_not_whole(test, &younger);
	assert_false(test->node->promoted);
	question = replica_fixture_take(test->node, A, REPLICA_FENCE);
	assert_int_equal(question.message.id, test->next);
	replica_fixture_refuse(test->node, &question);
}

/* Heard of while the others are told: then it must not lead beside that one's leader. */
static void an_older_lineage_ends_a_promotion(void **state)
{
	struct replica_question question;
	struct replica_message refused = { .status = REPLICA_REFUSED };
	struct test *test = *state;

	replica_fixture_promote(test->node, true);
	nobody_is_there(test, A);
	replica_fixture_state(test->node, C, (struct version){ 0 }, 0);
	question = replica_fixture_take(test->node, C, REPLICA_FENCE);
	lineage_begin(test->lineage.created_ns - 1, &test->node->heads[C].lineage);
	replica_fixture_answer(test->node, &question, &refused);
	question = replica_fixture_take(test->node, A, REPLICA_FENCE);
	replica_fixture_refuse(test->node, &question);
	assert_true(test->node->promoted);
	assert_int_equal(test->node->outcome, OUTCOME_FORBIDDEN);
	assert_int_not_equal(replica_fixture_role(test->node), REPLICA_LEADER);
	assert_int_not_equal(replica_fixture_standing(test->node).role, STORE_LEADING);
}

static void a_leader_that_refuses_says_why(void **state)
{
	static const char why[] = "it is too far behind";
	struct replica_message refused = {
		.status = REPLICA_REFUSED,
		.bytes = (const uint8_t *)why,
		.bytes_len = sizeof(why) - 1,
	};
	struct replica_question question;
	struct test *test = *state;

	assert_int_equal(store_set_whole(test->node->store), 0);
	replica_fixture_promote(test->node, false);
	question = replica_fixture_take(test->node, A, REPLICA_HANDOVER);
	assert_int_equal(question.message.end.sequence, 1);
	replica_fixture_answer(test->node, &question, &refused);
	assert_true(test->node->promoted);
	assert_int_equal(test->node->outcome, OUTCOME_UNAVAILABLE);
	assert_non_null(strstr(test->node->sentence, why));
	assert_int_equal(replica_fixture_role(test->node), REPLICA_FOLLOWER);
}

static void a_promise_that_was_asked_for_is_led_in_at_once(void **state)
{
	struct replica_message granted = { .status = REPLICA_OK };
	struct replica_question question;
	struct test *test = *state;

	assert_int_equal(store_set_whole(test->node->store), 0);
	replica_fixture_promote(test->node, false);
	question = replica_fixture_take(test->node, A, REPLICA_HANDOVER);
	replica_fixture_agree(test->node, &test->lineage, test->next);
	granted.id = test->next;
	replica_fixture_answer(test->node, &question, &granted);
	assert_int_equal(replica_fixture_role(test->node), REPLICA_LEADER);
	assert_true(test->node->promoted);
	assert_int_equal(test->node->outcome, OUTCOME_OK);
	assert_int_equal(replica_fixture_standing(test->node).promise, test->next);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_others_follow_nobody_below_before_it_leads),
		TEST(a_higher_promise_of_another_begins_it_anew),
		TEST(half_a_copy_does_not_lead_while_a_whole_one_is_there),
		TEST(a_whole_copy_of_a_younger_lineage_is_no_hindrance),
		TEST(an_older_lineage_ends_a_promotion),
		TEST(a_leader_that_refuses_says_why),
		TEST(a_promise_that_was_asked_for_is_led_in_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A node has written what its shard went on without, and takes its leader's records instead. */
#include "tests/unit/replica_fixture.h"

#include "node/replica_private.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define A 0
#define B 1

struct test {
	struct replica_fixture *node; /* B */
	struct lineage lineage;
	uint64_t mine, theirs; /* epochs */
};

/* B deletes "hidden", and then nobody but it writes "hidden" again, "lost" and "other". */
static int set_up(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	assert_non_null(test);
	test->node = replica_fixture_new(B);
	lineage_begin(1700000000000000000, &test->lineage);
	test->mine = epoch_first(&test->lineage, replica_fixture_id(test->node, B));
	test->theirs = epoch_after_promotion(test->mine, replica_fixture_id(test->node, A));
	replica_fixture_lead(test->node, test->mine, &test->lineage);
	replica_fixture_write(test->node, "hidden", "first", 1);
	replica_fixture_write(test->node, "hidden", NULL, 2);
	replica_fixture_write(test->node, "hidden", "second", 3);
	replica_fixture_write(test->node, "lost", "value", 4);
	replica_fixture_write(test->node, "other", "value", 5);
	assert_int_equal(store_follow(test->node->store), 0);
	replica_fixture_agree(test->node, &test->lineage, test->theirs);
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

/* A has gone on behind the second entry. */
static void say_diverged(struct test *test)
{
	const struct history_epoch epochs[] = { { test->mine, 1 }, { test->theirs, 3 } };
	struct replica_message answer = { .status = REPLICA_DIVERGED, .end = { test->theirs, 7 } };
	struct replica_question question;
	struct buf items = { 0 };

	replica_fixture_start(test->node);
	replica_fixture_state(test->node, A, answer.end, REPLICA_WHOLE);
	question = replica_fixture_take(test->node, A, REPLICA_PULL);
	assert_int_equal(question.message.end.sequence, 5);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(replica_append_epoch(&items, &epochs[i]), 0);
	answer.epochs = (struct replica_items){ items.data, items.len, 2 };
	replica_fixture_answer(test->node, &question, &answer);
	buf_deinit(&items);
}

static void add_entry(struct buf *items, const struct entry *entry)
{
	struct buf bytes = { 0 };

	assert_int_equal(entry_encode(entry, &bytes), 0);
	assert_int_equal(replica_append_found(items, bytes.data, bytes.len), 0);
	buf_deinit(&bytes);
}

/* What A has: "hidden" is deleted, "lost" it never had, "other" is of its own epoch. */
static void give_records(struct test *test, struct replica_question *question)
{
	struct replica_message answer = { .end = { test->theirs, 7 } };
	struct buf items = { 0 };
	struct entry deleted = {
		.kind = ENTRY_TOMBSTONE,
		.key = (const uint8_t *)"hidden",
		.key_len = 6,
		.version = { test->mine, 2 },
	};
	struct entry other = {
		.kind = ENTRY_INLINE,
		.key = (const uint8_t *)"other",
		.key_len = 5,
		.version = { test->theirs, 4 },
		.value = (const uint8_t *)"theirs",
		.size_bytes = 6,
	};

	assert_int_equal(question->message.items.count, 3);
	add_entry(&items, &deleted);
	assert_int_equal(replica_append_found(&items, NULL, 0), 0);
	add_entry(&items, &other);
	answer.items = (struct replica_items){ items.data, items.len, 3 };
	replica_fixture_answer(test->node, question, &answer);
	buf_deinit(&items);
}

static struct version version_of(struct test *test, const char *name, enum entry_kind kind)
{
	struct lsm_entry held;
	struct version version;
	struct key key;

	assert_int_equal(key_from_bytes(name, strlen(name), &key), 0);
	assert_int_equal(store_get_entry(test->node->store, &key, 0, &held), 0);
	assert_int_equal(held.entry.kind, kind);
	version = held.entry.version;
	lsm_entry_release(&held);
	return version;
}

static bool knows(struct test *test, const char *name, uint8_t id)
{
	struct request_id request = { .bytes = { id } };
	struct key key;

	assert_int_equal(key_from_bytes(name, strlen(name), &key), 0);
	return store_knows_request(test->node->store, &request, &key);
}

static void records_become_what_they_are_at_the_leader(void **state)
{
	struct test *test = *state;
	struct replica_question question;
	struct store_standing standing;
	struct replica_view view;

	say_diverged(test);
	assert_int_equal(replica_fixture_role(test->node), REPLICA_REPAIRING);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	assert_int_equal(replica_fixture_standing(test->node).ahead.sequence, UINT64_MAX);
	give_records(test, &question);
	standing = replica_fixture_standing(test->node);
	assert_int_equal(standing.synced.epoch, test->mine);
	assert_int_equal(standing.synced.sequence, 2);
	assert_int_equal(standing.ahead.epoch, test->theirs);
	assert_int_equal(standing.ahead.sequence, 7);
	assert_false(standing.whole);
	assert_int_equal(version_of(test, "other", ENTRY_INLINE).sequence, 4);
	replica_view(test->node->replica, &view);
	assert_int_equal(view.counters.diverged_entries, 3);
	assert_int_equal(view.counters.repairs, 1);
	question = replica_fixture_take(test->node, A, REPLICA_PULL);
	assert_int_equal(question.message.end.sequence, 2);
	buf_deinit(&question.bytes);
}

/* The lost write had replaced it, so should it ever be taken back this node would not know. */
static void a_deletion_that_a_lost_write_had_hidden_is_there_again(void **state)
{
	struct test *test = *state;
	struct replica_question question;
	struct version version;

	say_diverged(test);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	give_records(test, &question);
	version = version_of(test, "hidden", ENTRY_TOMBSTONE);
	assert_int_equal(version.epoch, test->mine);
	assert_int_equal(version.sequence, 2);
}

static void what_the_leader_never_had_leaves_a_deletion_of_no_version(void **state)
{
	struct test *test = *state;
	struct replica_question question;

	say_diverged(test);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	give_records(test, &question);
	assert_int_equal(version_of(test, "lost", ENTRY_TOMBSTONE).epoch, 0);
}

static void requests_that_were_set_aside_are_not_known_any_more(void **state)
{
	struct test *test = *state;
	struct replica_question question;

	say_diverged(test);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	assert_true(knows(test, "lost", 4));
	give_records(test, &question);
	assert_true(knows(test, "hidden", 1));
	assert_true(knows(test, "hidden", 2));
	assert_false(knows(test, "hidden", 3));
	assert_false(knows(test, "lost", 4));
	assert_false(knows(test, "other", 5));
}

/* Some records are the leader's already, and nothing says which: an answer that rests on such a
 * write would call done what is not there. */
static void who_leads_with_a_half_replaced_suffix_knows_no_request_of_it(void **state)
{
	struct test *test = *state;
	struct replica_question question;
	uint64_t next = epoch_after_promotion(test->theirs, replica_fixture_id(test->node, B));

	say_diverged(test);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	buf_deinit(&question.bytes);
	assert_true(knows(test, "lost", 4));
	replica_fixture_lead(test->node, next, &test->lineage);
	assert_false(knows(test, "hidden", 3));
	assert_false(knows(test, "lost", 4));
	assert_false(knows(test, "other", 5));
}

static void a_repair_goes_on_until_the_log_has_come_to_where_the_records_are(void **state)
{
	struct test *test = *state;
	struct replica_question question;
	struct replica_message answer = { .end = { test->theirs, 7 } };
	struct buf items = { 0 }, payload = { 0 };
	struct shipped_record record = {
		.epoch = test->theirs,
		.first_sequence = 3,
		.time_ns = 1,
		.count = 5,
	};

	say_diverged(test);
	question = replica_fixture_take(test->node, A, REPLICA_RECORDS);
	give_records(test, &question);
	for (uint64_t i = 3; i <= 7; i++) {
		struct entry entry = {
			.kind = ENTRY_INLINE,
			.key = (const uint8_t *)"other",
			.key_len = 5,
			.version = { test->theirs, i },
		};

		assert_int_equal(entry_encode(&entry, &payload), 0);
	}
	record.payload = payload.data;
	record.payload_len = payload.len;
	assert_int_equal(replica_append_record(&items, &record), 0);
	answer.items = (struct replica_items){ items.data, items.len, 1 };
	question = replica_fixture_take(test->node, A, REPLICA_PULL);
	assert_false(replica_fixture_standing(test->node).whole);
	replica_fixture_answer(test->node, &question, &answer);
	assert_true(replica_fixture_standing(test->node).whole);
	assert_int_equal(replica_fixture_standing(test->node).ahead.sequence, 0);
	assert_int_equal(replica_fixture_role(test->node), REPLICA_FOLLOWER);
	buf_deinit(&items);
	buf_deinit(&payload);
}

static void a_leader_tells_of_deletions_too(void **state)
{
	struct test *test = *state;
	uint64_t epoch = epoch_after_promotion(test->theirs, replica_fixture_id(test->node, B));
	struct replica_message question = { .kind = REPLICA_RECORDS }, answer;
	struct buf keys = { 0 };
	const uint8_t *found;
	struct entry entry;
	struct bytes_reader reader;
	size_t len;

	replica_fixture_agree(test->node, &test->lineage, epoch);
	replica_fixture_lead(test->node, epoch, &test->lineage);
	replica_fixture_write(test->node, "lost", NULL, 0);
	assert_int_equal(store_follow(test->node->store), 0);
	replica_fixture_start(test->node);
	replica_fixture_state(test->node, A, (struct version){ 0 }, 0);
	replica_fixture_state(test->node, 2, (struct version){ 0 }, 0);
	assert_int_equal(replica_fixture_role(test->node), REPLICA_LEADER);
	assert_int_equal(replica_append_key(&keys, (const uint8_t *)"lost", 4), 0);
	assert_int_equal(replica_append_key(&keys, (const uint8_t *)"never", 5), 0);
	question.items = (struct replica_items){ keys.data, keys.len, 2 };
	assert_true(replica_fixture_ask(test->node, A, &question, &answer));
	assert_int_equal(answer.status, REPLICA_OK);
	assert_true(replica_next_found(&answer.items, &found, &len));
	reader = bytes_reader(found, len);
	assert_int_equal(entry_decode(&reader, &entry), 0);
	assert_int_equal(entry.kind, ENTRY_TOMBSTONE);
	assert_int_equal(entry.version.epoch, epoch);
	assert_int_equal(entry.version.sequence, 6);
	assert_true(replica_next_found(&answer.items, &found, &len));
	assert_null(found);
	buf_deinit(&keys);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(records_become_what_they_are_at_the_leader),
		TEST(a_deletion_that_a_lost_write_had_hidden_is_there_again),
		TEST(what_the_leader_never_had_leaves_a_deletion_of_no_version),
		TEST(requests_that_were_set_aside_are_not_known_any_more),
		TEST(who_leads_with_a_half_replaced_suffix_knows_no_request_of_it),
		TEST(a_repair_goes_on_until_the_log_has_come_to_where_the_records_are),
		TEST(a_leader_tells_of_deletions_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

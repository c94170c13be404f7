/* SPDX-License-Identifier: MIT */
/* A shard of two nodes whose leader changes, refuses, stands still, or is not there. */
#include "tests/unit/router_fixture.h"

#include "lib/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define A (&fixture.nodes[0])
#define B (&fixture.nodes[1])

static struct fixture fixture;

static int start(void **state)
{
	(void)state;
	fixture_start_shard(&fixture);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static struct fixture_answer ask(enum method method, const char *target, const char *read,
				 const char *body)
{
	struct fields fields = { 0 };
	struct fixture_answer answer;

	if (read)
		assert_int_equal(fields_setf(&fields, FIELD_READ, "%s", read), 0);
	answer = fixture_ask(&fixture, method, target, &fields, body, body ? strlen(body) : 0);
	assert_int_equal(answer.result, 0);
	return answer;
}

static void expect(enum method method, const char *target, const char *read, const char *body,
		   unsigned status)
{
	struct fixture_answer answer = ask(method, target, read, body);

	if (answer.status != status)
		fail_msg("%s: %u: %s", target, answer.status, (char *)answer.body.data);
	fixture_answer_deinit(&answer);
}

static void lead(struct fake_node *node, unsigned epoch)
{
	node->epoch = epoch;
	node->role = FAKE_LEADER;
}

static bool knows(struct fake_node *leader, bool leads)
{
	bool now;
	const struct cluster_node *node = leaders_leader(fixture.router.leaders, 0, &now);

	return now == leads &&
	       (!leader ||
		node == &fixture.router.cluster->shards[0].nodes[leader - fixture.nodes]);
}

/* The router has heard of it. */
static void wait_for(struct fake_node *leader, bool leads)
{
	uint64_t deadline = clock_monotonic_ms() + 20000;

	while (!knows(leader, leads)) {
		assert_true(clock_monotonic_ms() < deadline);
		usleep(1000);
	}
}

/* Both nodes have the record, and have been heard. */
static void store_twice(const char *target, const char *body)
{
	wait_for(A, true);
	expect(METHOD_PUT, target, NULL, body, 201);
	lead(B, 2);
	A->role = FAKE_FOLLOWER;
	wait_for(B, true);
	expect(METHOD_PUT, target, NULL, body, 201);
	lead(A, 3);
	B->role = FAKE_FOLLOWER;
	wait_for(A, true);
}

static void the_highest_epoch_leads(void **state)
{
	(void)state;
	expect(METHOD_PUT, "/kv/00", NULL, "x", 201);
	assert_int_equal(A->puts, 1);
	lead(B, 2);
	wait_for(B, true);
	expect(METHOD_PUT, "/kv/00", NULL, "x", 201);
	assert_int_equal(B->puts, 1);
	/* The old one, which says that it leads, is not believed any more. */
	for (unsigned asked = A->role_asked; A->role_asked < asked + 2;)
		usleep(1000);
	expect(METHOD_PUT, "/kv/00", NULL, "y", 204);
	assert_int_equal(B->puts, 2);
	assert_int_equal(leaders_changes(fixture.router.leaders), 1);
}

static void a_write_follows_the_leader(void **state)
{
	struct fixture_answer answer;

	(void)state;
	for (unsigned epoch = 2; epoch < 12; epoch++) {
		struct fake_node *old = epoch % 2 ? B : A, *new = epoch % 2 ? A : B;
		unsigned puts = new->puts;

		/* Nobody tells the router. */
		old->role = epoch % 3 ? FAKE_FOLLOWER : FAKE_STARTING;
		lead(new, epoch);
		answer = ask(METHOD_PUT, "/kv/00", NULL, "x");
		assert_true(answer.status == 201 || answer.status == 204);
		assert_int_equal(new->puts, puts + 1);
		assert_string_equal(fields_get(&answer.fields, FIELD_REQUEST_ID, NULL),
				    fields_get(&new->seen, FIELD_REQUEST_ID, NULL));
		fixture_answer_deinit(&answer);
	}
	assert_true(A->refused + B->refused > 0);
}

static void what_the_json_door_writes_follows_the_leader(void **state)
{
	(void)state;
	A->role = FAKE_FOLLOWER;
	lead(B, 2);
	expect(METHOD_PUT, "/", NULL,
	       "{\"key\":\"00\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}", 201);
	assert_int_equal(B->puts, 1);
	expect(METHOD_POST, "/", NULL, "00", 200);
}

static void *come_back(void *arg)
{
	unsigned asked = A->role_asked;

	(void)arg;
	while (A->role_asked < asked + 5)
		usleep(1000);
	lead(A, 5);
	return NULL;
}

static void requests_wait_for_a_leader(void **state)
{
	pthread_t thread;

	(void)state;
	store_twice("/kv/00", "x");
	A->role = B->role = FAKE_STARTING;
	wait_for(NULL, false);
	assert_int_equal(pthread_create(&thread, NULL, come_back, NULL), 0);
	expect(METHOD_PUT, "/kv/00", NULL, "y", 204);
	assert_int_equal(pthread_join(thread, NULL), 0);
	A->role = FAKE_STARTING;
	wait_for(NULL, false);
	assert_int_equal(pthread_create(&thread, NULL, come_back, NULL), 0);
	expect(METHOD_GET, "/kv/00", "leader", NULL, 200);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void without_a_leader_writes_are_refused(void **state)
{
	struct fixture_answer answer;

	(void)state;
	store_twice("/kv/00", "x");
	A->role = FAKE_FOLLOWER;
	wait_for(NULL, false);
	answer = ask(METHOD_PUT, "/kv/00", NULL, "y");
	assert_int_equal(answer.status, 503);
	assert_non_null(strstr((char *)answer.body.data, "not-applied"));
	assert_non_null(strstr((char *)answer.body.data, "shard s0 has no leader"));
	fixture_answer_deinit(&answer);
	expect(METHOD_GET, "/kv/00", "leader", NULL, 503);
}

static void assert_stale(struct fixture_answer answer, bool stale)
{
	const char *mark = fields_get(&answer.fields, FIELD_STALE, NULL);

	assert_int_equal(answer.status, 200);
	assert_int_equal(mark && strcmp(mark, "true") == 0, stale);
	fixture_answer_deinit(&answer);
}

static void without_a_leader_followers_are_read(void **state)
{
	(void)state;
	store_twice("/kv/00", "x");
	assert_stale(ask(METHOD_GET, "/kv/00", NULL, NULL), false);
	A->role = FAKE_FOLLOWER;
	wait_for(NULL, false);
	assert_stale(ask(METHOD_GET, "/kv/00", NULL, NULL), true);
	assert_stale(ask(METHOD_HEAD, "/kv/00", NULL, NULL), true);
	assert_stale(ask(METHOD_POST, "/", NULL, "00"), true);
	assert_stale(ask(METHOD_GET, "/kv/00", "any", NULL), false);
	lead(A, 4);
	wait_for(A, true);
	assert_stale(ask(METHOD_GET, "/kv/00", NULL, NULL), false);
	assert_true(fixture.router.counters.stale_reads == 3);
}

static void a_leader_that_stands_still_holds_no_read(void **state)
{
	(void)state;
	store_twice("/kv/00", "x");
	A->role = FAKE_STUCK;
	/* This one is under way before anybody knows. */
	assert_stale(ask(METHOD_GET, "/kv/00", NULL, NULL), true);
	assert_int_equal(fixture.router.counters.moved_on, 1);
	assert_stale(ask(METHOD_GET, "/kv/00", NULL, NULL), true);
}

static void reads_of_any_node_are_spread(void **state)
{
	unsigned a, b;

	(void)state;
	store_twice("/kv/00", "x");
	a = A->reads;
	b = B->reads;
	for (unsigned i = 0; i < 10; i++)
		assert_stale(ask(METHOD_GET, "/kv/00", "any", NULL), false);
	assert_int_equal(A->reads, a + 5);
	assert_int_equal(B->reads, b + 5);
	expect(METHOD_GET, "/kv/00", "some", NULL, 400);
	expect(METHOD_GET, "/keys", "some", NULL, 400);
}

/* Nodes are not asked more often than need be, whatever happens to requests. */
static void a_node_that_is_gone_is_not_asked_all_the_time(void **state)
{
	uint64_t began;
	unsigned asked;

	(void)state;
	wait_for(A, true);
	A->role = FAKE_FOLLOWER;
	wait_for(NULL, false);
	asked = A->role_asked;
	began = clock_monotonic_ms();
	while (clock_monotonic_ms() - began < 1000)
		usleep(1000);
	assert_in_range(A->role_asked - asked, 1, 40);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(the_highest_epoch_leads),
		TEST(a_write_follows_the_leader),
		TEST(what_the_json_door_writes_follows_the_leader),
		TEST(requests_wait_for_a_leader),
		TEST(without_a_leader_writes_are_refused),
		TEST(without_a_leader_followers_are_read),
		TEST(a_leader_that_stands_still_holds_no_read),
		TEST(reads_of_any_node_are_spread),
		TEST(a_node_that_is_gone_is_not_asked_all_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

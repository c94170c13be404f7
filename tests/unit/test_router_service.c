/* SPDX-License-Identifier: MIT */
#include "tests/unit/router_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct fixture fixture;

static int start(void **state)
{
	(void)state;
	fixture_start(&fixture);
	return 0;
}

static int start_with_frames(void **state)
{
	start(state);
	fixture.frames = true;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static void expect(enum method method, const char *target, unsigned status)
{
	struct fixture_answer answer = fixture_ask(&fixture, method, target, NULL, NULL, 0);

	assert_int_equal(answer.result, 0);
	assert_int_equal(answer.status, status);
	fixture_answer_deinit(&answer);
}

static void expect_body(const char *target, const char *body)
{
	struct fixture_answer answer = fixture_ask(&fixture, METHOD_GET, target, NULL, NULL, 0);

	assert_int_equal(answer.status, 200);
	assert_string_equal((char *)answer.body.data, body);
	fixture_answer_deinit(&answer);
}

static void put(const char *target, const char *body, unsigned status)
{
	struct fixture_answer answer =
		fixture_ask(&fixture, METHOD_PUT, target, NULL, body, strlen(body));

	assert_int_equal(answer.result, 0);
	assert_int_equal(answer.status, status);
	fixture_answer_deinit(&answer);
}

static const char *seen(unsigned shard, enum field field)
{
	return fields_get(&fixture.nodes[shard].seen, field, NULL);
}

static void what_the_client_says_travels_but_its_token_does_not(void **state)
{
	unsigned shard = fixture_shard(&fixture, "00ff");
	struct fields fields = { 0 };
	struct fixture_answer answer;

	(void)state;
	assert_int_equal(fields_setf(&fields, FIELD_CONTENT_TYPE, "text/x"), 0);
	assert_int_equal(fields_setf(&fields, FIELD_ENCODING, "e"), 0);
	assert_int_equal(fields_setf(&fields, FIELD_DURABILITY, "memory"), 0);
	assert_int_equal(fields_setf(&fields, FIELD_ACK, "all"), 0);
	assert_int_equal(fields_setf(&fields, FIELD_MTIME, "1700000000123456789"), 0);
	assert_int_equal(fields_setf(&fields, FIELD_AUTHORIZATION, "Bearer mine"), 0);
	answer = fixture_ask(&fixture, METHOD_PUT, "/kv/00FF", &fields, "x", 1);
	assert_int_equal(answer.status, 201);
	assert_string_equal(seen(shard, FIELD_CONTENT_TYPE), "text/x");
	assert_string_equal(seen(shard, FIELD_ENCODING), "e");
	assert_string_equal(seen(shard, FIELD_DURABILITY), "memory");
	assert_string_equal(seen(shard, FIELD_ACK), "all");
	assert_string_equal(seen(shard, FIELD_MTIME), "1700000000123456789");
	assert_null(seen(shard, FIELD_AUTHORIZATION));
	/* The node has seen the id that the client is told. */
	assert_string_equal(seen(shard, FIELD_REQUEST_ID),
			    fields_get(&answer.fields, FIELD_REQUEST_ID, NULL));
	fixture_answer_deinit(&answer);
	expect_body("/kv/00ff", "x");
}

static void a_malformed_request_reaches_no_node(void **state)
{
	unsigned shard = fixture_shard(&fixture, "00ff");
	struct fields fields = { 0 };
	struct fixture_answer answer;

	(void)state;
	fields_deinit(&fixture.nodes[shard].seen);
	assert_int_equal(fields_setf(&fields, FIELD_MTIME, "noon"), 0);
	answer = fixture_ask(&fixture, METHOD_PUT, "/kv/00ff", &fields, "x", 1);
	assert_int_equal(answer.status, 400);
	assert_null(seen(shard, FIELD_MTIME));
	fixture_answer_deinit(&answer);
	expect(METHOD_GET, "/kv/0", 400);
	expect(METHOD_GET, "/kv/", 404);
	expect(METHOD_GET, "/kv/00/11", 404);
	expect(METHOD_MOVE, "/kv/00ff", 400);
	expect(METHOD_POST, "/kv/00ff", 405);
	expect(METHOD_DELETE, "/keys", 405);
	expect(METHOD_GET, "/elsewhere", 404);
}

static void a_node_that_does_not_answer_is_504(void **state)
{
	struct fixture_answer answer;

	(void)state;
	answer = fixture_ask(&fixture, METHOD_PUT, "/kv/ee04", NULL, "x", 1);
	assert_int_equal(answer.status, 504);
	assert_non_null(strstr((char *)answer.body.data, "\"outcome\":\"unknown\""));
	fixture_answer_deinit(&answer);
	answer = fixture_ask(&fixture, METHOD_GET, "/kv/ee04", NULL, NULL, 0);
	assert_int_equal(answer.status, 504);
	assert_non_null(strstr((char *)answer.body.data, "\"outcome\":\"not-applied\""));
	fixture_answer_deinit(&answer);
	put("/", "{\"key\":\"ee04\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}",
	    504);
	answer = fixture_ask(&fixture, METHOD_POST, "/", NULL, "ee04", 4);
	assert_int_equal(answer.status, 504);
	fixture_answer_deinit(&answer);
}

static void a_node_that_does_not_want_the_router_is_502(void **state)
{
	(void)state;
	expect(METHOD_GET, "/kv/ee15", 502);
	expect(METHOD_DELETE, "/kv/ee15", 502);
	put("/kv/ee15", "x", 502);
	expect(METHOD_GET, "/kv/ee01", 502);
	put("/", "{\"key\":\"ee15\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}",
	    502);
}

static void a_node_that_breaks_off_in_a_long_answer_ends_it_short(void **state)
{
	struct fixture_answer answer = fixture_ask(&fixture, METHOD_GET, "/kv/ee02", NULL, NULL, 0);

	(void)state;
	assert_true(answer.result < 0);
	assert_true(answer.body.len <= 500000);
	fixture_answer_deinit(&answer);
}

static void large_values_stream_both_ways(void **state)
{
	static const size_t sizes[] = { 65536, 65537, 262144, 262145, 5000000 };
	static char body[5000000];

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (char)(i * 31 + (i >> 8));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fixture_answer answer =
			fixture_ask(&fixture, METHOD_PUT, "/kv/abcd", NULL, body, sizes[i]);

		assert_int_equal(answer.status, i == 0 ? 201 : 204);
		fixture_answer_deinit(&answer);
		answer = fixture_ask(&fixture, METHOD_GET, "/kv/abcd", NULL, NULL, 0);
		assert_int_equal(answer.status, 200);
		assert_int_equal(answer.body.len, sizes[i]);
		assert_memory_equal(answer.body.data, body, sizes[i]);
		fixture_answer_deinit(&answer);
	}
}

static void the_json_door_writes_what_the_object_door_reads(void **state)
{
	struct fixture_answer answer;

	(void)state;
	put("/", "{\"key\":\"0101\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}",
	    201);
	expect_body("/kv/0101", "c");
	answer = fixture_ask(&fixture, METHOD_POST, "/", NULL, "0101", 4);
	assert_int_equal(answer.status, 200);
	assert_string_equal(
		(char *)answer.body.data,
		"{\"0101\":{\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}}\n");
	fixture_answer_deinit(&answer);
	answer = fixture_ask(&fixture, METHOD_POST, "/", NULL, "\x01\x01", 2);
	assert_int_equal(answer.status, 200);
	fixture_answer_deinit(&answer);
	answer = fixture_ask(&fixture, METHOD_POST, "/", NULL, "0102", 4);
	assert_int_equal(answer.status, 404);
	fixture_answer_deinit(&answer);
	put("/", "{\"key\":\"0101\"}", 400);
	expect(METHOD_GET, "/", 405);
}

static void the_json_door_gives_its_memory_back(void **state)
{
	(void)state;
	expect_body("/kv/0101", "c");
	assert_int_equal(atomic_load(&fixture.router.json.used), 0);
}

static void json_over_the_budget_is_503(void **state)
{
	(void)state;
	fixture.router.json.limit = 100;
	put("/", "{\"key\":\"0101\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}",
	    503);
	fixture.router.json.limit = ROUTER_JSON_TOTAL_MAX;
	put("/", "{\"key\":\"0101\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}",
	    200);
}

/* MOVE between shards */

struct pair {
	char source[32], destination[32];
};

static struct pair make_pair(const char *prefix)
{
	struct pair pair;
	char hex[16];

	fixture_key(&fixture, 0, prefix, hex);
	snprintf(pair.source, sizeof(pair.source), "/kv/%s", hex);
	fixture_key(&fixture, 1, prefix, hex);
	snprintf(pair.destination, sizeof(pair.destination), "/kv/%s", hex);
	return pair;
}

static unsigned move(const struct pair *pair, const char *overwrite)
{
	struct fields fields = { 0 };
	struct fixture_answer answer;
	unsigned status;

	assert_int_equal(fields_setf(&fields, FIELD_DESTINATION, "%s", pair->destination), 0);
	assert_int_equal(fields_setf(&fields, FIELD_OVERWRITE, "%s", overwrite), 0);
	answer = fixture_ask(&fixture, METHOD_MOVE, pair->source, &fields, NULL, 0);
	assert_int_equal(answer.result, 0);
	status = answer.status;
	fixture_answer_deinit(&answer);
	return status;
}

static void a_move_copies_to_the_disk_and_then_deletes(void **state)
{
	struct pair pair = make_pair("a0");

	(void)state;
	put(pair.source, "moved", 201);
	assert_int_equal(move(&pair, "T"), 201);
	assert_string_equal(seen(1, FIELD_DURABILITY), "disk");
	assert_non_null(seen(0, FIELD_IF_MATCH));
	expect(METHOD_GET, pair.source, 404);
	expect_body(pair.destination, "moved");
}

static void a_source_that_changes_is_copied_again(void **state)
{
	struct pair pair = make_pair("a1");

	(void)state;
	put(pair.source, "v", 201);
	atomic_store(&fixture.nodes[0].races, 3);
	assert_int_equal(move(&pair, "F"), 201);
	expect(METHOD_GET, pair.source, 404);
	expect_body(pair.destination, "v+++");
}

static void a_source_that_never_rests_stays_and_its_copies_go(void **state)
{
	struct pair pair = make_pair("a2");

	(void)state;
	put(pair.source, "v", 201);
	atomic_store(&fixture.nodes[0].races, 1000);
	assert_int_equal(move(&pair, "T"), 503);
	atomic_store(&fixture.nodes[0].races, 0);
	expect_body(pair.source, "v++++++++++++++++");
	expect(METHOD_GET, pair.destination, 404);
}

static void a_destination_that_exists_is_kept_without_leave(void **state)
{
	struct pair pair = make_pair("a3");

	(void)state;
	put(pair.source, "new", 201);
	put(pair.destination, "old", 201);
	assert_int_equal(move(&pair, "F"), 412);
	expect_body(pair.source, "new");
	expect_body(pair.destination, "old");
	assert_int_equal(move(&pair, "T"), 204);
	expect_body(pair.destination, "new");
}

static void a_large_record_moves_in_bounded_pieces(void **state)
{
	static char body[3000000];
	struct pair pair = make_pair("a4");
	struct fixture_answer answer;

	(void)state;
	memset(body, 'm', sizeof(body));
	answer = fixture_ask(&fixture, METHOD_PUT, pair.source, NULL, body, sizeof(body));
	assert_int_equal(answer.status, 201);
	fixture_answer_deinit(&answer);
	atomic_store(&fixture.nodes[0].races, 1);
	assert_int_equal(move(&pair, "T"), 201);
	answer = fixture_ask(&fixture, METHOD_GET, pair.destination, NULL, NULL, 0);
	assert_int_equal(answer.body.len, sizeof(body) + 1);
	assert_memory_equal(answer.body.data, body, sizeof(body));
	fixture_answer_deinit(&answer);
	expect(METHOD_GET, pair.source, 404);
}

static void a_move_to_a_node_that_is_stuck_keeps_the_source(void **state)
{
	unsigned stuck = fixture_shard(&fixture, "ee04");
	struct pair pair = { .destination = "/kv/ee04" };
	char hex[16];

	(void)state;
	fixture_key(&fixture, 1 - stuck, "a5", hex);
	snprintf(pair.source, sizeof(pair.source), "/kv/%s", hex);
	put(pair.source, "kept", 201);
	assert_int_equal(move(&pair, "T"), 504);
	expect_body(pair.source, "kept");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_client_says_travels_but_its_token_does_not),
		cmocka_unit_test(a_malformed_request_reaches_no_node),
		cmocka_unit_test(a_node_that_does_not_answer_is_504),
		cmocka_unit_test(a_node_that_does_not_want_the_router_is_502),
		cmocka_unit_test(a_node_that_breaks_off_in_a_long_answer_ends_it_short),
		cmocka_unit_test(large_values_stream_both_ways),
		cmocka_unit_test(the_json_door_writes_what_the_object_door_reads),
		cmocka_unit_test(the_json_door_gives_its_memory_back),
		cmocka_unit_test(json_over_the_budget_is_503),
		cmocka_unit_test(a_move_copies_to_the_disk_and_then_deletes),
		cmocka_unit_test(a_source_that_changes_is_copied_again),
		cmocka_unit_test(a_source_that_never_rests_stays_and_its_copies_go),
		cmocka_unit_test(a_destination_that_exists_is_kept_without_leave),
		cmocka_unit_test(a_large_record_moves_in_bounded_pieces),
		cmocka_unit_test(a_move_to_a_node_that_is_stuck_keeps_the_source),
	};

	/* A router answers frames as it answers HTTP. */
	return cmocka_run_group_tests_name("http", tests, start, stop) +
	       cmocka_run_group_tests_name("frames", tests, start_with_frames, stop);
}

/* SPDX-License-Identifier: MIT */
/* What a client can do to a node between the first byte of a request and the last of its answer. */
#include "tests/unit/node_fixture.h"

#include "lib/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024 * 1024)

struct test {
	struct node_fixture node;
	uint8_t *value;
	size_t size;
};

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));
	uint32_t seed = 1;

	assert_non_null(test);
	node_fixture_open(&test->node, 1);
	test->size = 4 * MIB + 321;
	test->value = malloc(test->size);
	assert_non_null(test->value);
	for (size_t i = 0; i < test->size; i++) {
		seed = seed * 1664525 + 1013904223;
		test->value[i] = (uint8_t)(seed >> 24);
	}
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	node_fixture_close(&test->node);
	free(test->value);
	free(test);
	return 0;
}

static void assert_value(struct test *test, const char *path, const void *value, size_t size)
{
	struct client client;

	client_begin(&client, &test->node, METHOD_GET, path, NULL, 0, 0);
	client_wait(&client);
	assert_int_equal(client.status, 200);
	assert_int_equal(client.result, 1);
	assert_int_equal(client.body.len, size);
	assert_memory_equal(client.body.data, value, size);
	client_finish(&client);
	client_deinit(&client);
}

static void a_value_arrives_whole_in_pieces_of_any_size(void **state)
{
	static const size_t sizes[] = { 1,   100,     65536,   65537, 524288,     524289,
					MIB, MIB + 1, 2 * MIB, 70000, 3 * MIB + 5 };
	static const size_t pieces[] = { 100000, 4093, 524288, 524289, 4 * MIB };
	struct test *test = *state;
	struct client client;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
			test->node.chunked = k % 2;
			client_begin(&client, &test->node, METHOD_PUT, "/kv/01", test->value,
				     sizes[i], 0);
			client.piece = pieces[k];
			client_wait(&client);
			assert_true(client.status == 201 || client.status == 204);
			client_finish(&client);
			client_deinit(&client);
		}
		test->node.chunked = false;
		assert_value(test, "/kv/01", test->value, sizes[i]);
	}
}

static void an_upload_that_ends_anywhere_leaves_nothing(void **state)
{
	struct test *test = *state;
	/* The log still refers to what was replaced. */
	unsigned before = node_fixture_value_files(&test->node);
	struct client client;

	for (size_t sent = 0; sent <= test->size; sent += 97 * 1024) {
		client_begin(&client, &test->node, METHOD_PUT, "/kv/02", test->value, test->size,
			     0);
		client.left = sent;
		client.ended = true;
		client_send(&client);
		assert_int_equal(client.status, 0);
		client_finish(&client);
		client_deinit(&client);
	}
	node_fixture_reopen(&test->node);
	assert_true(node_fixture_value_files(&test->node) <= before);
	assert_int_equal(client_ask(&test->node, METHOD_GET, "/kv/02", NULL, 0), 404);
}

static void a_client_that_leaves_after_its_body_has_written(void **state)
{
	struct test *test = *state;
	struct client client;

	client_begin(&client, &test->node, METHOD_PUT, "/kv/03", test->value, 1000, 0);
	client_send(&client);
	client_finish(&client);
	client_deinit(&client);
	assert_value(test, "/kv/03", test->value, 1000);
}

static void a_reader_keeps_its_version(void **state)
{
	struct test *test = *state;
	struct client reader;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/04", test->value, test->size),
			 201);
	client_begin(&reader, &test->node, METHOD_GET, "/kv/04", NULL, 0, 0);
	reader.reads = false;
	client_wait_head(&reader);
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/04", "new", 3), 204);
	assert_int_equal(client_ask(&test->node, METHOD_DELETE, "/kv/04", NULL, 0), 204);
	reader.reads = true;
	client_wait(&reader);
	assert_int_equal(reader.result, 1);
	assert_int_equal(reader.body.len, test->size);
	assert_memory_equal(reader.body.data, test->value, test->size);
	client_finish(&reader);
	client_deinit(&reader);
}

static void a_reader_may_leave_at_any_time(void **state)
{
	struct test *test = *state;
	struct client reader;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/05", test->value, test->size),
			 201);
	/* Before the first chunk is there. */
	client_begin(&reader, &test->node, METHOD_GET, "/kv/05", NULL, 0, 0);
	client_finish(&reader);
	client_deinit(&reader);
	/* With the head, while the next chunk is read ahead. */
	client_begin(&reader, &test->node, METHOD_GET, "/kv/05", NULL, 0, 0);
	reader.reads = false;
	client_wait_head(&reader);
	client_finish(&reader);
	client_deinit(&reader);
}

static void more_readers_than_memory_wait_or_are_told_to_come_back(void **state)
{
	struct test *test = *state;
	unsigned most = SERVICE_STREAM_BYTES_MAX / MIB;
	struct client *readers = calloc(most, sizeof(*readers));
	struct client left, late;

	assert_non_null(readers);
	test->node.service->stream_idle_ms = 3600000;
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/06", test->value, test->size),
			 201);
	for (unsigned i = 0; i < most; i++) {
		client_begin(&readers[i], &test->node, METHOD_GET, "/kv/06", NULL, 0, 0);
		readers[i].reads = false;
		client_wait_head(&readers[i]);
		assert_int_equal(readers[i].status, 200);
	}
	test->node.service->stream_wait_ms = 50;
	assert_int_equal(client_ask(&test->node, METHOD_GET, "/kv/06", NULL, 0), 429);
	test->node.service->stream_wait_ms = 60000;
	client_begin(&left, &test->node, METHOD_GET, "/kv/06", NULL, 0, 0);
	client_finish(&left);
	client_begin(&late, &test->node, METHOD_GET, "/kv/06", NULL, 0, 0);
	assert_int_equal(late.status, 0);
	/* Those who were let in get all of it, with one chunk of memory each. */
	for (unsigned i = 0; i < most; i++) {
		readers[i].reads = true;
		client_wait(&readers[i]);
		assert_int_equal(readers[i].result, 1);
		assert_memory_equal(readers[i].body.data, test->value, test->size);
		client_finish(&readers[i]);
		client_deinit(&readers[i]);
	}
	client_deinit(&left);
	client_wait(&late);
	assert_int_equal(late.status, 200);
	assert_int_equal(late.result, 1);
	client_finish(&late);
	client_deinit(&late);
	free(readers);
}

/* Nor do they lose anything by it. */
static void readers_that_stand_still_keep_no_memory_from_others(void **state)
{
	struct test *test = *state;
	unsigned most = SERVICE_STREAM_BYTES_MAX / MIB;
	struct client *readers = calloc(most, sizeof(*readers));
	struct client others[3];

	assert_non_null(readers);
	test->node.service->stream_idle_ms = 20;
	test->node.service->stream_wait_ms = 60000;
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/10", test->value, test->size),
			 201);
	for (unsigned i = 0; i < most; i++) {
		client_begin(&readers[i], &test->node, METHOD_GET, "/kv/10", NULL, 0, 0);
		readers[i].reads = false;
		client_wait_head(&readers[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		client_begin(&others[i], &test->node, METHOD_GET, "/kv/10", NULL, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		client_wait(&others[i]);
		assert_int_equal(others[i].status, 200);
		assert_int_equal(others[i].result, 1);
		client_finish(&others[i]);
		client_deinit(&others[i]);
	}
	/* One leaves while it stands in the queue, or before. */
	client_finish(&readers[0]);
	client_deinit(&readers[0]);
	for (unsigned i = 1; i < most; i++)
		readers[i].reads = true;
	for (unsigned i = 1; i < most; i++) {
		client_wait(&readers[i]);
		assert_int_equal(readers[i].result, 1);
		assert_int_equal(readers[i].body.len, test->size);
		assert_memory_equal(readers[i].body.data, test->value, test->size);
		client_finish(&readers[i]);
		client_deinit(&readers[i]);
	}
	assert_int_equal(test->node.state->stream_bytes, 0);
	assert_null(test->node.state->waiting);
	assert_null(test->node.state->sending);
	free(readers);
}

struct pair {
	struct client *waits, *active;
};

static bool active_has_all(void *state)
{
	struct pair *pair = state;

	client_step(pair->waits);
	client_step(pair->active);
	return pair->active->result != 0;
}

static void begin_deaf(struct test *test, struct client *client)
{
	client_begin(client, &test->node, METHOD_GET, "/kv/11", NULL, 0, 0);
	client->reads = false;
	client_wait_head(client);
	assert_int_equal(client->status, 200);
}

/* Who has begun to answer gets memory from those who read, and before those who have not begun. */
static void memory_goes_round_among_readers(void **state)
{
	struct test *test = *state;
	unsigned most = SERVICE_STREAM_BYTES_MAX / MIB;
	struct client *readers = calloc(most, sizeof(*readers));
	struct client active, newcomer;
	struct pair pair = { .waits = &readers[0], .active = &active };

	assert_non_null(readers);
	test->node.service->stream_idle_ms = 20;
	test->node.service->stream_wait_ms = 60000;
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/11", test->value, test->size),
			 201);
	for (unsigned i = 0; i < most; i++)
		begin_deaf(test, &readers[i]);
	/* All others' memory is taken back for this one, and not given back before it reads. */
	begin_deaf(test, &active);
	test->node.service->stream_idle_ms = 3600000;
	for (unsigned i = 1; i < most; i++) {
		client_finish(&readers[i]);
		client_deinit(&readers[i]);
		begin_deaf(test, &readers[i]);
	}
	client_begin(&newcomer, &test->node, METHOD_GET, "/kv/11", NULL, 0, 0);
	readers[0].reads = active.reads = true;
	node_fixture_run_until(&test->node, active_has_all, &pair);
	assert_int_equal(active.result, 1);
	assert_memory_equal(active.body.data, test->value, test->size);
	assert_true(readers[0].body.len >= MIB);
	assert_int_equal(newcomer.status, 0);
	client_finish(&active);
	client_deinit(&active);
	client_wait(&readers[0]);
	assert_int_equal(readers[0].result, 1);
	assert_memory_equal(readers[0].body.data, test->value, test->size);
	client_wait(&newcomer);
	assert_int_equal(newcomer.result, 1);
	client_finish(&newcomer);
	client_deinit(&newcomer);
	for (unsigned i = 0; i < most; i++) {
		client_finish(&readers[i]);
		client_deinit(&readers[i]);
	}
	free(readers);
}

static void more_uploads_than_allowed_are_told_to_come_back(void **state)
{
	struct test *test = *state;
	struct client writers[(SERVICE_UPLOAD_BYTES_MAX / MIB)];

	for (unsigned i = 0; i < (SERVICE_UPLOAD_BYTES_MAX / MIB); i++) {
		client_begin(&writers[i], &test->node, METHOD_PUT, "/kv/07", test->value,
			     test->size, 0);
		assert_int_equal(writers[i].status, 0);
	}
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/07", test->value, test->size),
			 429);
	/* Small ones need none of that memory. */
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/07", "x", 1), 201);
	for (unsigned i = 0; i < (SERVICE_UPLOAD_BYTES_MAX / MIB); i++) {
		client_finish(&writers[i]);
		client_deinit(&writers[i]);
	}
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/07", test->value, test->size),
			 204);
}

static void a_precondition_is_checked_before_a_large_body(void **state)
{
	struct test *test = *state;
	struct client client;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/08", "x", 1), 201);
	client_begin(&client, &test->node, METHOD_PUT, "/kv/08", test->value, test->size,
		     FIELD_IF_NONE_MATCH, "*", 0);
	client.left = 0;
	client.ended = true;
	client_wait_head(&client);
	assert_int_equal(client.status, 412);
	client_finish(&client);
	client_deinit(&client);
}

static void a_body_that_no_frame_carries_is_only_announced(void **state)
{
	struct test *test = *state;
	struct client client;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/09", test->value, test->size),
			 201);
	test->node.over_frame = true;
	client_begin(&client, &test->node, METHOD_GET, "/kv/09", NULL, 0, 0);
	test->node.over_frame = false;
	client_wait_head(&client);
	assert_int_equal(client.status, 200);
	assert_int_equal(client.answer.stream_bytes, test->size);
	assert_true(client.answer.stream_bytes > FRAME_BODY_MAX);
	assert_int_equal(test->node.state->stream_bytes, 0);
	client_finish(&client);
	client_deinit(&client);
}

static void head_has_the_length_and_no_body(void **state)
{
	struct test *test = *state;
	struct client client;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/0c", test->value, test->size),
			 201);
	client_begin(&client, &test->node, METHOD_HEAD, "/kv/0c", NULL, 0, 0);
	client_wait_head(&client);
	assert_int_equal(client.status, 200);
	assert_int_equal(client.answer.stream_bytes, test->size);
	assert_null(client.answer.source);
	client_finish(&client);
	client_deinit(&client);
}

static void a_range_of_a_file_is_exactly_that(void **state)
{
	struct test *test = *state;
	struct client client;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/0a", test->value, test->size),
			 201);
	client_begin(&client, &test->node, METHOD_GET, "/kv/0a", NULL, 0, FIELD_RANGE,
		     "bytes=1048575-3145728", 0);
	client_wait(&client);
	assert_int_equal(client.status, 206);
	assert_string_equal(client_field(&client, FIELD_CONTENT_RANGE),
			    "bytes 1048575-3145728/4194625");
	assert_int_equal(client.body.len, 3145728 - 1048575 + 1);
	assert_memory_equal(client.body.data, test->value + 1048575, client.body.len);
	client_finish(&client);
	client_deinit(&client);
}

static void every_answer_to_a_write_names_its_request(void **state)
{
	struct test *test = *state;
	struct client client;

	client_begin(&client, &test->node, METHOD_PUT, "/kv/0b", "x", 1, 0);
	client_wait(&client);
	assert_int_equal(strlen(client_field(&client, FIELD_REQUEST_ID)), 32);
	client_finish(&client);
	client_deinit(&client);
	client_begin(&client, &test->node, METHOD_PUT, "/kv/0b", "x", 1, FIELD_REQUEST_ID,
		     "000102030405060708090a0b0c0d0e0f", FIELD_IF_MATCH, "\"0-0\"", 0);
	client_wait(&client);
	assert_int_equal(client.status, 412);
	assert_string_equal(client_field(&client, FIELD_REQUEST_ID),
			    "000102030405060708090a0b0c0d0e0f");
	client_finish(&client);
	client_deinit(&client);
}

/* Inline and in a file of its own. */
static void an_id_that_was_applied_is_repeated_whatever_comes_with_it(void **state)
{
	static const char *const ids[] = { "000102030405060708090a0b0c0d0e01",
					   "000102030405060708090a0b0c0d0e02" };
	struct test *test = *state;
	const size_t sizes[] = { 5, test->size };
	char etag[ETAG_BYTES_MAX];
	struct client client;

	for (int i = 0; i < 2; i++) {
		for (int again = 0; again < 2; again++) {
			client_begin(&client, &test->node, METHOD_PUT, "/kv/0d",
				     test->value + again, sizes[i] - (size_t)again,
				     FIELD_REQUEST_ID, ids[i], 0);
			client_wait(&client);
			assert_int_equal(client.status, i ? 204 : 201);
			if (!again) {
				assert_null(client_field(&client, FIELD_REPEATED));
				strcpy(etag, client_field(&client, FIELD_ETAG));
			} else {
				assert_string_equal(client_field(&client, FIELD_REPEATED), "true");
				assert_string_equal(client_field(&client, FIELD_ETAG), etag);
			}
			client_finish(&client);
			client_deinit(&client);
		}
		assert_value(test, "/kv/0d", test->value, sizes[i]);
	}
}

#define CROWD       24
#define CROWD_STEPS 3000

struct member {
	struct client client;
	bool is_here, has_left;
	char path[16], destination[16];
};

static uint32_t draw(uint64_t *seed, uint32_t below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % below;
}

static void begin_anything(struct test *test, struct member *member, uint64_t *seed)
{
	static const enum method methods[] = { METHOD_GET,  METHOD_GET,   METHOD_HEAD,
					       METHOD_PUT,  METHOD_PUT,   METHOD_PUT,
					       METHOD_MOVE, METHOD_PATCH, METHOD_DELETE,
					       METHOD_OTHER };
	static const size_t sizes[] = { 0, 10, 65536, 65537, 600000, 3 * MIB };
	enum method method = methods[draw(seed, sizeof(methods) / sizeof(methods[0]))];
	const void *body = NULL;
	size_t len = 0;

	snprintf(member->path, sizeof(member->path), "/kv/c%u", 10 + draw(seed, 3));
	snprintf(member->destination, sizeof(member->destination), "/kv/c%u", 10 + draw(seed, 3));
	if (method == METHOD_PUT) {
		body = test->value;
		len = sizes[draw(seed, sizeof(sizes) / sizeof(sizes[0]))];
	} else if (method == METHOD_PATCH) {
		body = "{\"encoding\":\"x\"}";
		len = strlen(body);
	}
	test->node.chunked = draw(seed, 4) == 0;
	test->node.over_frame = draw(seed, 4) == 0;
	if (method == METHOD_MOVE)
		client_begin(&member->client, &test->node, method, member->path, body, len,
			     FIELD_DESTINATION, member->destination, 0);
	else if (draw(seed, 3) == 0)
		client_begin(&member->client, &test->node, method, member->path, body, len,
			     FIELD_IF_NONE_MATCH, "*", 0);
	else
		client_begin(&member->client, &test->node, method, member->path, body, len, 0);
	member->client.piece = 1 + draw(seed, 700000);
	member->client.reads = draw(seed, 4) > 0;
	member->is_here = true;
	member->has_left = false;
	test->node.chunked = test->node.over_frame = false;
}

/* Values are prefixes of the test's, so a wrong byte shows whichever version it was. */
static void expect_prefix(const struct test *test, const struct client *client)
{
	if (client->result == 1 && client->ex.method == METHOD_GET && client->status == 200 &&
	    client->body.len > 0)
		assert_memory_equal(client->body.data, test->value, client->body.len);
}

static bool after_some_turns(void *state)
{
	unsigned *turns = state;

	return (*turns)-- == 0;
}

static void go_on(struct test *test, struct member *member, uint64_t *seed)
{
	struct client *client = &member->client;

	if (!member->is_here) {
		begin_anything(test, member, seed);
		return;
	}
	if (member->has_left) {
		if (client->freed) {
			client_deinit(client);
			member->is_here = false;
		}
		return;
	}
	client_step(client);
	expect_prefix(test, client);
	if (client->result != 0 || draw(seed, 20) == 0) {
		client_finish(client);
		member->has_left = true;
	}
}

static void a_crowd_that_does_anything_gets_right_answers_and_leaves_nothing(void **state)
{
	struct test *test = *state;
	struct member *crowd = calloc(CROWD, sizeof(*crowd));
	uint64_t seed = 42;

	assert_non_null(crowd);
	for (unsigned step = 0; step < CROWD_STEPS; step++) {
		unsigned turns = draw(&seed, 3);

		go_on(test, &crowd[draw(&seed, CROWD)], &seed);
		node_fixture_run_until(&test->node, after_some_turns, &turns);
	}
	for (unsigned i = 0; i < CROWD; i++) {
		if (crowd[i].is_here && !crowd[i].has_left)
			client_finish(&crowd[i].client);
		if (crowd[i].is_here)
			client_deinit(&crowd[i].client);
	}
	free(crowd);
	/* Fails if memory, uploads or jobs are left. */
	node_fixture_reopen(&test->node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_arrives_whole_in_pieces_of_any_size),
		cmocka_unit_test(an_upload_that_ends_anywhere_leaves_nothing),
		cmocka_unit_test(a_client_that_leaves_after_its_body_has_written),
		cmocka_unit_test(a_reader_keeps_its_version),
		cmocka_unit_test(a_reader_may_leave_at_any_time),
		cmocka_unit_test(more_readers_than_memory_wait_or_are_told_to_come_back),
		cmocka_unit_test(readers_that_stand_still_keep_no_memory_from_others),
		cmocka_unit_test(memory_goes_round_among_readers),
		cmocka_unit_test(more_uploads_than_allowed_are_told_to_come_back),
		cmocka_unit_test(a_precondition_is_checked_before_a_large_body),
		cmocka_unit_test(a_body_that_no_frame_carries_is_only_announced),
		cmocka_unit_test(head_has_the_length_and_no_body),
		cmocka_unit_test(a_range_of_a_file_is_exactly_that),
		cmocka_unit_test(a_crowd_that_does_anything_gets_right_answers_and_leaves_nothing),
		cmocka_unit_test(every_answer_to_a_write_names_its_request),
		cmocka_unit_test(an_id_that_was_applied_is_repeated_whatever_comes_with_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

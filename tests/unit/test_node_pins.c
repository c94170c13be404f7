/* SPDX-License-Identifier: MIT */
/* Versions that stay readable at a node though they were replaced or deleted. */
#include "tests/unit/node_fixture.h"

#include "lib/object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIZE (3 * 1024 * 1024 + 321)

struct test {
	struct node_fixture node;
	uint8_t *value, *other;
	char token[PIN_TOKEN_BYTES_MAX + 1];
	char etag[ETAG_BYTES_MAX];
};

static uint8_t *make_value(uint32_t seed)
{
	uint8_t *value = malloc(SIZE);

	assert_non_null(value);
	for (size_t i = 0; i < SIZE; i++) {
		seed = seed * 1664525 + 1013904223;
		value[i] = (uint8_t)(seed >> 24);
	}
	return value;
}

static void put_old(struct test *test)
{
	struct client client;

	client_begin(&client, &test->node, METHOD_PUT, "/kv/0a", test->value, SIZE,
		     FIELD_CONTENT_TYPE, "image/png", FIELD_ENCODING, "raw", FIELD_MTIME, "77", 0);
	client_wait(&client);
	assert_int_equal(client.status, 201);
	client_finish(&client);
	client_deinit(&client);
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	assert_non_null(test);
	node_fixture_open(&test->node, 1);
	test->value = make_value(1);
	test->other = make_value(2);
	put_old(test);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	node_fixture_close(&test->node);
	free(test->value);
	free(test->other);
	free(test);
	return 0;
}

static void take_token(struct test *test, const struct client *client)
{
	assert_non_null(client_field(client, FIELD_PIN_TOKEN));
	assert_string_equal(client_field(client, FIELD_PIN), "60");
	snprintf(test->token, sizeof(test->token), "%s", client_field(client, FIELD_PIN_TOKEN));
	snprintf(test->etag, sizeof(test->etag), "%s", client_field(client, FIELD_ETAG));
}

static void pin_it(struct test *test, enum method method, const char *range)
{
	struct client client;

	if (range)
		client_begin(&client, &test->node, method, "/kv/0a", NULL, 0, FIELD_PIN, "60",
			     FIELD_RANGE, range, 0);
	else
		client_begin(&client, &test->node, method, "/kv/0a", NULL, 0, FIELD_PIN, "60", 0);
	client_wait(&client);
	assert_int_equal(client.status, range ? 206 : 200);
	take_token(test, &client);
	client_finish(&client);
	client_deinit(&client);
}

static void replace(struct test *test)
{
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/0a", test->other, SIZE), 204);
}

static void delete (struct test *test)
{
	assert_int_equal(client_ask(&test->node, METHOD_DELETE, "/kv/0a", NULL, 0), 204);
}

/* Bytes 1000000 to 2999999 of the pinned version, and all of its metadata. */
static void agree(struct test *test)
{
	struct client client;

	client_begin(&client, &test->node, METHOD_GET, "/kv/0a", NULL, 0, FIELD_PIN_TOKEN,
		     test->token, FIELD_IF_MATCH, test->etag, FIELD_RANGE, "bytes=1000000-2999999",
		     0);
	client_wait(&client);
	assert_int_equal(client.status, 206);
	assert_int_equal(client.result, 1);
	assert_int_equal(client.body.len, 2000000);
	assert_memory_equal(client.body.data, test->value + 1000000, 2000000);
	assert_string_equal(client_field(&client, FIELD_CONTENT_RANGE),
			    "bytes 1000000-2999999/3146049");
	assert_string_equal(client_field(&client, FIELD_SIZE), "3146049");
	assert_string_equal(client_field(&client, FIELD_ETAG), test->etag);
	assert_string_equal(client_field(&client, FIELD_CONTENT_TYPE), "image/png");
	assert_string_equal(client_field(&client, FIELD_ENCODING), "raw");
	assert_string_equal(client_field(&client, FIELD_MTIME), "77");
	assert_null(client_field(&client, FIELD_PIN_TOKEN));
	client_finish(&client);
	client_deinit(&client);
}

static unsigned status_with_token(struct test *test, enum method method, const char *path)
{
	unsigned status;
	struct client client;

	client_begin(&client, &test->node, method, path, NULL, 0, FIELD_PIN_TOKEN, test->token,
		     FIELD_PIN, "60", 0);
	client_wait(&client);
	status = client.status;
	client_finish(&client);
	client_deinit(&client);
	return status;
}

static void a_pinned_version_is_read_though_it_was_replaced_and_deleted(void **state)
{
	struct test *test = *state;

	pin_it(test, METHOD_GET, "bytes=0-65535");
	agree(test);
	replace(test);
	agree(test);
	delete (test);
	agree(test);
	assert_int_equal(client_ask(&test->node, METHOD_GET, "/kv/0a", NULL, 0), 404);
}

static void head_pins_and_renews_with_one_token(void **state)
{
	struct test *test = *state;
	char token[sizeof(test->token)];

	pin_it(test, METHOD_HEAD, NULL);
	strcpy(token, test->token);
	delete (test);
	assert_int_equal(status_with_token(test, METHOD_HEAD, "/kv/0a"), 200);
	agree(test);
	assert_string_equal(token, test->token);
	put_old(test);
	pin_it(test, METHOD_HEAD, NULL);
	assert_string_not_equal(token, test->token);
}

static void an_answer_that_says_not_modified_pins_too(void **state)
{
	struct test *test = *state;
	struct client client;

	pin_it(test, METHOD_HEAD, NULL);
	client_begin(&client, &test->node, METHOD_GET, "/kv/0a", NULL, 0, FIELD_PIN, "60",
		     FIELD_IF_NONE_MATCH, test->etag, 0);
	client_wait(&client);
	assert_int_equal(client.status, 304);
	take_token(test, &client);
	client_finish(&client);
	client_deinit(&client);
	replace(test);
	agree(test);
}

static void conditions_are_judged_on_the_version_that_the_token_names(void **state)
{
	struct test *test = *state;
	struct client client;

	pin_it(test, METHOD_HEAD, NULL);
	replace(test);
	client_begin(&client, &test->node, METHOD_GET, "/kv/0a", NULL, 0, FIELD_PIN_TOKEN,
		     test->token, FIELD_IF_NONE_MATCH, test->etag, 0);
	client_wait(&client);
	assert_int_equal(client.status, 304);
	client_finish(&client);
	client_deinit(&client);
	client_begin(&client, &test->node, METHOD_GET, "/kv/0a", NULL, 0, FIELD_PIN_TOKEN,
		     test->token, FIELD_IF_MATCH, "\"1-1\"", 0);
	client_wait(&client);
	assert_int_equal(client.status, 412);
	client_finish(&client);
	client_deinit(&client);
}

static void after_a_restart_a_token_is_still_good(void **state)
{
	struct test *test = *state;

	pin_it(test, METHOD_HEAD, NULL);
	delete (test);
	node_fixture_reopen(&test->node);
	agree(test);
	assert_int_equal(status_with_token(test, METHOD_HEAD, "/kv/0a"), 200);
	node_fixture_reopen(&test->node);
	agree(test);
}

static void a_version_with_other_metadata_shares_the_file_and_not_the_token(void **state)
{
	static const char patch[] = "{\"content_type\":\"text/html\",\"mtime_ns\":5}";
	struct test *test = *state;

	pin_it(test, METHOD_HEAD, NULL);
	assert_int_equal(client_ask(&test->node, METHOD_PATCH, "/kv/0a", patch, sizeof(patch) - 1),
			 204);
	agree(test);
	delete (test);
	agree(test);
}

static void small_values_have_no_pin(void **state)
{
	struct test *test = *state;
	struct client client;

	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/0b", "small", 5), 201);
	client_begin(&client, &test->node, METHOD_GET, "/kv/0b", NULL, 0, FIELD_PIN, "60", 0);
	client_wait(&client);
	assert_int_equal(client.status, 200);
	assert_null(client_field(&client, FIELD_PIN));
	assert_null(client_field(&client, FIELD_PIN_TOKEN));
	client_finish(&client);
	client_deinit(&client);
}

static void a_token_that_names_nothing_is_a_condition_that_failed(void **state)
{
	struct test *test = *state;
	size_t last;

	pin_it(test, METHOD_HEAD, NULL);
	/* Of another key. */
	assert_int_equal(client_ask(&test->node, METHOD_PUT, "/kv/0b", test->other, SIZE), 201);
	assert_int_equal(status_with_token(test, METHOD_GET, "/kv/0b"), 412);
	assert_int_equal(status_with_token(test, METHOD_GET, "/kv/0c"), 412);
	replace(test);
	last = strlen(test->token) - 1;
	test->token[last] = test->token[last] == '0' ? '1' : '0';
	assert_int_equal(status_with_token(test, METHOD_GET, "/kv/0a"), 412);
	strcpy(test->token, "1-1.");
	assert_int_equal(status_with_token(test, METHOD_HEAD, "/kv/0a"), 412);
	strcpy(test->token, "1-1.000");
	assert_int_equal(status_with_token(test, METHOD_GET, "/kv/0a"), 412);
}

static void the_current_version_needs_no_pin_to_be_read_by_its_token(void **state)
{
	struct test *test = *state;

	pin_it(test, METHOD_HEAD, NULL);
	/* As of a node that knows nothing but the version. */
	strcpy(strchr(test->token, '.') + 1, "00");
	agree(test);
	replace(test);
	assert_int_equal(status_with_token(test, METHOD_GET, "/kv/0a"), 412);
}

static void many_values_are_pinned_at_once(void **state)
{
	enum { COUNT = 50, PART = 100000 };
	struct test *test = *state;
	char tokens[COUNT][1024], path[16];
	struct client client;

	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "/kv/0100%02x", i);
		client_ask(&test->node, METHOD_PUT, path, test->value + i, PART);
		client_begin(&client, &test->node, METHOD_HEAD, path, NULL, 0, FIELD_PIN, "60", 0);
		client_wait(&client);
		snprintf(tokens[i], sizeof(tokens[i]), "%s",
			 client_field(&client, FIELD_PIN_TOKEN));
		client_finish(&client);
		client_deinit(&client);
		assert_int_equal(client_ask(&test->node, METHOD_DELETE, path, NULL, 0), 204);
	}
	node_fixture_reopen(&test->node);
	for (int i = 0; i < COUNT; i++) {
		snprintf(path, sizeof(path), "/kv/0100%02x", i);
		client_begin(&client, &test->node, METHOD_GET, path, NULL, 0, FIELD_PIN_TOKEN,
			     tokens[i], 0);
		client_wait(&client);
		assert_int_equal(client.status, 200);
		assert_int_equal(client.body.len, PART);
		assert_memory_equal(client.body.data, test->value + i, PART);
		client_finish(&client);
		client_deinit(&client);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pinned_version_is_read_though_it_was_replaced_and_deleted),
		TEST(head_pins_and_renews_with_one_token),
		TEST(an_answer_that_says_not_modified_pins_too),
		TEST(conditions_are_judged_on_the_version_that_the_token_names),
		TEST(after_a_restart_a_token_is_still_good),
		TEST(a_version_with_other_metadata_shares_the_file_and_not_the_token),
		TEST(small_values_have_no_pin),
		TEST(a_token_that_names_nothing_is_a_condition_that_failed),
		TEST(the_current_version_needs_no_pin_to_be_read_by_its_token),
		TEST(many_values_are_pinned_at_once),
	};

	return cmocka_run_group_tests_name("node_pins", tests, NULL, NULL);
}

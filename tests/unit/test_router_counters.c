/* SPDX-License-Identifier: MIT */
#include "router/counters.h"
#include "router/leaders.h"
#include "router/router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cluster_node nodes[] = { { .name = (char *)"a", .index = 1 },
				       { .name = (char *)"b", .index = 2 } };
static struct cluster_shard shards[] = { { .nodes = &nodes[0], .node_count = 1 },
					 { .nodes = &nodes[1], .node_count = 1 } };
static struct cluster two_nodes = { .shards = shards, .shard_count = 2 };

static int setup(void **state)
{
	struct router *router = calloc(1, sizeof(*router));

	if (!router)
		return -1;
	router->cluster = &two_nodes;
	router->node_count = 2;
	router->leaders = leaders_new(&two_nodes);
	*state = router;
	return router->leaders ? counters_init(&router->counters, 2) : -1;
}

static int teardown(void **state)
{
	struct router *router = *state;

	counters_deinit(&router->counters);
	leaders_free(router->leaders);
	free(router);
	return 0;
}

static void print(struct router *router, struct buf *text)
{
	buf_clear(text);
	assert_true(counters_print(router, text) >= 0);
	assert_int_equal(buf_append_u8(text, 0), 0);
}

static bool has_line(const struct buf *text, const char *line)
{
	const char *at = (const char *)text->data;
	size_t len = strlen(line);

	while ((at = strstr(at, line))) {
		if (at[len] == '\n' && (at == (const char *)text->data || at[-1] == '\n'))
			return true;
		at += len;
	}
	return false;
}

static void requests_are_counted_by_door_and_method(void **state)
{
	struct router *router = *state;
	struct buf text = { 0 };

	counters_request(&router->counters, DOOR_OBJECT, METHOD_GET);
	counters_request(&router->counters, DOOR_OBJECT, METHOD_GET);
	counters_request(&router->counters, DOOR_JSON, METHOD_POST);
	print(router, &text);
	assert_true(
		has_line(&text, "hexkv_router_requests_total{door=\"object\",method=\"GET\"} 2"));
	assert_true(
		has_line(&text, "hexkv_router_requests_total{door=\"json\",method=\"POST\"} 1"));
	assert_null(strstr((char *)text.data, "door=\"keys\""));
	buf_deinit(&text);
}

static void a_method_beyond_those_known_is_counted_as_other(void **state)
{
	struct router *router = *state;
	struct buf text = { 0 };

	counters_request(&router->counters, DOOR_NONE, (enum method)(METHOD_POST + 1));
	print(router, &text);
	assert_true(
		has_line(&text, "hexkv_router_requests_total{door=\"none\",method=\"other\"} 1"));
	buf_deinit(&text);
}

static void each_node_has_its_own_results(void **state)
{
	struct router *router = *state;
	struct buf text = { 0 };

	counter_add(&router->counters.nodes[0].answered, 3);
	counter_add(&router->counters.nodes[1].timed_out, 1);
	print(router, &text);
	assert_true(has_line(&text,
			     "hexkv_router_node_requests_total{node=\"a\",result=\"answered\"} 3"));
	assert_true(has_line(&text,
			     "hexkv_router_node_requests_total{node=\"b\",result=\"answered\"} 0"));
	assert_true(has_line(
		&text, "hexkv_router_node_requests_total{node=\"b\",result=\"timed-out\"} 1"));
	buf_deinit(&text);
}

static void the_text_is_whole_before_anything_was_counted(void **state)
{
	struct router *router = *state;
	struct buf text = { 0 };

	print(router, &text);
	assert_true(has_line(&text, "hexkv_router_json_bytes 0"));
	assert_true(has_line(&text, "hexkv_router_moves_across_total 0"));
	assert_true(has_line(&text, "hexkv_router_node_seconds_count 0"));
	buf_deinit(&text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_are_counted_by_door_and_method),
		TEST(a_method_beyond_those_known_is_counted_as_other),
		TEST(each_node_has_its_own_results),
		TEST(the_text_is_whole_before_anything_was_counted),
	};

	return cmocka_run_group_tests_name("router_counters", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/exchange.h"
#include "lib/target.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_target(const char *target, int result, const char *path, const char *query)
{
	char out[256];
	const char *rest;

	assert_int_equal(target_parse(target, out, &rest), result);
	if (result == 0) {
		assert_string_equal(out, path);
		assert_string_equal(rest, query);
	}
}

static void targets_are_split_and_decoded(void **state)
{
	(void)state;
	expect_target("/", 0, "/", "");
	expect_target("/kv/00FF?a=b?c", 0, "/kv/00FF", "a=b?c");
	expect_target("/%2e%2E/x%25", 0, "/../x%", "");
	expect_target("http://host:80/kv/00?x", 0, "/kv/00", "x");
	expect_target("HTTP://host", 0, "/", "");
	expect_target("http://host?x", 0, "/", "x");
	expect_target("*", 0, "*", "");
	expect_target("", -EINVAL, NULL, NULL);
	expect_target("kv", -EINVAL, NULL, NULL);
	expect_target("/a%", -EINVAL, NULL, NULL);
	expect_target("/a%4", -EINVAL, NULL, NULL);
	expect_target("/a%g0", -EINVAL, NULL, NULL);
	expect_target("/a%00b", -EINVAL, NULL, NULL);
}

static void a_target_that_is_refused_has_no_path(void **state)
{
	char path[] = "xxxxxxxxxxxxxxxx";
	const char *query;

	(void)state;
	assert_int_equal(target_parse("/ab%zz?c=d", path, &query), -EINVAL);
	assert_string_equal(path, "");
	assert_string_equal(query, "c=d");
}

static void query_parameters_are_found_and_decoded(void **state)
{
	struct exchange ex = { .query = "limit=10&cursor=%30%31&empty=&flag&bad=%4&limit=20" };
	char value[8];

	(void)state;
	assert_int_equal(exchange_query(&ex, "limit", value, sizeof(value)), 1);
	assert_string_equal(value, "10");
	assert_int_equal(exchange_query(&ex, "cursor", value, sizeof(value)), 1);
	assert_string_equal(value, "01");
	assert_int_equal(exchange_query(&ex, "empty", value, sizeof(value)), 1);
	assert_string_equal(value, "");
	assert_int_equal(exchange_query(&ex, "flag", value, sizeof(value)), 1);
	assert_string_equal(value, "");
	assert_int_equal(exchange_query(&ex, "bad", value, sizeof(value)), -EINVAL);
	assert_int_equal(exchange_query(&ex, "limi", value, sizeof(value)), 0);
	assert_int_equal(exchange_query(&ex, "cursor", value, 2), -EINVAL);
	ex.query = "";
	assert_int_equal(exchange_query(&ex, "limit", value, sizeof(value)), 0);
}

static void method_names_are_case_sensitive(void **state)
{
	(void)state;
	for (enum method method = METHOD_GET; method <= METHOD_POST; method++)
		assert_int_equal(method_from_name(method_name(method)), method);
	assert_int_equal(method_from_name("get"), METHOD_OTHER);
	assert_int_equal(method_from_name(""), METHOD_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_split_and_decoded),
		cmocka_unit_test(a_target_that_is_refused_has_no_path),
		cmocka_unit_test(query_parameters_are_found_and_decoded),
		cmocka_unit_test(method_names_are_case_sensitive),
	};

	return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
#include "lib/precondition.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ABSENT    "absent"
#define DATE_SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define DATE_PAST "Sun, 06 Nov 1994 08:49:36 GMT"
#define DATE_NEXT "Sun, 06 Nov 1994 08:49:38 GMT"

/* The record at hand: version 1-2, modified half a second after DATE_SAME. */
static const struct record_meta current = {
	.version = { 1, 2 },
	.mtime_ns = 784111777500000000,
};

struct conditions {
	const char *if_match, *if_none_match, *if_unmodified_since, *if_modified_since;
};

static void set(struct fields *fields, enum field field, const char *value)
{
	if (value)
		assert_int_equal(fields_set(fields, field, value, strlen(value)), 0);
}

static int parse(const struct conditions *conditions, struct precondition *ret_pre)
{
	struct fields fields = { 0 };
	const char *why = NULL;
	int r;

	set(&fields, FIELD_IF_MATCH, conditions->if_match);
	set(&fields, FIELD_IF_NONE_MATCH, conditions->if_none_match);
	set(&fields, FIELD_IF_UNMODIFIED_SINCE, conditions->if_unmodified_since);
	set(&fields, FIELD_IF_MODIFIED_SINCE, conditions->if_modified_since);
	r = precondition_parse(&fields, ret_pre, &why);
	assert_int_equal(r < 0, why != NULL);
	fields_deinit(&fields);
	return r;
}

static void conditions_are_judged_in_the_order_of_the_rfc(void **state)
{
	enum { go = OUTCOME_OK, same = OUTCOME_NOT_MODIFIED, fail = OUTCOME_PRECONDITION_FAILED };
	/* What a read gets, a write, and a write where there is no record. */
	static const struct {
		struct conditions conditions;
		int read, write, create;
	} table[] = {
		{ { 0 }, go, go, go },
		{ { .if_match = "*" }, go, go, fail },
		{ { .if_match = "\"1-2\"" }, go, go, fail },
		{ { .if_match = "\"1-3\"" }, fail, fail, fail },
		{ { .if_match = "W/\"1-2\"" }, fail, fail, fail },
		{ { .if_match = "\"foreign\"" }, fail, fail, fail },
		{ { .if_match = "\"1-3\", \"1-2\"" }, go, go, fail },
		{ { .if_match = ",, \"a,b\" ,\t\"1-2\" ,," }, go, go, fail },
		{ { .if_none_match = "*" }, same, fail, go },
		{ { .if_none_match = " * " }, same, fail, go },
		{ { .if_none_match = "\"1-2\"" }, same, fail, go },
		{ { .if_none_match = "W/\"1-2\"" }, same, fail, go },
		{ { .if_none_match = "\"1-3\"" }, go, go, go },
		{ { .if_none_match = "\"*\"" }, go, go, go },
		{ { .if_none_match = "\"x\",W/\"1-2\"" }, same, fail, go },
		/* Tags come before dates, and hide them. */
		{ { .if_match = "\"1-2\"", .if_unmodified_since = DATE_PAST }, go, go, fail },
		{ { .if_match = "\"1-3\"", .if_unmodified_since = DATE_NEXT }, fail, fail, fail },
		{ { .if_none_match = "\"1-3\"", .if_modified_since = DATE_NEXT }, go, go, go },
		{ { .if_none_match = "\"1-2\"", .if_modified_since = DATE_PAST }, same, fail, go },
		/* Both kinds: If-Match first, then If-None-Match. */
		{ { .if_match = "\"1-2\"", .if_none_match = "\"1-2\"" }, same, fail, fail },
		{ { .if_match = "\"1-3\"", .if_none_match = "\"1-2\"" }, fail, fail, fail },
		/* Dates alone, against whole seconds. */
		{ { .if_unmodified_since = DATE_SAME }, go, go, go },
		{ { .if_unmodified_since = DATE_NEXT }, go, go, go },
		{ { .if_unmodified_since = DATE_PAST }, fail, fail, go },
		{ { .if_modified_since = DATE_SAME }, same, go, go },
		{ { .if_modified_since = DATE_NEXT }, same, go, go },
		{ { .if_modified_since = DATE_PAST }, go, go, go },
		{ { .if_unmodified_since = DATE_NEXT, .if_none_match = "\"1-2\"" },
		  same,
		  fail,
		  go },
		{ { .if_unmodified_since = DATE_PAST, .if_none_match = "\"1-2\"" },
		  fail,
		  fail,
		  go },
		/* A date that is none says nothing. */
		{ { .if_unmodified_since = "yesterday" }, go, go, go },
		{ { .if_unmodified_since = "" }, go, go, go },
		{ { .if_modified_since = "784111778" }, go, go, go },
		{ { .if_unmodified_since = DATE_PAST ", " DATE_PAST }, go, go, go },
		/* The obsolete forms are dates too. */
		{ { .if_unmodified_since = "Sunday, 06-Nov-94 08:49:36 GMT" }, fail, fail, go },
		{ { .if_modified_since = "Sun Nov  6 08:49:37 1994" }, same, go, go },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct precondition pre;

		assert_int_equal(parse(&table[i].conditions, &pre), 0);
		if ((int)precondition_evaluate(&pre, &current, true) != table[i].read ||
		    (int)precondition_evaluate(&pre, &current, false) != table[i].write ||
		    (int)precondition_evaluate(&pre, NULL, false) != table[i].create)
			fail_msg("row %zu", i);
		/* Its 404 stands before every condition. */
		assert_int_equal(precondition_evaluate(&pre, NULL, true), OUTCOME_OK);
	}
}

static void malformed_tags_are_refused(void **state)
{
	const char *const bad[] = { "",           ",",          " ",           "1-2",
				    "\"1-2",      "1-2\"",      "\"a\" \"b\"", "\"a\";\"b\"",
				    "*, \"1-2\"", "\"1-2\", *", "**",          "w/\"1-2\"",
				    "W/1-2",      "W/",         "\"a b\"",     "\"a\"b",
				    "W/ \"1-2\"", "'1-2'" };
	struct precondition pre;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (parse(&(struct conditions){ .if_match = bad[i] }, &pre) != -EINVAL ||
		    parse(&(struct conditions){ .if_none_match = bad[i] }, &pre) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void only_sixteen_tags_of_ours_fit(void **state)
{
	struct buf list = { 0 };
	struct precondition pre;

	(void)state;
	/* Foreign tags can't match and take no room. */
	for (int i = 0; i < 100; i++)
		buf_printf(&list, "\"foreign%d\", ", i);
	for (int i = 0; i < 16; i++)
		buf_printf(&list, "\"7-%d\", ", i % 10);
	buf_append_u8(&list, 0);
	assert_int_equal(parse(&(struct conditions){ .if_match = (char *)list.data }, &pre), 0);
	assert_int_equal(pre.match_count, 16);
	list.len--;
	buf_printf(&list, "\"7-1\"");
	buf_append_u8(&list, 0);
	assert_int_equal(parse(&(struct conditions){ .if_match = (char *)list.data }, &pre),
			 -EINVAL);
	buf_deinit(&list);
}

static void emptiness_is_seen(void **state)
{
	struct precondition pre;

	(void)state;
	parse(&(struct conditions){ 0 }, &pre);
	assert_true(precondition_is_empty(&pre));
	parse(&(struct conditions){ .if_none_match = "*" }, &pre);
	assert_false(precondition_is_empty(&pre));
	parse(&(struct conditions){ .if_modified_since = DATE_SAME }, &pre);
	assert_false(precondition_is_empty(&pre));
}

static void seconds_are_rounded_down_before_1970_too(void **state)
{
	struct record_meta meta = { .mtime_ns = -1 };

	(void)state;
	assert_int_equal(record_modified_s(&meta), -1);
	meta.mtime_ns = -1000000000;
	assert_int_equal(record_modified_s(&meta), -1);
	meta.mtime_ns = 1999999999;
	assert_int_equal(record_modified_s(&meta), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_are_judged_in_the_order_of_the_rfc),
		cmocka_unit_test(malformed_tags_are_refused),
		cmocka_unit_test(only_sixteen_tags_of_ours_fit),
		cmocka_unit_test(emptiness_is_seen),
		cmocka_unit_test(seconds_are_rounded_down_before_1970_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

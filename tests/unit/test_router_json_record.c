/* SPDX-License-Identifier: MIT */
#include "router/json_plain.h"
#include "router/json_record.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOOD "{\"key\":\"00ff\",\"content_type\":\"text/plain\",\"encoding\":\"utf-8\",\"value\":"

static int parse(const char *text, size_t len, struct json_record *ret_record, char *ret_why)
{
	/* Exactly as long as it is: a reader past the end is seen by the sanitizer. */
	char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, text, len);
	r = json_record_parse(copy, len, ret_record, ret_why);
	free(copy);
	return r;
}

static void a_record_is_read_with_all_its_members(void **state)
{
	static const char text[] = GOOD "\"h\\u00e9llo\"}";
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	assert_int_equal(parse(text, strlen(text), &record, why), 0);
	assert_int_equal(record.key.len, 2);
	assert_memory_equal(record.key.bytes, "\x00\xff", 2);
	assert_string_equal(record.content_type.text, "text/plain");
	assert_string_equal(record.encoding.text, "utf-8");
	assert_int_equal(record.value_len, 6);
	assert_memory_equal(record.value, "h\xc3\xa9llo", 6);
	json_record_deinit(&record);
}

static void a_nul_in_a_value_is_kept(void **state)
{
	static const char text[] = GOOD "\"a\\u0000b\"}";
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	assert_int_equal(parse(text, strlen(text), &record, why), 0);
	assert_int_equal(record.value_len, 3);
	assert_memory_equal(record.value, "a\0b", 3);
	json_record_deinit(&record);
}

static void an_empty_value_is_a_value(void **state)
{
	static const char *const texts[] = { GOOD "\"\"}", GOOD "\"\",\"value_base64\":true}" };
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(parse(texts[i], strlen(texts[i]), &record, why), 0);
		assert_int_equal(record.value_len, 0);
		json_record_deinit(&record);
	}
}

static void the_flag_makes_a_value_base64_and_false_does_not(void **state)
{
	static const char flagged[] = GOOD "\"AP8=\",\"value_base64\":true}";
	static const char plain[] = GOOD "\"AP8=\",\"value_base64\":false}";
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	assert_int_equal(parse(flagged, strlen(flagged), &record, why), 0);
	assert_int_equal(record.value_len, 2);
	assert_memory_equal(record.value, "\x00\xff", 2);
	json_record_deinit(&record);
	assert_int_equal(parse(plain, strlen(plain), &record, why), 0);
	assert_int_equal(record.value_len, 4);
	json_record_deinit(&record);
}

/* The same body with a member more is not read plainly. */
static void read_whole(const char *text, struct json_record *ret_record)
{
	static const char more[] = ",\"value_base64\":false}";
	char longer[512], why[JSON_WHY_MAX];
	size_t len = (size_t)(strrchr(text, '}') - text);

	memcpy(longer, text, len);
	memcpy(longer + len, more, sizeof(more));
	assert_int_equal(parse(longer, strlen(longer), ret_record, why), 0);
	assert_non_null(ret_record->json);
}

static void what_is_read_plainly_reads_the_same_as_a_whole(void **state)
{
	static const char *const texts[] = {
		GOOD "\"hello\"}",
		GOOD "\"\"}",
		GOOD "\"h\xc3\xa9llo \x7f/ that is longer than eight bytes\"}",
		(" {\t\"value\" :\r\n\"x\", "
		 "\"encoding\":\"b\",\"key\":\"00FF\",\"content_type\":\"a\"}\n "),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_record plain, whole;

		assert_int_equal(json_plain_parse(texts[i], strlen(texts[i]), &plain), 1);
		read_whole(texts[i], &whole);
		assert_int_equal(key_compare(&plain.key, &whole.key), 0);
		assert_string_equal(plain.content_type.text, whole.content_type.text);
		assert_string_equal(plain.encoding.text, whole.encoding.text);
		assert_int_equal(plain.value_len, whole.value_len);
		assert_memory_equal(plain.value, whole.value, whole.value_len);
		json_record_deinit(&plain);
		json_record_deinit(&whole);
	}
}

static void what_is_unusual_or_wrong_is_not_read_plainly(void **state)
{
	static const char *const texts[] = {
		"",
		"{",
		GOOD "\"a\\nb\"}",
		GOOD "\"a\nb\"}",
		GOOD "\"\xff\"}",
		GOOD "\"x\"",
		GOOD "\"x",
		GOOD "\"x\",}",
		GOOD "\"x\"}}",
		GOOD "1}",
		GOOD "\"x\",\"value_base64\":false}",
		"{\"key\":\"00ff\",\"key\":\"00ff\",\"encoding\":\"b\",\"value\":\"\"}",
		"{\"key\":\"00f\",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"\"}",
		"{\"key\":\"00ff\",\"content_type\":\"\",\"encoding\":\"b\",\"value\":\"\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct json_record record;

		assert_int_equal(json_plain_parse(texts[i], strlen(texts[i]), &record), 0);
	}
}

static void a_string_is_plain_up_to_the_first_byte_that_is_not(void **state)
{
	(void)state;
	for (unsigned byte = 0; byte < 256; byte++) {
		bool plain = byte >= 0x20 && byte != '"' && byte != '\\';

		for (size_t at = 0; at < 20; at++) {
			uint8_t text[20];

			memset(text, 'x', sizeof(text));
			text[at] = (uint8_t)byte;
			assert_int_equal(json_plain_length(text, sizeof(text)),
					 plain ? sizeof(text) : at);
			assert_int_equal(json_plain_length(text, at), at);
		}
	}
}

static void a_bad_body_is_refused_with_a_sentence_that_names_the_fault(void **state)
{
#define REST ",\"content_type\":\"a\",\"encoding\":\"b\",\"value\":\"c\"}"
	static const struct {
		const char *body;
		const char *says;
	} table[] = {
		{ "", "too early" },
		{ " ", "too early" },
		{ "{", "too early" },
		{ "nonsense", "not JSON" },
		{ "[]", "not an object" },
		{ "\"00ff\"", "not JSON" },
		{ GOOD "\"x\"} trailing", "not JSON" },
		{ GOOD "\"x\",}", "not JSON" },
		{ GOOD "\"x\ny\"}", "not JSON" },
		{ GOOD "\"\xff\"}", "not UTF-8" },
		{ GOOD "\"\\ud800\"}", "not JSON" },
		{ GOOD "\"x\",\"value\":\"y\"}", "twice" },
		{ GOOD "\"x\",\"key\":\"00ff\"}", "twice" },
		{ GOOD "\"x\",\"other\":1}", "unknown member \"other\"" },
		{ GOOD "\"x\",\"Value\":\"y\"}", "unknown member \"Value\"" },
		{ GOOD "\"x\",\"a\\u0000b\":\"y\"}", "NUL" },
		{ "{}", "\"key\" is missing" },
		{ "{\"key\":\"00\"}", "\"content_type\" is missing" },
		{ "{\"key\":\"00\",\"content_type\":\"a\",\"value\":\"c\"}",
		  "\"encoding\" is missing" },
		{ "{\"key\":\"00\",\"content_type\":\"a\",\"encoding\":\"b\"}",
		  "\"value\" is missing" },
		{ GOOD "1}", "\"value\" is not a string" },
		{ GOOD "null}", "\"value\" is not a string" },
		{ GOOD "{}}", "\"value\" is not a string" },
		{ "{\"key\":255" REST, "\"key\" is not a string" },
		{ "{\"key\":\"\"" REST, "pairs of hex digits" },
		{ "{\"key\":\"0\"" REST, "pairs of hex digits" },
		{ "{\"key\":\"0g\"" REST, "pairs of hex digits" },
		{ "{\"key\":\"00\\u0000\\u0000\"" REST, "pairs of hex digits" },
		{ "{\"key\":\"00\",\"content_type\":\"\",\"encoding\":\"b\",\"value\":\"\"}",
		  "\"content_type\" must be" },
		{ "{\"key\":\"00\",\"content_type\":\" a\",\"encoding\":\"b\",\"value\":\"\"}",
		  "\"content_type\" must be" },
		{ "{\"key\":\"00\",\"content_type\":\"a\",\"encoding\":\"b\\n\",\"value\":\"\"}",
		  "\"encoding\" must be" },
		{ "{\"key\":\"00\",\"content_type\":\"a\",\"encoding\":\"b\\u0000c\",\"value\":"
		  "\"\"}",
		  "\"encoding\" must be" },
		{ GOOD "\"AP8\",\"value_base64\":true}", "not base64" },
		{ GOOD "\"AP9=\",\"value_base64\":true}", "not base64" },
		{ GOOD "\"AP 8=\",\"value_base64\":true}", "not base64" },
		{ GOOD "\"x\",\"value_base64\":\"true\"}", "neither true nor false" },
		{ GOOD "\"x\",\"value_base64\":null}", "neither true nor false" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct json_record record;
		char why[JSON_WHY_MAX] = "";

		if (parse(table[i].body, strlen(table[i].body), &record, why) != -EINVAL)
			fail_msg("taken: %s", table[i].body);
		if (!strstr(why, table[i].says))
			fail_msg("%s: says \"%s\", not \"%s\"", table[i].body, why, table[i].says);
	}
}

static void a_key_of_128_bytes_is_refused_and_one_of_127_is_not(void **state)
{
	char text[600];
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	for (int bytes = 127; bytes <= 128; bytes++) {
		snprintf(text, sizeof(text), "{\"key\":\"%0*d\"" REST, 2 * bytes, 0);
		assert_int_equal(parse(text, strlen(text), &record, why),
				 bytes == 127 ? 0 : -EINVAL);
		if (bytes == 127)
			json_record_deinit(&record);
	}
}

static void a_text_that_would_become_millions_of_values_is_refused(void **state)
{
	static char text[200000];
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	memset(text, '[', sizeof(text));
	assert_int_equal(parse(text, sizeof(text), &record, why), -EINVAL);
	for (size_t i = 1; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "0,", 2);
	assert_int_equal(parse(text, sizeof(text), &record, why), -EINVAL);
	assert_non_null(strstr(why, "more than one record"));
}

static void commas_and_braces_inside_a_value_are_not_counted(void **state)
{
	static const char piece[] = "\\\",[{\\\\";
	static char text[100000] = GOOD "\"";
	struct json_record record;
	char why[JSON_WHY_MAX];

	(void)state;
	for (int i = 0; i < 1000; i++)
		strcat(text, piece);
	strcat(text, "\"}");
	assert_int_equal(parse(text, strlen(text), &record, why), 0);
	assert_int_equal(record.value_len, 5000);
	assert_memory_equal(record.value, "\",[{\\", 5);
	json_record_deinit(&record);
}

static char *print(const void *value, size_t len, size_t max, int *ret_result)
{
	const struct key key = { .len = 2, .bytes = { 0x00, 0xff } };
	struct buf out = { 0 };

	*ret_result = json_record_print(&key, "text/plain", "utf-8", value, len, max, &out);
	if (*ret_result == 0)
		buf_append_u8(&out, 0);
	else
		assert_int_equal(out.len, 0);
	if (*ret_result < 0)
		buf_deinit(&out);
	return (char *)out.data;
}

static void expect_print(const void *value, size_t len, const char *expected)
{
	int r;
	char *text = print(value, len, SIZE_MAX, &r);

	assert_int_equal(r, 0);
	assert_string_equal(text, expected);
	free(text);
}

#define SHAPE "{\"00ff\":{\"content_type\":\"text/plain\",\"encoding\":\"utf-8\",\"value\":"

static void text_is_printed_as_it_is(void **state)
{
	(void)state;
	expect_print("hello", 5, SHAPE "\"hello\"}}\n");
	expect_print(NULL, 0, SHAPE "\"\"}}\n");
	expect_print("h\xc3\xa9 \xf0\x9f\x98\x80 /", 9,
		     SHAPE "\"h\xc3\xa9 \xf0\x9f\x98\x80 \"}}\n");
	expect_print("a\0b\"\\\n", 6, SHAPE "\"a\\u0000b\\\"\\\\\\n\"}}\n");
	/* What looks like base64 is text all the same. */
	expect_print("AP8=", 4, SHAPE "\"AP8=\"}}\n");
}

static void bytes_that_are_not_utf8_are_printed_as_base64_with_the_flag(void **state)
{
	(void)state;
	expect_print("\x00\xff", 2, SHAPE "\"AP8=\",\"value_base64\":true}}\n");
	expect_print("\xed\xa0\x80", 3, SHAPE "\"7aCA\",\"value_base64\":true}}\n");
	expect_print("h\xc3", 2, SHAPE "\"aMM=\",\"value_base64\":true}}\n");
}

static void what_was_printed_is_read_back_the_same(void **state)
{
	uint8_t value[256];

	(void)state;
	for (unsigned i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)i;
	for (size_t len = 0; len <= sizeof(value); len++) {
		int r;
		char *text = print(value, len, SIZE_MAX, &r);
		json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
		json_t *inner = json_object_get(json, "00ff");
		bool flagged = json_is_true(json_object_get(inner, "value_base64"));
		char *again;
		struct json_record record;
		char why[JSON_WHY_MAX];

		assert_int_equal(flagged, len > 0x80);
		json_object_set_new(inner, "key", json_string("00ff"));
		again = json_dumps(inner, 0);
		assert_int_equal(parse(again, strlen(again), &record, why), 0);
		assert_int_equal(record.value_len, len);
		if (len > 0)
			assert_memory_equal(record.value, value, len);
		json_record_deinit(&record);
		json_decref(json);
		free(again);
		free(text);
	}
}

static void a_text_over_the_bound_is_not_printed(void **state)
{
	size_t whole = strlen(SHAPE "\"hello\"}}\n");
	int r;

	(void)state;
	free(print("hello", 5, whole, &r));
	assert_int_equal(r, 0);
	free(print("hello", 5, whole - 1, &r));
	assert_int_equal(r, -EMSGSIZE);
	free(print("\x01\x01\x01", 3, whole, &r));
	assert_int_equal(r, -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_read_with_all_its_members),
		cmocka_unit_test(a_nul_in_a_value_is_kept),
		cmocka_unit_test(an_empty_value_is_a_value),
		cmocka_unit_test(the_flag_makes_a_value_base64_and_false_does_not),
		cmocka_unit_test(what_is_read_plainly_reads_the_same_as_a_whole),
		cmocka_unit_test(what_is_unusual_or_wrong_is_not_read_plainly),
		cmocka_unit_test(a_string_is_plain_up_to_the_first_byte_that_is_not),
		cmocka_unit_test(a_bad_body_is_refused_with_a_sentence_that_names_the_fault),
		cmocka_unit_test(a_key_of_128_bytes_is_refused_and_one_of_127_is_not),
		cmocka_unit_test(a_text_that_would_become_millions_of_values_is_refused),
		cmocka_unit_test(commas_and_braces_inside_a_value_are_not_counted),
		cmocka_unit_test(text_is_printed_as_it_is),
		cmocka_unit_test(bytes_that_are_not_utf8_are_printed_as_base64_with_the_flag),
		cmocka_unit_test(what_was_printed_is_read_back_the_same),
		cmocka_unit_test(a_text_over_the_bound_is_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

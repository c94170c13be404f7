/* SPDX-License-Identifier: MIT */
#include "lib/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A transport that keeps the answer. */
static struct answer kept;

static void keep(struct exchange *ex, struct answer *answer)
{
	(void)ex;
	kept = *answer;
	*answer = (struct answer){ 0 };
}

static const struct exchange_transport transport = { .respond = keep };

static struct exchange exchange_of(const char *request_id)
{
	struct exchange ex = { .transport = &transport, .references = 1 };

	if (request_id)
		fields_set(&ex.request, FIELD_REQUEST_ID, request_id, strlen(request_id));
	return ex;
}

static const char *body(void)
{
	buf_append_u8(&kept.bytes, 0);
	kept.bytes.len--;
	return (const char *)kept.bytes.data;
}

static void done(struct exchange *ex)
{
	answer_deinit(&kept);
	kept = (struct answer){ 0 };
	fields_deinit(&ex->request);
}

static void a_problem_has_its_members(void **state)
{
	struct exchange ex = exchange_of("00112233445566778899aabbccddeeff");

	(void)state;
	reply_problem(&ex, OUTCOME_NOT_FOUND, "there is no record %s", "00ff");
	assert_int_equal(kept.status, 404);
	assert_string_equal(fields_get(&kept.fields, FIELD_CONTENT_TYPE, NULL),
			    "application/problem+json");
	assert_string_equal(body(),
			    "{\"type\":\"urn:hexkv:problem:not-found\",\"title\":\"Not found\","
			    "\"status\":404,\"detail\":\"there is no record 00ff\","
			    "\"request_id\":\"00112233445566778899aabbccddeeff\","
			    "\"retryable\":false,\"outcome\":\"not-applied\"}\n");
	assert_null(fields_get(&kept.fields, FIELD_RETRY_AFTER, NULL));
	done(&ex);
}

static void what_may_be_retried_says_when(void **state)
{
	struct exchange ex = exchange_of(NULL);

	(void)state;
	reply_problem_unknown(&ex, OUTCOME_UNAVAILABLE, "%s", "draining");
	assert_int_equal(kept.status, 503);
	assert_string_equal(fields_get(&kept.fields, FIELD_RETRY_AFTER, NULL), "1");
	assert_non_null(strstr(body(), "\"retryable\":true,\"outcome\":\"unknown\""));
	/* Without one of the client's, the answer names one of its own. */
	assert_int_equal(strspn(strstr(body(), "\"request_id\":\"") + 14, "0123456789abcdef"), 32);
	done(&ex);
	ex = exchange_of(NULL);
	reply_problem(&ex, OUTCOME_UNAUTHENTICATED, "%s", "show a token");
	assert_string_equal(fields_get(&kept.fields, FIELD_WWW_AUTHENTICATE, NULL), "Bearer");
	done(&ex);
}

static void hostile_bytes_in_a_detail_stay_json(void **state)
{
	struct exchange ex = exchange_of("\xff\xfe");
	json_t *json;

	(void)state;
	reply_problem(&ex, OUTCOME_BAD_REQUEST, "'%s' is not a key", "\xff\x01\"\\");
	json = json_loads(body(), 0, NULL);
	assert_non_null(json);
	assert_string_equal(json_string_value(json_object_get(json, "detail")),
			    "'?"
			    "?\"\\' is not a key");
	json_decref(json);
	done(&ex);
}

static void json_and_text_have_their_types(void **state)
{
	struct exchange ex = exchange_of(NULL);
	struct buf text = { 0 };

	(void)state;
	reply_json(&ex, OUTCOME_CREATED, json_pack("{s:i}", "a", 1));
	assert_int_equal(kept.status, 201);
	assert_string_equal(body(), "{\"a\":1}\n");
	assert_string_equal(fields_get(&kept.fields, FIELD_CONTENT_TYPE, NULL), "application/json");
	done(&ex);
	ex = exchange_of(NULL);
	reply_json(&ex, OUTCOME_OK, NULL);
	assert_int_equal(kept.status, 503);
	done(&ex);
	ex = exchange_of(NULL);
	buf_append_str(&text, "live\n");
	reply_text(&ex, OUTCOME_OK, "text/plain", &text);
	assert_int_equal(text.len, 0);
	assert_string_equal(body(), "live\n");
	done(&ex);
}

static void a_wrong_method_is_told_the_right_ones(void **state)
{
	struct exchange ex = exchange_of(NULL);

	(void)state;
	reply_method_not_allowed(&ex, "PUT, POST", "use PUT / or POST /; 100% sure");
	assert_int_equal(kept.status, 405);
	assert_string_equal(fields_get(&kept.fields, FIELD_ALLOW, NULL), "PUT, POST");
	assert_non_null(strstr(body(), "100% sure"));
	done(&ex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_problem_has_its_members),
		cmocka_unit_test(what_may_be_retried_says_when),
		cmocka_unit_test(hostile_bytes_in_a_detail_stay_json),
		cmocka_unit_test(json_and_text_have_their_types),
		cmocka_unit_test(a_wrong_method_is_told_the_right_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

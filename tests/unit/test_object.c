/* SPDX-License-Identifier: MIT */
#include "lib/object.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Decodes a request with one field. */
static int parse_one(enum field field, const char *value, struct object_request *ret_request)
{
	struct fields fields = { 0 };
	const char *why = NULL;
	int r;

	assert_int_equal(fields_set(&fields, field, value, strlen(value)), 0);
	r = object_request_parse(&fields, ret_request, &why);
	if (r < 0)
		assert_true(why && strlen(why) > 10);
	fields_deinit(&fields);
	return r;
}

static void no_fields_mean_the_defaults(void **state)
{
	struct fields fields = { 0 };
	struct object_request request;
	const char *why;

	(void)state;
	assert_int_equal(object_request_parse(&fields, &request, &why), 0);
	assert_true(precondition_is_empty(&request.pre));
	assert_false(request.has_content_type || request.has_encoding || request.has_mtime);
	assert_int_equal(request.durability, DURABILITY_DISK);
	assert_int_equal(request.ack, ACK_LEADER);
	assert_int_equal(request.read, READ_DEFAULT);
	assert_false(request_id_is_set(&request.request_id));
	assert_true(request.overwrite);
	assert_false(request.has_destination);
}

static void good_fields_are_decoded(void **state)
{
	struct object_request request;
	char hex[KEY_HEX_MAX + 1];

	(void)state;
	assert_int_equal(parse_one(FIELD_CONTENT_TYPE, "text/plain; charset=utf-8", &request), 0);
	assert_true(request.has_content_type);
	assert_string_equal(request.content_type.text, "text/plain; charset=utf-8");
	assert_int_equal(parse_one(FIELD_ENCODING, "utf-8", &request), 0);
	assert_string_equal(request.encoding.text, "utf-8");
	assert_int_equal(parse_one(FIELD_MTIME, "-9223372036854775808", &request), 0);
	assert_true(request.has_mtime && request.mtime_ns == INT64_MIN);
	assert_int_equal(parse_one(FIELD_MTIME, "9223372036854775807", &request), 0);
	assert_true(request.mtime_ns == INT64_MAX);
	assert_int_equal(parse_one(FIELD_DURABILITY, "memory", &request), 0);
	assert_int_equal(request.durability, DURABILITY_MEMORY);
	assert_int_equal(parse_one(FIELD_DURABILITY, "disk", &request), 0);
	assert_int_equal(parse_one(FIELD_ACK, "quorum", &request), 0);
	assert_int_equal(request.ack, ACK_QUORUM);
	assert_int_equal(parse_one(FIELD_ACK, "all", &request), 0);
	assert_int_equal(request.ack, ACK_ALL);
	assert_int_equal(parse_one(FIELD_READ, "leader", &request), 0);
	assert_int_equal(request.read, READ_LEADER);
	assert_int_equal(parse_one(FIELD_READ, "any", &request), 0);
	assert_int_equal(request.read, READ_ANY);
	assert_int_equal(parse_one(FIELD_REQUEST_ID, "00112233445566778899aAbBcCdDeEfF", &request),
			 0);
	request_id_to_hex(&request.request_id, hex);
	assert_string_equal(hex, "00112233445566778899aabbccddeeff");
	assert_int_equal(parse_one(FIELD_OVERWRITE, "F", &request), 0);
	assert_false(request.overwrite);
	assert_int_equal(parse_one(FIELD_OVERWRITE, "T", &request), 0);
	assert_true(request.overwrite);
	assert_int_equal(parse_one(FIELD_IF_NONE_MATCH, "*", &request), 0);
	assert_true(request.pre.if_none_match_any);
	assert_int_equal(parse_one(FIELD_PIN, "60", &request), 0);
	assert_int_equal(request.pin_s, 60);
	assert_false(request.has_pinned);
	assert_int_equal(parse_one(FIELD_PIN_TOKEN, "20001-ab.00ff", &request), 0);
	assert_true(request.has_pinned);
	assert_int_equal(request.pinned.epoch, 0x20001);
	assert_int_equal(request.pinned.sequence, 0xab);
	assert_int_equal(request.pin_s, 0);
}

static void bad_fields_are_refused_with_a_sentence(void **state)
{
	static const struct {
		enum field field;
		const char *value;
	} table[] = {
		{ FIELD_CONTENT_TYPE, "" },
		{ FIELD_CONTENT_TYPE, "a\tb" },
		{ FIELD_CONTENT_TYPE, "\xff" },
		{ FIELD_ENCODING, "" },
		{ FIELD_ENCODING, "\x7f" },
		{ FIELD_ENCODING, "\xc2\x85" },
		{ FIELD_MTIME, "" },
		{ FIELD_MTIME, "-" },
		{ FIELD_MTIME, "+1" },
		{ FIELD_MTIME, " 1" },
		{ FIELD_MTIME, "1 " },
		{ FIELD_MTIME, "1.5" },
		{ FIELD_MTIME, "0x10" },
		{ FIELD_MTIME, "1e9" },
		{ FIELD_MTIME, "9223372036854775808" },
		{ FIELD_MTIME, "-9223372036854775809" },
		{ FIELD_DURABILITY, "" },
		{ FIELD_DURABILITY, "Disk" },
		{ FIELD_DURABILITY, "none" },
		{ FIELD_ACK, "" },
		{ FIELD_ACK, "majority" },
		{ FIELD_READ, "" },
		{ FIELD_READ, "follower" },
		{ FIELD_REQUEST_ID, "" },
		{ FIELD_REQUEST_ID, "00112233445566778899aabbccddeef" },
		{ FIELD_REQUEST_ID, "00112233445566778899aabbccddeeff0" },
		{ FIELD_REQUEST_ID, "00112233445566778899aabbccddeefg" },
		{ FIELD_REQUEST_ID, "00000000000000000000000000000000" },
		{ FIELD_OVERWRITE, "" },
		{ FIELD_OVERWRITE, "yes" },
		{ FIELD_IF_MATCH, "1-2" },
		{ FIELD_IF_NONE_MATCH, "" },
		{ FIELD_PIN, "" },
		{ FIELD_PIN, "0" },
		{ FIELD_PIN, "61" },
		{ FIELD_PIN, "-1" },
		{ FIELD_PIN, " 5" },
		{ FIELD_PIN, "5s" },
		{ FIELD_PIN, "18446744073709551617" },
		{ FIELD_PIN_TOKEN, "" },
		{ FIELD_PIN_TOKEN, "." },
		{ FIELD_PIN_TOKEN, "00" },
		{ FIELD_PIN_TOKEN, "1-2" },
		{ FIELD_PIN_TOKEN, "1.00" },
		{ FIELD_PIN_TOKEN, "1-2.0g" },
		{ FIELD_PIN_TOKEN, "1-2.AB" },
		{ FIELD_PIN_TOKEN, "1-2.00 " },
		{ FIELD_PIN_TOKEN, "1-2.00.00" },
		{ FIELD_PIN_TOKEN, "\"1-2\".00" },
		{ FIELD_PIN_TOKEN, "11111111111111111-1.00" },
		{ FIELD_PIN_TOKEN, "1111111111111111111111111111111111111111111111-1.00" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct object_request request;

		if (parse_one(table[i].field, table[i].value, &request) != -EINVAL)
			fail_msg("%s: '%s' was taken", field_name(table[i].field), table[i].value);
	}
}

static void a_destination_names_a_key(void **state)
{
	const char *const good[] = { "/kv/00ff", "/kv/00FF", "http://127.0.0.1:8080/kv/00ff",
				     "HTTP://host/kv/00ff", "https://[::1]:443/kv/00ff" };
	const char *const bad[] = { "",
				    "/",
				    "/kv",
				    "/kv/",
				    "/kv/0",
				    "/kv/zz",
				    "/kv/00ff/",
				    "/kv/00ff?x",
				    "/kv/00ff#x",
				    "/kv/../kv/00ff",
				    "kv/00ff",
				    "00ff",
				    "//host/kv/00ff",
				    "http://",
				    "http:///kv/00ff",
				    "http://host",
				    "http://host/00ff",
				    "ftp://host/kv/00ff",
				    "http:/kv/00ff",
				    "/KV/00ff" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct object_request request;

		if (parse_one(FIELD_DESTINATION, good[i], &request) != 0)
			fail_msg("'%s' was refused", good[i]);
		assert_true(request.has_destination);
		assert_int_equal(request.destination.len, 2);
		assert_int_equal(request.destination.bytes[1], 0xff);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct object_request request;

		if (parse_one(FIELD_DESTINATION, bad[i], &request) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
	}
}

static void paths_name_keys(void **state)
{
	char longest[4 + KEY_HEX_MAX + 3] = "/kv/";
	struct key key;

	(void)state;
	assert_int_equal(object_path_parse("/kv/00FF", &key), 0);
	assert_int_equal(key.len, 2);
	assert_int_equal(object_path_parse("/", &key), -ENOENT);
	assert_int_equal(object_path_parse("/kv", &key), -ENOENT);
	assert_int_equal(object_path_parse("/keys", &key), -ENOENT);
	assert_int_equal(object_path_parse("/kv/", &key), -EINVAL);
	assert_int_equal(object_path_parse("/kv/0", &key), -EINVAL);
	assert_int_equal(object_path_parse("/kv/00/11", &key), -EINVAL);
	memset(longest + 4, 'a', KEY_HEX_MAX);
	assert_int_equal(object_path_parse(longest, &key), 0);
	assert_int_equal(key.len, KEY_BYTES_MAX);
	memset(longest + 4, 'a', KEY_HEX_MAX + 2);
	assert_int_equal(object_path_parse(longest, &key), -EINVAL);
}

static struct record_meta example_meta(void)
{
	struct record_meta meta = { .version = { 0x10001, 0xabc },
				    .mtime_ns = 784111777123456789,
				    .size_bytes = 4294967297,
				    .hash = { .low = 0x0123456789abcdef, .high = 0xf },
				    .utf8 = true };

	label_set(&meta.content_type, "text/plain", 10);
	label_set(&meta.encoding, "utf-8", 5);
	return meta;
}

static void a_record_survives_its_fields(void **state)
{
	struct record_meta meta = example_meta(), back;
	struct fields fields = { 0 };

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(object_fields_set(&fields, &meta), 0);
		assert_int_equal(object_fields_parse(&fields, &back), 0);
		assert_string_equal(back.content_type.text, meta.content_type.text);
		assert_string_equal(back.encoding.text, meta.encoding.text);
		assert_int_equal(version_compare(back.version, meta.version), 0);
		assert_true(back.mtime_ns == meta.mtime_ns);
		assert_true(back.size_bytes == meta.size_bytes);
		assert_true(back.hash.low == meta.hash.low && back.hash.high == meta.hash.high);
		assert_int_equal(back.utf8, meta.utf8);
		meta.utf8 = false;
		meta.mtime_ns = -1;
		meta.size_bytes = UINT64_MAX;
		meta.version = (struct version){ 0, 0 };
	}
	fields_deinit(&fields);
}

static void a_record_shows_as_documented(void **state)
{
	static const struct {
		enum field field;
		const char *value;
	} table[] = {
		{ FIELD_CONTENT_TYPE, "text/plain" },
		{ FIELD_ENCODING, "utf-8" },
		{ FIELD_ETAG, "\"10001-abc\"" },
		{ FIELD_LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT" },
		{ FIELD_MTIME, "784111777123456789" },
		{ FIELD_HASH, "000000000000000f0123456789abcdef" },
		{ FIELD_UTF8, "true" },
		{ FIELD_ACCEPT_RANGES, "bytes" },
		{ FIELD_SIZE, "4294967297" },
	};
	struct record_meta meta = example_meta();
	struct fields fields = { 0 };

	(void)state;
	assert_int_equal(object_fields_set(&fields, &meta), 0);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_string_equal(fields_get(&fields, table[i].field, NULL), table[i].value);
	fields_deinit(&fields);
}

static void answers_of_something_else_are_refused(void **state)
{
	static const struct {
		enum field field;
		const char *value; /* NULL: missing */
	} table[] = {
		{ FIELD_CONTENT_TYPE, NULL },
		{ FIELD_CONTENT_TYPE, "" },
		{ FIELD_ENCODING, NULL },
		{ FIELD_ETAG, NULL },
		{ FIELD_ETAG, "W/\"1-2\"" },
		{ FIELD_ETAG, "\"nginx-123\"" },
		{ FIELD_MTIME, NULL },
		{ FIELD_MTIME, "x" },
		{ FIELD_SIZE, NULL },
		{ FIELD_SIZE, "-1" },
		{ FIELD_SIZE, "18446744073709551616" },
		{ FIELD_SIZE, " 1" },
		{ FIELD_HASH, NULL },
		{ FIELD_HASH, "00" },
		{ FIELD_HASH, "zz000000000000000000000000000000" },
		{ FIELD_UTF8, NULL },
		{ FIELD_UTF8, "yes" },
	};
	struct record_meta meta = example_meta();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct fields fields = { 0 };
		struct record_meta back;

		object_fields_set(&fields, &meta);
		if (table[i].value)
			fields_set(&fields, table[i].field, table[i].value, strlen(table[i].value));
		else
			fields_unset(&fields, table[i].field);
		if (object_fields_parse(&fields, &back) != -EBADMSG)
			fail_msg("row %zu", i);
		fields_deinit(&fields);
	}
}

static void what_follows_the_body_counts_as_if_it_came_first(void **state)
{
	struct fields fields = { 0 }, trailer = { 0 };
	const char *why;

	(void)state;
	fields_setf(&fields, FIELD_CONTENT_TYPE, "text/first");
	fields_setf(&fields, FIELD_MTIME, "5");
	fields_setf(&fields, FIELD_IF_MATCH, "*");
	fields_setf(&fields, FIELD_TRAILER,
		    "X-Other,hexkv-durability, HexKV-Encoding,HexKV-Content-Type");
	/* Long enough for all of them to move. */
	fields_setf(&trailer, FIELD_FINAL_TYPE, "text/%0240d", 1);
	fields_setf(&trailer, FIELD_ENCODING, "latin-1");
	fields_setf(&trailer, FIELD_DURABILITY, "memory");
	fields_setf(&trailer, FIELD_IF_MATCH, "ignored");
	assert_int_equal(object_trailer_apply(&trailer, &fields, &why), 0);
	assert_int_equal(strlen(fields_get(&fields, FIELD_CONTENT_TYPE, NULL)), 245);
	assert_string_equal(fields_get(&fields, FIELD_ENCODING, NULL), "latin-1");
	assert_string_equal(fields_get(&fields, FIELD_MTIME, NULL), "5");
	assert_string_equal(fields_get(&fields, FIELD_DURABILITY, NULL), "memory");
	assert_string_equal(fields_get(&fields, FIELD_IF_MATCH, NULL), "*");
	assert_null(fields_get(&fields, FIELD_TRAILER, NULL));
	fields_deinit(&fields);
	fields_deinit(&trailer);
}

static void a_trailer_that_was_announced_and_does_not_come_is_refused(void **state)
{
	struct fields fields = { 0 }, trailer = { 0 };
	const char *why = NULL;

	(void)state;
	fields_setf(&fields, FIELD_TRAILER, "HexKV-Encoding, HexKV-Mtime");
	fields_setf(&trailer, FIELD_ENCODING, "utf-8");
	assert_int_equal(object_trailer_apply(&trailer, &fields, &why), -EINVAL);
	assert_true(why && strlen(why) > 10);
	fields_setf(&trailer, FIELD_MTIME, "1");
	assert_int_equal(object_trailer_apply(&trailer, &fields, &why), 0);
	fields_deinit(&fields);
	fields_deinit(&trailer);
}

static void generated_request_ids_differ(void **state)
{
	struct request_id a, b;

	(void)state;
	request_id_generate(&a);
	request_id_generate(&b);
	assert_true(request_id_is_set(&a));
	assert_memory_not_equal(&a, &b, sizeof(a));
}

static void a_child_does_not_generate_its_parent_s_request_ids(void **state)
{
	struct request_id first, own, child;
	int pipe_fds[2];
	pid_t pid;

	(void)state;
	request_id_generate(&first);
	assert_int_equal(pipe(pipe_fds), 0);
	pid = fork();
	if (pid == 0) {
		request_id_generate(&child);
		_exit(write(pipe_fds[1], &child, sizeof(child)) != sizeof(child));
	}
	request_id_generate(&own);
	assert_int_equal(read(pipe_fds[0], &child, sizeof(child)), sizeof(child));
	assert_memory_not_equal(&own, &child, sizeof(own));
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_fields_mean_the_defaults),
		cmocka_unit_test(good_fields_are_decoded),
		cmocka_unit_test(bad_fields_are_refused_with_a_sentence),
		cmocka_unit_test(a_destination_names_a_key),
		cmocka_unit_test(paths_name_keys),
		cmocka_unit_test(a_record_survives_its_fields),
		cmocka_unit_test(a_record_shows_as_documented),
		cmocka_unit_test(answers_of_something_else_are_refused),
		cmocka_unit_test(what_follows_the_body_counts_as_if_it_came_first),
		cmocka_unit_test(a_trailer_that_was_announced_and_does_not_come_is_refused),
		cmocka_unit_test(generated_request_ids_differ),
		cmocka_unit_test(a_child_does_not_generate_its_parent_s_request_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

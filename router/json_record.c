/* SPDX-License-Identifier: MIT */
#include "router/json_record.h"

#include "lib/base64.h"
#include "lib/utf8.h"
#include "router/json_plain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int __attribute__((format(printf, 2, 3)))
refuse(char why[JSON_WHY_MAX], const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(why, JSON_WHY_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

/* jansson's own words quote the input, which may be cut inside a character. */
static int refuse_json(const json_error_t *error, char why[JSON_WHY_MAX])
{
	switch (json_error_code(error)) {
	case json_error_out_of_memory:
		return -ENOMEM;
	case json_error_duplicate_key:
		return refuse(why, "a member stands twice in the object; give each once");
	case json_error_invalid_utf8:
		return refuse(why,
			      "the body is not UTF-8; a value that is not text is sent as base64 "
			      "with \"value_base64\": true");
	case json_error_null_byte_in_key:
		return refuse(why, "a member's name has a NUL in it; see which members there are");
	case json_error_premature_end_of_input:
		return refuse(why, "the JSON ends too early; send one whole object");
	default:
		return refuse(why, "the body is not JSON: look at line %d, column %d", error->line,
			      error->column);
	}
}

static const char *const required[] = { "key", "content_type", "encoding", "value" };
#define REQUIRED_COUNT (sizeof(required) / sizeof(*required))
#define FLAG_NAME      "value_base64"

static bool member_is_known(const char *name)
{
	for (size_t i = 0; i < REQUIRED_COUNT; i++) {
		if (strcmp(name, required[i]) == 0)
			return true;
	}
	return strcmp(name, FLAG_NAME) == 0;
}

static int check_members(const json_t *json, char why[JSON_WHY_MAX])
{
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return refuse(why, "the body is not an object; send {\"key\", \"content_type\", "
				   "\"encoding\", \"value\"}");
	json_object_foreach((json_t *)json, name, value)
	{
		if (member_is_known(name))
			continue;
		if (strlen(name) > 64)
			return refuse(why, "a member's name is unknown and very long; the members "
					   "are key, content_type, encoding, value");
		return refuse(why,
			      "unknown member \"%s\"; the members are key, content_type, encoding, "
			      "value",
			      name);
	}
	for (size_t i = 0; i < REQUIRED_COUNT; i++) {
		value = json_object_get(json, required[i]);
		if (!value)
			return refuse(why, "member \"%s\" is missing; it is a required string",
				      required[i]);
		if (!json_is_string(value))
			return refuse(why, "member \"%s\" is not a string; put it in quotes",
				      required[i]);
	}
	value = json_object_get(json, FLAG_NAME);
	if (value && !json_is_boolean(value))
		return refuse(why, "member \"" FLAG_NAME "\" is neither true nor false");
	return 0;
}

static int read_label(const json_t *json, const char *name, struct label *ret_label,
		      char why[JSON_WHY_MAX])
{
	const json_t *value = json_object_get(json, name);

	if (label_set(ret_label, json_string_value(value), json_string_length(value)) == 0)
		return 0;
	return refuse(why,
		      "member \"%s\" must be 1 to %d bytes without control characters or outer "
		      "spaces",
		      name, LABEL_BYTES_MAX);
}

static int read_key(const json_t *json, struct key *ret_key, char why[JSON_WHY_MAX])
{
	const json_t *value = json_object_get(json, "key");

	if (key_from_hex(json_string_value(value), json_string_length(value), ret_key) == 0)
		return 0;
	return refuse(why, "member \"key\" must be 1 to %d bytes written as pairs of hex digits",
		      KEY_BYTES_MAX);
}

static int read_value(struct json_record *record, char why[JSON_WHY_MAX])
{
	const json_t *value = json_object_get(record->json, "value");
	int r;

	record->value = json_string_value(value);
	record->value_len = json_string_length(value);
	if (!json_is_true(json_object_get(record->json, FLAG_NAME)))
		return 0;
	r = base64_decode(record->value, record->value_len, &record->copy);
	if (r == -EINVAL)
		return refuse(why, "member \"value\" is not base64 (RFC 4648, padded, no line "
				   "breaks), as \"" FLAG_NAME "\" says");
	if (r < 0)
		return r;
	json_decref(record->json);
	record->json = NULL;
	record->value = (const char *)record->copy.data;
	record->value_len = record->copy.len;
	return 0;
}

/* A record has five values. A parsed value takes many times the memory of its text ("0," becomes a
 * node), so a text of millions of them is refused before it is parsed. */
#define VALUES_MAX 64

static bool has_too_many_values(const char *text, size_t len)
{
	bool in_string = false;
	unsigned values = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '"')
			in_string = !in_string;
		else if (in_string && c == '\\')
			i++;
		else if (!in_string && (c == ',' || c == '[' || c == '{') && ++values > VALUES_MAX)
			return true;
	}
	return false;
}

static int parse_any(const char *text, size_t len, struct json_record *ret_record,
		     char ret_why[JSON_WHY_MAX])
{
	struct json_record record = { 0 };
	json_error_t error;
	int r;

	if (has_too_many_values(text, len))
		return refuse(ret_why, "the body holds more than one record; send one object with "
				       "key, content_type, encoding, value");
	record.json = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!record.json)
		return refuse_json(&error, ret_why);
	r = check_members(record.json, ret_why);
	if (r == 0)
		r = read_key(record.json, &record.key, ret_why);
	if (r == 0)
		r = read_label(record.json, "content_type", &record.content_type, ret_why);
	if (r == 0)
		r = read_label(record.json, "encoding", &record.encoding, ret_why);
	if (r == 0)
		r = read_value(&record, ret_why);
	if (r < 0) {
		json_record_deinit(&record);
		return r;
	}
	*ret_record = record;
	return 0;
}

int json_record_parse(const char *text, size_t len, struct json_record *ret_record,
		      char ret_why[JSON_WHY_MAX])
{
	int r = json_plain_parse(text, len, ret_record);

	if (r != 0)
		return r < 0 ? r : 0;
	return parse_any(text, len, ret_record, ret_why);
}

void json_record_deinit(struct json_record *record)
{
	json_decref(record->json);
	buf_deinit(&record->copy);
	*record = (struct json_record){ 0 };
}

/* Printed without a tree of json_t: a value may have 16 MiB, and one copy of it is enough. */

static char short_escape(uint8_t c)
{
	switch (c) {
	case '"':
	case '\\':
		return (char)c;
	case '\b':
		return 'b';
	case '\f':
		return 'f';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return '\0';
	}
}

static size_t string_size(const uint8_t *text, size_t len)
{
	size_t size = len + 2;

	for (size_t i = 0; i < len; i++) {
		i += json_plain_length(text + i, len - i);
		if (i < len)
			size += short_escape(text[i]) ? 1 : 5;
	}
	return size;
}

static int append_escaped(struct buf *out, uint8_t c)
{
	char letter = short_escape(c);

	return letter ? buf_printf(out, "\\%c", letter) : buf_printf(out, "\\u%04x", c);
}

/* @text is valid UTF-8. */
static int append_string(struct buf *out, const uint8_t *text, size_t len)
{
	int r = buf_append_str(out, "\"");

	for (size_t i = 0; r == 0 && i < len; i++) {
		size_t plain = json_plain_length(text + i, len - i);

		r = buf_append(out, text + i, plain);
		i += plain;
		if (r == 0 && i < len)
			r = append_escaped(out, text[i]);
	}
	return r < 0 ? r : buf_append_str(out, "\"");
}

static int append_label(struct buf *out, const char *name, const char *label)
{
	int r = buf_printf(out, "\"%s\":", name);

	return r < 0 ? r : append_string(out, (const uint8_t *)label, strlen(label));
}

static int append_value(struct buf *out, const uint8_t *value, size_t len, bool text)
{
	int r = buf_append_str(out, ",\"value\":");

	if (r == 0 && text)
		return append_string(out, value, len);
	if (r == 0)
		r = buf_append_str(out, "\"");
	if (r == 0)
		r = base64_encode(value, len, out);
	return r < 0 ? r : buf_append_str(out, "\",\"" FLAG_NAME "\":true");
}

int json_record_print(const struct key *key, const char *content_type, const char *encoding,
		      const void *value, size_t value_len, size_t max, struct buf *out)
{
	const uint8_t *bytes = value_len ? value : (const void *)"";
	bool text = utf8_is_valid(bytes, value_len);
	size_t value_size = text ? string_size(bytes, value_len) : (value_len + 2) / 3 * 4;
	size_t before = out->len;
	char hex[KEY_HEX_MAX + 1];
	int r;

	if (!utf8_is_valid(content_type, strlen(content_type)) ||
	    !utf8_is_valid(encoding, strlen(encoding)))
		return -EINVAL;
	if (value_size > max)
		return -EMSGSIZE;
	r = buf_reserve(out, value_size + 4096);
	key_to_hex(key, hex);
	if (r == 0)
		r = buf_printf(out, "{\"%s\":{", hex);
	if (r == 0)
		r = append_label(out, "content_type", content_type);
	if (r == 0)
		r = buf_append_str(out, ",");
	if (r == 0)
		r = append_label(out, "encoding", encoding);
	if (r == 0)
		r = append_value(out, bytes, value_len, text);
	if (r == 0)
		r = buf_append_str(out, "}}\n");
	if (r == 0 && out->len - before > max)
		r = -EMSGSIZE;
	if (r < 0)
		out->len = before;
	return r;
}

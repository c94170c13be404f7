/* SPDX-License-Identifier: MIT */
/*
 * Whatever is not exactly so is left to the whole parser, so that there is one place that judges:
 * this one only ever says yes to what the other would say yes to, with the same result.
 */
#include "router/json_plain.h"

#include "lib/utf8.h"

#include <errno.h>
#include <string.h>

/* Eight bytes at once: a bit is left in a byte that is below 0x20, or zero. */
#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t below_space(uint64_t word)
{
	return (word - ALL(0x20)) & ~word & ALL(0x80);
}

static uint64_t zero(uint64_t word)
{
	return (word - ALL(1)) & ~word & ALL(0x80);
}

size_t json_plain_length(const uint8_t *text, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t word;

		memcpy(&word, text + i, sizeof(word));
		if (below_space(word) | zero(word ^ ALL('"')) | zero(word ^ ALL('\\')))
			break;
	}
	while (i < len && text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
		i++;
	return i;
}

struct reader {
	const char *at;
	const char *end;
};

struct text {
	const char *at;
	size_t len;
};

static void skip_space(struct reader *reader)
{
	while (reader->at < reader->end && memchr(" \t\n\r", *reader->at, 4))
		reader->at++;
}

static bool take(struct reader *reader, char c)
{
	skip_space(reader);
	if (reader->at == reader->end || *reader->at != c)
		return false;
	reader->at++;
	return true;
}

static bool take_string(struct reader *reader, struct text *ret_text)
{
	struct text text;

	if (!take(reader, '"'))
		return false;
	text.at = reader->at;
	text.len = json_plain_length((const uint8_t *)text.at, (size_t)(reader->end - text.at));
	reader->at += text.len;
	if (reader->at == reader->end || *reader->at != '"')
		return false;
	reader->at++;
	*ret_text = text;
	return true;
}

enum member { MEMBER_KEY, MEMBER_CONTENT_TYPE, MEMBER_ENCODING, MEMBER_VALUE, MEMBER_COUNT };

static bool take_member(struct reader *reader, struct text members[MEMBER_COUNT])
{
	static const char *const names[MEMBER_COUNT] = { "key", "content_type", "encoding",
							 "value" };
	struct text name;

	if (!take_string(reader, &name) || !take(reader, ':'))
		return false;
	for (unsigned i = 0; i < MEMBER_COUNT; i++)
		if (strlen(names[i]) == name.len && memcmp(names[i], name.at, name.len) == 0)
			return !members[i].at && take_string(reader, &members[i]);
	return false;
}

/* Four times, and none twice: then all are there. */
static bool take_object(struct reader *reader, struct text members[MEMBER_COUNT])
{
	for (unsigned i = 0; i < MEMBER_COUNT; i++)
		if (!take(reader, i == 0 ? '{' : ',') || !take_member(reader, members))
			return false;
	if (!take(reader, '}'))
		return false;
	skip_space(reader);
	return reader->at == reader->end;
}

int json_plain_parse(const char *text, size_t len, struct json_record *ret_record)
{
	struct reader reader = { .at = text, .end = text + len };
	struct text members[MEMBER_COUNT] = { 0 };
	const struct text *value = &members[MEMBER_VALUE];
	struct json_record record = { 0 };

	if (!take_object(&reader, members) || !utf8_is_valid(text, len))
		return 0;
	if (key_from_hex(members[MEMBER_KEY].at, members[MEMBER_KEY].len, &record.key) < 0 ||
	    label_set(&record.content_type, members[MEMBER_CONTENT_TYPE].at,
		      members[MEMBER_CONTENT_TYPE].len) < 0 ||
	    label_set(&record.encoding, members[MEMBER_ENCODING].at, members[MEMBER_ENCODING].len) <
		    0)
		return 0;
	if (buf_append(&record.copy, value->at, value->len) < 0)
		return -ENOMEM;
	record.value = value->len ? (const char *)record.copy.data : "";
	record.value_len = value->len;
	*ret_record = record;
	return 1;
}

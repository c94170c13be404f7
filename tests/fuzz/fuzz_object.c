/* SPDX-License-Identifier: MIT */
/*
 * Header fields of the object protocol, one a line: the field's tag as a letter ('A' is tag 1),
 * then its value. What the decoders take must keep their promises.
 */
#include "lib/object.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void read_fields(const uint8_t *data, size_t len, struct fields *fields)
{
	while (len > 0) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t line = end ? (size_t)(end - data) : len;
		unsigned tag = (unsigned)data[0] - 'A' + 1;

		if (line > 0 && tag > 0 && tag < FIELD_COUNT)
			fields_set(fields, (enum field)tag, (const char *)data + 1, line - 1);
		data += line + (end ? 1 : 0);
		len -= line + (end ? 1 : 0);
	}
}

static void check_label(const struct label *label)
{
	struct label again;

	assert(label->len >= 1 && strlen(label->text) == label->len);
	assert(label_set(&again, label->text, label->len) == 0);
}

static void check_request(const struct fields *fields)
{
	const struct record_meta meta = { .version = { 1, 2 }, .mtime_ns = -1, .size_bytes = 10 };
	struct object_request request;
	const char *why = NULL;
	int r = object_request_parse(fields, &request, &why);

	assert(r == 0 || (r == -EINVAL && why && why[0]));
	if (r < 0)
		return;
	if (request.has_content_type)
		check_label(&request.content_type);
	if (request.has_encoding)
		check_label(&request.encoding);
	assert(!request.has_destination || request.destination.len >= 1);
	assert(request.pre.match_count <= PRECONDITION_TAGS_MAX);
	assert(request.pre.none_match_count <= PRECONDITION_TAGS_MAX);
	for (int is_read = 0; is_read < 2; is_read++) {
		enum outcome there = precondition_evaluate(&request.pre, &meta, is_read);

		assert(there == OUTCOME_OK || there == OUTCOME_PRECONDITION_FAILED ||
		       (is_read && there == OUTCOME_NOT_MODIFIED));
		assert(!precondition_is_empty(&request.pre) || there == OUTCOME_OK);
		assert(precondition_evaluate(&request.pre, NULL, is_read) != OUTCOME_NOT_MODIFIED);
	}
}

static void check_range(const struct fields *fields, uint64_t size)
{
	struct record_meta meta = { .version = { 1, 2 }, .size_bytes = size };
	struct byte_range range;

	if (object_range(fields, &meta, &range) != OUTCOME_PARTIAL)
		return;
	assert(range.len >= 1 && range.offset < size && range.len <= size - range.offset);
}

static void check_answer(const struct fields *fields)
{
	struct record_meta meta, again;
	struct fields printed = { 0 };

	if (object_fields_parse(fields, &meta) < 0)
		return;
	assert(object_fields_set(&printed, &meta) == 0);
	assert(object_fields_parse(&printed, &again) == 0);
	assert(version_compare(meta.version, again.version) == 0);
	assert(meta.mtime_ns == again.mtime_ns && meta.size_bytes == again.size_bytes);
	assert(meta.hash.low == again.hash.low && meta.hash.high == again.hash.high);
	assert(strcmp(meta.content_type.text, again.content_type.text) == 0);
	fields_deinit(&printed);
}

static void check_date(const struct fields *fields)
{
	const char *text = fields_get(fields, FIELD_IF_MODIFIED_SINCE, NULL);
	char printed[HTTP_DATE_BYTES_MAX];
	int64_t seconds, again;

	if (!text || http_date_parse(text, &seconds) < 0)
		return;
	http_date_format(seconds, printed);
	assert(http_date_parse(printed, &again) == 0);
	/* The one second beyond is the leap second of the last year. */
	assert(again == seconds || (seconds == 253402300800 && again == seconds - 1));
}

static void check_path(const struct fields *fields)
{
	const char *path = fields_get(fields, FIELD_DESTINATION, NULL);
	char hex[KEY_HEX_MAX + 1];
	struct key key;

	if (!path || object_path_parse(path, &key) != 0)
		return;
	key_to_hex(&key, hex);
	assert(strcasecmp(path + strlen("/kv/"), hex) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fields fields = { 0 };

	read_fields(data, len, &fields);
	check_request(&fields);
	check_range(&fields, 0);
	check_range(&fields, 10);
	check_range(&fields, UINT64_MAX);
	check_answer(&fields);
	check_date(&fields);
	check_path(&fields);
	fields_deinit(&fields);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "lib/field.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *const names[FIELD_COUNT] = {
	[FIELD_CONTENT_TYPE] = "Content-Type",
	[FIELD_ENCODING] = "HexKV-Encoding",
	[FIELD_ETAG] = "ETag",
	[FIELD_LAST_MODIFIED] = "Last-Modified",
	[FIELD_MTIME] = "HexKV-Mtime",
	[FIELD_IF_MATCH] = "If-Match",
	[FIELD_IF_NONE_MATCH] = "If-None-Match",
	[FIELD_IF_MODIFIED_SINCE] = "If-Modified-Since",
	[FIELD_IF_UNMODIFIED_SINCE] = "If-Unmodified-Since",
	[FIELD_IF_RANGE] = "If-Range",
	[FIELD_RANGE] = "Range",
	[FIELD_CONTENT_RANGE] = "Content-Range",
	[FIELD_ACCEPT_RANGES] = "Accept-Ranges",
	[FIELD_DESTINATION] = "Destination",
	[FIELD_OVERWRITE] = "Overwrite",
	[FIELD_DURABILITY] = "HexKV-Durability",
	[FIELD_ACK] = "HexKV-Ack",
	[FIELD_READ] = "HexKV-Read",
	[FIELD_STALE] = "HexKV-Stale",
	[FIELD_STALENESS_MS] = "HexKV-Staleness-Ms",
	[FIELD_REQUEST_ID] = "HexKV-Request-Id",
	[FIELD_ALLOW] = "Allow",
	[FIELD_RETRY_AFTER] = "Retry-After",
	[FIELD_CONTENT_LOCATION] = "Content-Location",
	[FIELD_AUTHORIZATION] = "Authorization",
	[FIELD_WWW_AUTHENTICATE] = "WWW-Authenticate",
	[FIELD_HASH] = "HexKV-Hash",
	[FIELD_UTF8] = "HexKV-Utf8",
	[FIELD_CACHE_CONTROL] = "Cache-Control",
	[FIELD_LEADER] = "HexKV-Leader",
	[FIELD_SIZE] = "HexKV-Size",
	[FIELD_TRAILER] = "Trailer",
	[FIELD_FINAL_TYPE] = "HexKV-Content-Type",
	[FIELD_PIN] = "HexKV-Pin",
	[FIELD_PIN_TOKEN] = "HexKV-Pin-Token",
	[FIELD_REPEATED] = "HexKV-Repeated",
};

const char *field_name(enum field field)
{
	assert(field > 0 && field < FIELD_COUNT);
	return names[field];
}

static_assert(FIELD_COUNT < 64, "each has its bit");

enum field field_from_name(const char *name, size_t len)
{
	if (len == 0)
		return (enum field)0;
	for (unsigned i = 1; i < FIELD_COUNT; i++) {
		/* The first letter decides nearly always, without a call. */
		if (((names[i][0] ^ name[0]) & ~0x20) == 0 && strlen(names[i]) == len &&
		    strncasecmp(names[i], name, len) == 0)
			return (enum field)i;
	}
	return (enum field)0;
}

static int check_value(const char *value, size_t len)
{
	if (len > FIELD_VALUE_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (value[i] == '\r' || value[i] == '\n' || value[i] == '\0')
			return -EINVAL;
	}
	return 0;
}

/* Room for a value of @len bytes and its NUL at *ret_offset. */
static int make_room(struct fields *fields, enum field field, size_t len, uint32_t *ret_offset)
{
	if (fields->offset[field] && len <= fields->len[field]) {
		*ret_offset = fields->offset[field];
		return 0;
	}
	if (fields->text.len == 0 && buf_append_u8(&fields->text, 0) < 0)
		return -ENOMEM;
	if (fields->text.len > UINT32_MAX - len - 1 || buf_reserve(&fields->text, len + 1) < 0)
		return -ENOMEM;
	*ret_offset = (uint32_t)fields->text.len;
	fields->text.len += len + 1;
	return 0;
}

int fields_set(struct fields *fields, enum field field, const char *value, size_t len)
{
	const char *text = (const char *)fields->text.data;
	size_t inside = SIZE_MAX;
	uint32_t offset;
	int r;

	assert(field > 0 && field < FIELD_COUNT);
	r = check_value(value, len);
	if (r < 0)
		return r;
	/* A value of this very set moves when the text grows. */
	if (text && (uintptr_t)value >= (uintptr_t)text &&
	    (uintptr_t)value < (uintptr_t)text + fields->text.len)
		inside = (size_t)(value - text);
	r = make_room(fields, field, len, &offset);
	if (r < 0)
		return r;
	if (inside != SIZE_MAX)
		value = (const char *)fields->text.data + inside;
	if (len > 0)
		memmove(fields->text.data + offset, value, len);
	fields->text.data[offset + len] = '\0';
	fields->present |= UINT64_C(1) << field;
	fields->offset[field] = offset;
	fields->len[field] = (uint16_t)len;
	return 0;
}

int fields_setf(struct fields *fields, enum field field, const char *format, ...)
{
	char value[FIELD_VALUE_MAX + 1];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(value))
		return -EINVAL;
	return fields_set(fields, field, value, (size_t)len);
}

void fields_unset(struct fields *fields, enum field field)
{
	assert(field > 0 && field < FIELD_COUNT);
	fields->present &= ~(UINT64_C(1) << field);
	fields->offset[field] = 0;
	fields->len[field] = 0;
}

enum field fields_next(const struct fields *fields, enum field after)
{
	uint64_t left = fields->present & (~UINT64_C(1) << after);

	return left ? (enum field)__builtin_ctzll(left) : FIELD_COUNT;
}

const char *fields_get(const struct fields *fields, enum field field, size_t *ret_len)
{
	assert(field > 0 && field < FIELD_COUNT);
	if (!fields->offset[field])
		return NULL;
	if (ret_len)
		*ret_len = fields->len[field];
	return (const char *)fields->text.data + fields->offset[field];
}

int fields_copy(const struct fields *from, struct fields *to)
{
	enum field field = 0;

	while ((field = fields_next(from, field)) < FIELD_COUNT) {
		size_t len;
		const char *value = fields_get(from, field, &len);
		int r = fields_set(to, field, value, len);

		if (r < 0)
			return r;
	}
	return 0;
}

struct fields fields_take(struct fields *fields)
{
	struct fields taken = *fields;

	*fields = (struct fields){ 0 };
	return taken;
}

void fields_deinit(struct fields *fields)
{
	buf_deinit(&fields->text);
	*fields = (struct fields){ 0 };
}

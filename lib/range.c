/* SPDX-License-Identifier: MIT */
#include "lib/range.h"

#include "lib/clock.h"
#include "lib/http_date.h"
#include "lib/precondition.h"

#include <string.h>
#include <strings.h>

/* Digits at *@at, if any. A number that doesn't fit stands for the largest: every value ends before
 * it. */
static bool take_number(const char **at, uint64_t *ret_value)
{
	const char *p = *at;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
			value = UINT64_MAX;
			while (*p >= '0' && *p <= '9')
				p++;
			break;
		}
	}
	*at = p;
	*ret_value = value;
	return true;
}

/* A single range; false if there are several or it is malformed. */
static bool parse_single(const char *text, bool *ret_has_first, uint64_t *ret_first,
			 bool *ret_has_last, uint64_t *ret_last)
{
	const char *at = text;

	if (strncasecmp(at, "bytes=", 6) != 0)
		return false;
	at += 6;
	while (*at == ' ' || *at == '\t')
		at++;
	*ret_has_first = take_number(&at, ret_first);
	if (*at++ != '-')
		return false;
	*ret_has_last = take_number(&at, ret_last);
	while (*at == ' ' || *at == '\t')
		at++;
	if (*at != '\0' || (!*ret_has_first && !*ret_has_last))
		return false;
	return !(*ret_has_first && *ret_has_last && *ret_last < *ret_first);
}

static bool if_range_holds(const char *text, const struct record_meta *meta)
{
	const char *at = text;
	struct version version;
	const char *tag;
	size_t len;
	bool weak;
	int64_t seconds;

	if (entity_tag_take(&at, &weak, &tag, &len) == 0)
		return !weak && *at == '\0' && version_from_etag(tag, len, &version) == 0 &&
		       version_compare(version, meta->version) == 0;
	if (http_date_parse(text, &seconds) < 0)
		return false;
	/* A date tells two versions apart only once its second is over (8.8.2.2). */
	return seconds == record_modified_s(meta) && seconds < clock_realtime_ns() / 1000000000 - 1;
}

enum outcome object_range(const struct fields *fields, const struct record_meta *meta,
			  struct byte_range *ret_range)
{
	const char *range = fields_get(fields, FIELD_RANGE, NULL);
	const char *if_range = fields_get(fields, FIELD_IF_RANGE, NULL);
	uint64_t size = meta->size_bytes;
	uint64_t first, last;
	bool has_first, has_last;

	if (!range || !parse_single(range, &has_first, &first, &has_last, &last))
		return OUTCOME_OK;
	if (if_range && !if_range_holds(if_range, meta))
		return OUTCOME_OK;
	if (!has_first) {
		if (last == 0)
			return OUTCOME_RANGE_NOT_SATISFIABLE;
		/* The end of nothing is nothing, which no Content-Range can say. */
		if (size == 0)
			return OUTCOME_OK;
		first = last < size ? size - last : 0;
		*ret_range = (struct byte_range){ .offset = first, .len = size - first };
		return OUTCOME_PARTIAL;
	}
	if (first >= size)
		return OUTCOME_RANGE_NOT_SATISFIABLE;
	if (!has_last || last >= size)
		last = size - 1;
	*ret_range = (struct byte_range){ .offset = first, .len = last - first + 1 };
	return OUTCOME_PARTIAL;
}

bool range_is_longer(const struct fields *fields, uint64_t bytes)
{
	const char *range = fields_get(fields, FIELD_RANGE, NULL);
	uint64_t first, last;
	bool has_first, has_last;

	if (!range || !parse_single(range, &has_first, &first, &has_last, &last) || !has_last)
		return false;
	return has_first ? last - first >= bytes : last > bytes;
}

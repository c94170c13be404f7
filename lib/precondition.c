/* SPDX-License-Identifier: MIT */
#include "lib/precondition.h"

#include "lib/http_date.h"

#include <errno.h>
#include <string.h>

#define NS_PER_SECOND 1000000000

int64_t record_modified_s(const struct record_meta *meta)
{
	int64_t seconds = meta->mtime_ns / NS_PER_SECOND;

	return meta->mtime_ns % NS_PER_SECOND < 0 ? seconds - 1 : seconds;
}

int entity_tag_take(const char **at, bool *ret_weak, const char **ret_tag, size_t *ret_len)
{
	const char *p = *at;
	bool weak = strncmp(p, "W/", 2) == 0;
	const char *tag;

	if (weak)
		p += 2;
	tag = p;
	if (*p++ != '"')
		return -EINVAL;
	while (*p != '"') {
		uint8_t byte = (uint8_t)*p++;

		/* etagc: no space, no control byte; high bytes are obs-text. */
		if (byte < 0x21 || byte == 0x7f)
			return -EINVAL;
	}
	p++;
	*at = p;
	*ret_weak = weak;
	*ret_tag = tag;
	*ret_len = (size_t)(p - tag);
	return 0;
}

static const char *skip_space(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

struct tag_list {
	bool any;
	uint8_t count;
	struct version *versions; /* PRECONDITION_TAGS_MAX */
	bool keep_weak; /* weak comparison: W/"x" counts as "x" */
};

static int tag_list_parse(const char *text, struct tag_list *list, const char **ret_why)
{
	const char *at = skip_space(text);
	bool some = false;

	if (*at == '*' && *skip_space(at + 1) == '\0') {
		list->any = true;
		return 0;
	}
	while (*at) {
		const char *tag;
		struct version version;
		size_t len;
		bool weak;

		if (*at == ',') {
			at = skip_space(at + 1);
			continue;
		}
		if (entity_tag_take(&at, &weak, &tag, &len) < 0)
			goto malformed;
		some = true;
		at = skip_space(at);
		if (*at && *at != ',')
			goto malformed;
		if ((weak && !list->keep_weak) || version_from_etag(tag, len, &version) < 0)
			continue;
		if (list->count == PRECONDITION_TAGS_MAX) {
			*ret_why = "a condition names more than 16 entity tags; send fewer";
			return -EINVAL;
		}
		list->versions[list->count++] = version;
	}
	if (some)
		return 0;
malformed:
	*ret_why = "If-Match and If-None-Match hold * or a list of entity tags in double quotes";
	return -EINVAL;
}

int precondition_parse(const struct fields *fields, struct precondition *ret_pre,
		       const char **ret_why)
{
	const char *match = fields_get(fields, FIELD_IF_MATCH, NULL);
	const char *none_match = fields_get(fields, FIELD_IF_NONE_MATCH, NULL);
	const char *unmodified = fields_get(fields, FIELD_IF_UNMODIFIED_SINCE, NULL);
	const char *modified = fields_get(fields, FIELD_IF_MODIFIED_SINCE, NULL);
	struct precondition pre = { 0 };
	int r;

	if (match) {
		struct tag_list list = { .versions = pre.match };

		r = tag_list_parse(match, &list, ret_why);
		if (r < 0)
			return r;
		pre.if_match = true;
		pre.if_match_any = list.any;
		pre.match_count = list.count;
	}
	if (none_match) {
		struct tag_list list = { .versions = pre.none_match, .keep_weak = true };

		r = tag_list_parse(none_match, &list, ret_why);
		if (r < 0)
			return r;
		pre.if_none_match = true;
		pre.if_none_match_any = list.any;
		pre.none_match_count = list.count;
	}
	if (unmodified && http_date_parse(unmodified, &pre.unmodified_since_s) == 0)
		pre.if_unmodified_since = true;
	if (modified && http_date_parse(modified, &pre.modified_since_s) == 0)
		pre.if_modified_since = true;
	*ret_pre = pre;
	return 0;
}

bool precondition_is_empty(const struct precondition *pre)
{
	return !pre->if_match && !pre->if_none_match && !pre->if_unmodified_since &&
	       !pre->if_modified_since;
}

static bool contains(const struct version *versions, unsigned count, struct version version)
{
	for (unsigned i = 0; i < count; i++) {
		if (version_compare(versions[i], version) == 0)
			return true;
	}
	return false;
}

static bool match_holds(const struct precondition *pre, const struct record_meta *current)
{
	if (!current)
		return false;
	return pre->if_match_any || contains(pre->match, pre->match_count, current->version);
}

static bool none_match_holds(const struct precondition *pre, const struct record_meta *current)
{
	if (!current)
		return true;
	return !pre->if_none_match_any &&
	       !contains(pre->none_match, pre->none_match_count, current->version);
}

enum outcome precondition_evaluate(const struct precondition *pre,
				   const struct record_meta *current, bool is_read)
{
	if (is_read && !current)
		return OUTCOME_OK;
	/* The dates count only where the tags that are stronger than them are absent, and only for
	 * a record that has a date. */
	if (pre->if_match) {
		if (!match_holds(pre, current))
			return OUTCOME_PRECONDITION_FAILED;
	} else if (pre->if_unmodified_since && current) {
		if (record_modified_s(current) > pre->unmodified_since_s)
			return OUTCOME_PRECONDITION_FAILED;
	}
	if (pre->if_none_match) {
		if (!none_match_holds(pre, current))
			return is_read ? OUTCOME_NOT_MODIFIED : OUTCOME_PRECONDITION_FAILED;
	} else if (pre->if_modified_since && is_read) {
		if (record_modified_s(current) <= pre->modified_since_s)
			return OUTCOME_NOT_MODIFIED;
	}
	return OUTCOME_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * If-Match, If-None-Match, If-Unmodified-Since and If-Modified-Since (RFC 9110 13), as data that
 * may be evaluated later: writes are judged by the store at the moment they apply.
 */
#pragma once

#include "lib/field.h"
#include "lib/outcome.h"
#include "lib/record.h"

#define PRECONDITION_TAGS_MAX 16

struct precondition {
	bool if_match, if_match_any; /* present; "*" */
	bool if_none_match, if_none_match_any;
	bool if_unmodified_since, if_modified_since;
	uint8_t match_count, none_match_count;
	struct version match[PRECONDITION_TAGS_MAX];
	struct version none_match[PRECONDITION_TAGS_MAX];
	int64_t unmodified_since_s, modified_since_s;
};

/* -EINVAL with a static sentence in @ret_why. A date that is not one is ignored, as the RFC says;
 * so is a tag that no version of ours has, because it can't match. */
int precondition_parse(const struct fields *fields, struct precondition *ret_pre,
		       const char **ret_why);

bool precondition_is_empty(const struct precondition *pre);
/* RFC 9110 13.2.2. @current is NULL if there is no record. Returns OUTCOME_OK (go on),
 * OUTCOME_NOT_MODIFIED (@is_read only) or OUTCOME_PRECONDITION_FAILED. A read of a record that is
 * not there goes on, to its 404 (13.2.1); so must what else would answer 404 without looking here.
 */
enum outcome precondition_evaluate(const struct precondition *pre,
				   const struct record_meta *current, bool is_read);

/* What Last-Modified shows: whole seconds, rounded down. */
int64_t record_modified_s(const struct record_meta *meta);

/* One entity tag, "W/" included, at *@at; moves behind it. 0 or -EINVAL. @ret_tag is the quoted
 * part. */
int entity_tag_take(const char **at, bool *ret_weak, const char **ret_tag, size_t *ret_len);

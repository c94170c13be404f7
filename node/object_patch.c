/* SPDX-License-Identifier: MIT */
#include "node/object_patch.h"

#include "lib/cleanup.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static int patch_label(const json_t *value, struct label *ret_label)
{
	if (!json_is_string(value))
		return -EINVAL;
	return label_set(ret_label, json_string_value(value), json_string_length(value));
}

/* One member of the merge patch. NULL, or what is wrong with it. */
static const char *patch_member(const char *name, const json_t *value,
				struct object_request *wanted)
{
	if (strcmp(name, "content_type") == 0) {
		wanted->has_content_type = true;
		if (patch_label(value, &wanted->content_type) < 0)
			return "content_type must be a string of 1 to 255 bytes without control "
			       "characters and outer spaces";
	} else if (strcmp(name, "encoding") == 0) {
		wanted->has_encoding = true;
		if (patch_label(value, &wanted->encoding) < 0)
			return "encoding must be a string of 1 to 255 bytes without control "
			       "characters and outer spaces";
	} else if (strcmp(name, "mtime_ns") == 0) {
		wanted->has_mtime = true;
		if (!json_is_integer(value))
			return "mtime_ns must be an integer, nanoseconds since 1970";
		wanted->mtime_ns = json_integer_value(value);
	} else {
		return "a patch knows content_type, encoding and mtime_ns only";
	}
	return NULL;
}

const char *object_patch_parse(const void *text, size_t len, struct object_request *wanted)
{
	_cleanup_(json_decrefp) json_t *patch = NULL;
	const char *name, *why;
	json_error_t error;
	json_t *value;

	wanted->has_content_type = wanted->has_encoding = wanted->has_mtime = false;
	patch = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	if (!patch)
		return json_error_code(&error) == json_error_duplicate_key
			       ? "the patch names a member twice"
			       : "the patch is not valid JSON";
	if (!json_is_object(patch))
		return "the patch must be a JSON object";
	json_object_foreach(patch, name, value)
	{
		why = patch_member(name, value, wanted);
		if (why)
			return why;
	}
	return NULL;
}

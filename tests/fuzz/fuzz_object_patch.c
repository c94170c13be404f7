/* SPDX-License-Identifier: MIT */
/* Bodies of PATCH. */
#include "node/object_patch.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct object_request wanted = { .has_content_type = true, .has_encoding = true };
	const char *why = object_patch_parse(data, len, &wanted);

	assert(!why || *why);
	if (!why && wanted.has_content_type)
		assert(*wanted.content_type.text);
	if (!why && wanted.has_encoding)
		assert(*wanted.encoding.text);
	return 0;
}
